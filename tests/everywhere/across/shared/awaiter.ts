/** Reads the ids of tasks by the names of their values, awaits each, and tells what came as something else. @module */
import { configure, TaskFailed } from "@firefly/tasks";
import process from "node:process";
import { createInterface } from "node:readline";
import { OWN, tell } from "./runtimes.ts";
import { echo } from "./tasks.ts";
import { exists, wrong } from "./values.ts";

const ff = configure({});
process.once("SIGTERM", () => process.exit());
for await (const line of createInterface({ input: process.stdin })) {
  const tasks: { name: string; id: number; runs: boolean }[] = JSON.parse(line);
  const failures = await Promise.all(tasks.map(failureOf));
  tell({ awaited: tasks.length, failures: failures.filter((failure) => failure !== undefined) });
  break;
}
await ff.close();
process.exit();

/** What is wrong with the result of a task; `runs` is false if its consumer lacks the class of the value. */
async function failureOf({ name, id, runs }: { name: string; id: number; runs: boolean }): Promise<string | undefined> {
  const record = await echo.get(id);
  try {
    const value = await record.result({ timeout: "30s" });
    const difference = await wrong(name, value);
    return difference && `${name} of ${record.queue} came to ${OWN} as something else: ${difference}`;
  } catch (error) {
    const { name: kind, message } = error as Error;
    if (!runs && error instanceof TaskFailed && error.task.error?.name === "FireflyFormatError") return;
    if (runs && !exists(name) && kind === "FireflyFormatError" && /Float16Array/.test(message)) return;
    return `${name} of ${record.queue} on ${OWN}: ${kind}: ${message}`;
  }
}
