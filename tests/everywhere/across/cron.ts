/**
 * A cron that consumers of two runtimes own: each slot is scheduled once, also after one of the consumers is killed.
 *
 * @module
 */
import { configure } from "@firefly/tasks";
import assert from "node:assert/strict";
import { check, library } from "../check.ts";
import { tick } from "./shared/cron.ts";
import { OWN, Program, RUNTIMES, withPrograms } from "./shared/runtimes.ts";

library("@firefly/tasks");
const ff = configure({});
const other = RUNTIMES[(RUNTIMES.indexOf(OWN) + 1) % RUNTIMES.length]!;
const args = ["cron", "default"];
const [killed, survivor] = [new Program(OWN, "./consumer.ts", { args }), new Program(other, "./consumer.ts", { args })];

/** Waits until tasks of so many slots have completed. */
async function completed(count: number) {
  for (;;) {
    const { items } = await tick.list({ status: "completed" });
    if (items.length >= count) return items;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

await withPrograms([survivor], async () => {
  await Promise.all([killed.line("ready"), survivor.line("ready")]);
  await check(`consumers on ${OWN} and ${other} schedule each slot once`, () => completed(3));
  await check(`${other} goes on alone when ${OWN} is killed`, async () => {
    const before = (await completed(0)).length;
    killed.kill("SIGKILL");
    await completed(before + 4);
  });
});

await check("no slot is missing, and none is there twice", async () => {
  const { items } = await tick.list();
  const slots = items.map(({ notBefore }) => notBefore.getTime() / 1000).sort((a, b) => a - b);
  assert.deepEqual(slots, Array.from(slots, (_, i) => slots[0]! + i));
});
await ff.close();
