/** The tasks of an application whose releases roll: the next one has a task more. @module */
import { current, task } from "@firefly/tasks";
import process from "node:process";
import { OWN } from "./runtimes.ts";

/** `old` or `next`. */
export const RELEASE: string = process.env.RELEASE ?? "old";

/** Adds a row to a table in the transaction that completes the task, which is open for a while: a kill meets some. */
async function add(name: string, n: number): Promise<void> {
  const { sql, attempt } = current();
  await sql`INSERT INTO ledger (name, n, release, runtime, attempt) VALUES (${name}, ${n}, ${RELEASE}, ${OWN}, ${attempt})`;
  await new Promise((resolve) => setTimeout(resolve, 20));
}

export const write = task({ name: "across.write" }, (n: number) => add("write", n));

/** Known to the next release alone. */
export const added = RELEASE === "next" ? task({ name: "across.added" }, (n: number) => add("added", n)) : undefined;
