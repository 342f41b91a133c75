import { setTimeout as sleep } from "node:timers/promises";
import { current, task } from "../../../mod.ts";

/** The release of this code: which of them a consumer has is said where it is started. */
export type Deployed = "old" | "renamed" | "aliased" | "second";

const DEPLOYED = (Deno.env.get("DEPLOYED") ?? "old") as Deployed;

/** Writes one row through the transaction of the step, or of the attempt. */
async function write(name: string): Promise<void> {
  const { sql, id } = current();
  await sql`INSERT INTO written (task_id, name, deployed) VALUES (${id}, ${name}, ${DEPLOYED})`;
}

/** How the step "charge" is called. */
const CHARGE = {
  old: "charge",
  renamed: "charge card",
  aliased: { name: "charge card", aliases: ["charge"] },
  second: "charge",
}[DEPLOYED];

/** The old release takes `pause` milliseconds between its first step and its second, the others none. */
export const order = task(
  { name: "deploy.order", maxRetries: 0, version: DEPLOYED === "second" ? 2 : 1 },
  async (pause: number) => {
    const { step } = current();
    await step(CHARGE, () => write("charge"));
    await sleep(DEPLOYED === "old" || DEPLOYED === "second" ? pause : 0);
    if (DEPLOYED === "second") await step("weigh", () => write("weigh"));
    await step("pack", () => write("pack"));
    await step("label", () => {});
    await write("end");
  },
);
