// Within: 90 s
import { configure, task } from "@firefly/tasks";
import assert from "node:assert/strict";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { check, library } from "../check.ts";
import { application, firefly, start, type Started } from "./support/app.ts";

library("@firefly/tasks");
const ff = configure({});
const cwd = application({
  "tasks.ts": `import { current, task } from "@firefly/tasks";
export const steady = task({ name: "steady" }, async (ms: number) => {
  await new Promise((resolve) => setTimeout(resolve, ms));
  return [current().attempt, process.pid];
});
export const blocking = task({ name: "blocking", maxRetries: 0 }, () => {
  for (;;);
});
`,
});
const steady = task(
  { name: "steady" },
  (_ms: number): [attempt: number, pid: number] => [0, 0],
);
const blocking = task({ name: "blocking" }, () => {});

/** Starts a consumer, and resolves once it is one. */
async function consumer(...flags: string[]): Promise<Started> {
  const started = start(firefly("consume", "--lease", "2s", ...flags), { cwd });
  await started.waitFor(/"event":"ready"/);
  return started;
}

async function untilRunning(id: number): Promise<void> {
  for (
    const until = Date.now() + 15_000;
    (await ff.tasks.get(id)).status !== "running";
  ) {
    assert.ok(Date.now() < until, `task ${id} does not run`);
    await sleep(20);
  }
}

await check("SIGTERM lets a handler finish", async () => {
  const one = await consumer();
  const row = await steady.schedule(1500);
  await untilRunning(row.id);
  one.kill("SIGTERM");
  const { code, stderr } = await one.ended;
  assert.equal(code, 0, stderr);
  assert.deepEqual(await row.result({ timeout: "1s" }), [1, one.pid]);
});

await check("a task of a killed consumer is rescued", async () => {
  const one = await consumer();
  const row = await steady.schedule(1000);
  await untilRunning(row.id);
  one.kill("SIGKILL");
  await one.ended;
  const two = await consumer();
  const [attempt, pid] = await row.result({ timeout: "15s" });
  assert.deepEqual([attempt, pid], [2, two.pid]);
  two.kill("SIGTERM");
  assert.equal((await two.ended).code, 0);
});

await check("the watchdog ends a process whose handler blocks it", async () => {
  const one = await consumer();
  await blocking.schedule();
  const { code, signal, stderr } = await one.ended;
  assert.ok(
    signal === "SIGKILL" || code === 137,
    `ended with ${code} ${signal}`,
  );
  assert.match(
    stderr,
    /The event loop was blocked for 1\.\d s, so the process is ended: blocking #\d+ started last/,
  );
});

await ff.close();
process.exitCode ??= 0;
