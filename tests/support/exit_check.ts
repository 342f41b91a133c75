/**
 * Uses an instance, and ends: never before what it waits for, and then at once, without `close()`, or in the middle of
 * calls that `close()` ends, as the variable FIREFLY_TEST_EXIT says. Prints what is wrong, and exits with 1 if anything is.
 *
 * @module
 */
import process from "node:process";
import { configure, task } from "../../mod.ts";

/** Longer than a process needs to end, in milliseconds, and shorter than idle connections stay open. */
const AT_ONCE = 6_000;

const never = task({ name: "exit.never" })(() => 1);
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
let ended = Infinity;

process.exitCode = 1; // until it has come to its end
process.on("exit", () => {
  const took = performance.now() - ended;
  if (!(took > AT_ONCE)) return;
  process.stderr.write(ended === Infinity ? "It ended early\n" : `It ended only after ${took} ms\n`);
  process.exitCode = 1;
});

const ff = configure({ database: process.env.FIREFLY_TEST_DATABASE! });
const row = await never.schedule();
await ff.transaction((sql) => sql`SELECT 1`);
if (process.env.FIREFLY_TEST_EXIT === "closed") {
  row.result().catch(() => {});
  (async () => {
    for await (const _ of row.watch());
  })().catch(() => {});
  await sleep(Math.random() * 100);
  await ff.close();
} else {
  for (const pause of [0, 300]) {
    await sleep(pause); // the second time the connections are idle
    await ff.sql`SELECT pg_sleep(0.5)`;
    await ff.transaction((sql) => sql`SELECT pg_sleep(0.5)`);
    await row.result({ timeout: 0.5 }).catch(() => {});
    for await (const { status } of row.watch()) if (status === "created") break;
  }
}
ended = performance.now();
process.exitCode = 0;
