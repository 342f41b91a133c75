/**
 * What a limit costs: drains no-ops with no limit, with one key, and with many, and prints how many a second.
 *
 * `deno run -A scripts/bench/limits.ts [url of a server]`, else against `TEST_DATABASE_URL` or the embedded server.
 *
 * @module
 */
import { Firefly, task } from "../../mod.ts";
import { testDatabase } from "../../tests/support/database.ts";

if (Deno.args[0]) Deno.env.set("TEST_DATABASE_URL", Deno.args[0]);

const CONCURRENCY = 100;
const noop = (_n: number) => {};

const cases = [
  { what: "no limit", count: 20_000, keys: 0, run: task("bench.plain", noop) },
  {
    what: "1 key, limit 10",
    count: 3_000,
    keys: 1,
    run: task({ name: "bench.ten", concurrency: { limit: 10 } }, noop),
  },
  {
    what: "1 key, limit 1",
    count: 1_000,
    keys: 1,
    run: task({ name: "bench.one", concurrency: { limit: 1 } }, noop),
  },
  {
    what: "1,000 keys, limit 1 each",
    count: 10_000,
    keys: 1_000,
    run: task({ name: "bench.many", concurrency: { limit: 1, key: (n: number) => `${n % 1000}` } }, noop),
  },
  {
    what: "no limit, beside 10,000 limited tasks that wait",
    count: 20_000,
    keys: 0,
    run: task("bench.beside", noop),
    beside: task({ name: "bench.still", concurrency: { limit: 1, key: "still" } }, noop),
  },
];

const figures: Record<string, { tasks: number; keys: number; "tasks/s": number }> = {};
for (const { what, count, keys, run, beside } of cases) {
  await using db = await testDatabase();
  await using ff = new Firefly({ database: db.url });
  const tasks = beside ? [run, beside] : [run];
  if (beside) {
    await ff.run(() => beside.scheduleMany(Array.from({ length: 10_000 }, (_, n) => [n])));
    // Nobody's, and too young for ever to be taken back.
    await db.sql`INSERT INTO firefly.slot (kind, key, task_id, taken) VALUES ('concurrency', 'still', 0, 'infinity')`;
  }
  await ff.run(() => run.scheduleMany(Array.from({ length: count }, (_, n) => [n])));
  await db.sql`VACUUM ANALYZE`;
  const start = performance.now();
  await ff.consume({ tasks, concurrency: CONCURRENCY, maxTasks: count }).finished;
  figures[what] = { tasks: count, keys, "tasks/s": Math.round(count / (performance.now() - start) * 1000) };
}
console.table(figures);
