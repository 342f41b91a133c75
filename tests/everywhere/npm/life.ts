import { configure, consume, current, Fail, task, TaskFailed, transaction } from "@firefly/tasks";
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { check, library } from "../check.ts";

library("@firefly/tasks");
library("postgres");
const ff = configure({});
const { sql } = ff;

const echo = task({ name: "life.echo" }, (value: Map<string, Date | bigint | Uint8Array>) => value);
const slow = task({ name: "life.slow", timeout: "300ms" }, async () => {
  await sleep(5000, undefined, { signal: current().signal });
});
const cancelled = task({ name: "life.cancelled" }, async () => {
  await sleep(8000, undefined, { signal: current().signal });
});
const quick = task({ name: "life.quick" }, (n: number) => n);
const flaky = task(
  { name: "life.flaky", maxRetries: 3, retryDelay: "20ms" },
  () => {
    const { attempt } = current();
    if (attempt < 3) throw new Error("again");
    return attempt;
  },
);
const writing = task({ name: "life.writing" }, async (n: number) => {
  await current().sql`INSERT INTO effect VALUES (${n})`;
  if (n < 0) throw new Fail("undo");
});
const fanOut = task({ name: "life.fan_out" }, async () => {
  const records = await Promise.all(Array.from({ length: 20 }, async (_, n) => {
    await sleep(n % 3);
    return await quick.schedule(n);
  }));
  return records.map(({ id }) => id);
});

await sql`CREATE TABLE effect (n int)`;
const consumer = consume({ concurrency: 20, pollInterval: "30s", lease: "6s" });
await consumer.ready;

await check("values of many kinds come back", async () => {
  const bytes = new Uint8Array([1, 255]);
  const value = new Map<string, Date | bigint | Uint8Array>([["date", new Date(0)], ["big", 2n ** 70n], [
    "bytes",
    bytes,
  ]]);
  assert.deepEqual(
    await echo.schedule(value).result({ timeout: "10s" }),
    value,
  );
});

await check("a timeout aborts the handler", async () => {
  await assert.rejects(slow.schedule().result({ timeout: "10s" }), TaskFailed);
});

await check("a running task is cancelled", async () => {
  const row = await cancelled.schedule();
  while ((await row.refresh()).status !== "running") await sleep(10);
  await row.cancel();
  await assert.rejects(row.result({ timeout: "10s" }), /was cancelled/);
});

await check("a failure is retried", async () => {
  assert.equal(await flaky.schedule().result({ timeout: "10s" }), 3);
});

await check(
  "writes commit with the completion, and are undone by a failure",
  async () => {
    await writing.schedule(1).result({ timeout: "10s" });
    await assert.rejects(
      writing.schedule(-1).result({ timeout: "10s" }),
      TaskFailed,
    );
    assert.deepEqual(
      (await sql<{ n: number }>`SELECT n FROM effect`).map(({ n }) => n),
      [1],
    );
  },
);

await check("20 parallel calls of a handler keep its context", async () => {
  const ids = await fanOut.schedule().result({ timeout: "10s" });
  assert.equal(new Set(ids).size, 20);
});

await check("a task runs after all connections were terminated", async () => {
  await sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()`
    .catch(() => {});
  const until = Date.now() + 20_000;
  for (;;) {
    const result = await quick.schedule(7).result({ timeout: "5s" }).catch((
      error,
    ) => error);
    if (result === 7) break;
    if (Date.now() > until) throw result;
    await sleep(100);
  }
});

await check("an idle consumer is woken long before it polls", async () => {
  const latencies = [];
  for (let n = 0; n < 10; n++) {
    await sleep(60);
    const started = performance.now();
    await quick.schedule(n).result({ timeout: "10s" });
    latencies.push(performance.now() - started);
  }
  latencies.sort((a, b) => a - b);
  assert.ok(latencies[5]! < 2000, `median is ${latencies[5]} ms`);
});

await check("a transaction that is rolled back schedules nothing", async () => {
  await assert.rejects(
    transaction(async () => {
      await quick.with({ tags: ["undone"] }).schedule(1);
      throw new Error("undo");
    }),
    /undo/,
  );
  assert.deepEqual((await ff.tasks.list({ tags: ["undone"] })).items, []);
});

await check("everything closes", async () => {
  await consumer.stop();
  await ff.close();
});
