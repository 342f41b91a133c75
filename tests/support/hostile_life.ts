import { assert, assertEquals } from "@std/assert";
import { current, Firefly, task } from "../../mod.ts";
import type { TestDatabase } from "./database.ts";
import { taskName } from "./instance.ts";
import { until } from "./waiting.ts";

const DUE = new Date("2099-03-04T05:06:07.089Z");

const echo = task({ name: taskName(), queue: "hostile" }, (given: { at: Date; text: string }) => given);
export const LIMITED = taskName();
export const WRITING = taskName();
export const limited = task({
  name: LIMITED,
  queue: "hostile",
  concurrency: { limit: 2, key: (n: number) => `key ${n % 2}` },
  rateLimit: { limit: 100, per: "1s" },
  unique: { key: (n: number) => `n ${n}` },
}, (n: number) => n);
export const writing = task({ name: WRITING, queue: "hostile", maxRetries: 0 }, async (n: number) => {
  await current().sql`INSERT INTO public.effect (n, at) VALUES (${n}, ${new Date(n)})`;
  return n;
});
const flaky = task({ name: taskName(), queue: "hostile", maxRetries: 1, retryDelay: 0.25 }, () => {
  if (current().attempt === 1) throw new Error("no \\ 'first' attempt");
  return "second";
});
const failing = task({ name: taskName(), queue: "hostile", maxRetries: 0 }, () => {
  throw new RangeError("never");
});

/** Walks a task's life, from migrating to pruning, with `settings` on the database; by way of `url` if that is given. */
export async function live(db: TestDatabase, url: string = db.url): Promise<void> {
  await using ff = new Firefly({ database: url });
  await ff.migrate();
  await db.sql`SELECT 1`;
  await ff.sql`CREATE TABLE public.effect (n int PRIMARY KEY, at timestamptz)`;
  const [given] = await ff.sql`
    SELECT ${DUE}::timestamptz AS at, decode('00ff', 'hex') AS bytes, 1 / 3::float8 AS third, ${[
    1,
    null,
  ]}::int[] AS list
  `;
  const { at, bytes, third, list } = given as { at: Date; bytes: Uint8Array; third: number; list: unknown[] };
  assertEquals([at, ...bytes, third, ...list], [DUE, 0, 255, 1 / 3, 1, null]);

  const errors: string[] = [];
  ff.on("consumer.error", ({ action, error }) => errors.push(`${action}: ${error}`));
  ff.on("lost", ({ reason }) => errors.push(String(reason)));
  const text = "a\\b'c\u0000d";
  const [echoed, later, ...others] = await ff.run(() =>
    Promise.all([
      echo.schedule({ at: DUE, text }),
      echo.with({ notBefore: DUE, retryDelay: 45.5 }).schedule({ at: DUE, text }),
      ...[1, 2, 3].map((n) => limited.schedule(n)),
      ...[11, 12, 13].map((n) => writing.schedule(n)),
      flaky.schedule(),
    ])
  );
  const failed = await ff.run(() => failing.schedule());
  const duplicate = await ff.run(() => limited.with({ delay: "1h" }).schedule(1));
  assertEquals(duplicate.inserted, false);
  const inOne = await ff.run(() => ff.transaction(() => writing.schedule(14)));
  await ff.run(() => writing.scheduleMany([15, 16, 17, 18, 19, 20, 21, 22, 23].map((n) => [n] as const)));
  const [bySql] = await ff.sql`
    SELECT firefly.schedule(${WRITING}, '[31]', queue => 'hostile', retry_delay => 45.5, unique_key => 'sql') AS id
  `;
  await ff.sql`INSERT INTO firefly.task (func_name, queue, params) VALUES (${WRITING}, 'hostile', 'WzMyXQ==')`;

  const consumer = ff.consume({ queues: ["hostile"], concurrency: 4, pollInterval: "250ms" });
  const all = [echoed, ...others, inOne];
  await Promise.all(all.map((record) => record.result({ timeout: "30s" })));
  await failed.result({ timeout: "30s" }).catch(() => {});
  await until(async () => (await db.sql`SELECT FROM firefly.task WHERE status = 'created'`).length === 1, 30_000);
  await consumer.stop();

  const read = await ff.tasks.get(echoed.id);
  assert(read.status === "completed");
  assertEquals((read.returned as { text: string }).text, text);
  const [{ created, completed }] = await db.sql`
    SELECT floor(extract(epoch FROM created) * 1000)::float8 AS created,
      floor(extract(epoch FROM completed) * 1000)::float8 AS completed
    FROM firefly.task WHERE id = ${echoed.id}
  ` as unknown as [{ created: number; completed: number }];
  assertEquals([+echoed.created, +read.created, +read.completed!], [created, created, completed]);
  const waiting = await ff.tasks.get(later.id);
  assertEquals([waiting.notBefore, waiting.retryDelay, waiting.status], [DUE, 45.5, "created"]);
  const scheduled = await ff.tasks.get(Number(bySql!.id));
  assertEquals([scheduled.status, scheduled.retryDelay], ["completed", 45.5]);
  assertEquals((await ff.tasks.list({ status: "failed" })).items.map(({ id, error }) => [id, error!.name]), [[
    failed.id,
    "RangeError",
  ]]);
  assertEquals((await ff.tasks.list({ createdBefore: new Date(Date.now() - 3_600_000) })).items, []);
  assertEquals((await ff.tasks.list({ params: [{ text: "a\\b'c\ufffdd" }] })).items.length, 2);
  const [{ effects }] = await db.sql`SELECT count(*)::int AS effects FROM public.effect` as unknown as [
    { effects: number },
  ];
  assertEquals(effects, 15, "the handlers' rows");
  assertEquals((await ff.tasks.explain(later.id)).reasons[0]!.reason, "not_due");
  assertEquals((await ff.queues()).map(({ name, counts }) => [name, counts.completed, counts.failed]), [[
    "hostile",
    20,
    1,
  ]]);

  assertEquals(await ff.tasks.retry({ ids: [failed.id] }), 1);
  assertEquals(await ff.tasks.cancel({ ids: [failed.id, later.id] }), 2);
  assert(await ff.pause("hostile"));
  assert(await ff.resume("hostile"));
  await db.sql`UPDATE firefly.task SET completed = completed - interval '30 days' WHERE id = ${echoed.id}`;
  assertEquals(await ff.prune(), 1);
  assert((await ff.migrations()).every(({ applied }) => Math.abs(+applied! - Date.now()) < 600_000));
  assertEquals(errors, []);
}
