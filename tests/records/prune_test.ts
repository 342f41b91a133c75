import { assert, assertEquals, assertLess, assertRejects } from "@std/assert";
import { Firefly, type PruneProgress, task } from "../../mod.ts";
import { pruneTasks } from "../../src/store/prune.ts";
import type { TestDatabase } from "../support/database.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { until } from "../support/waiting.ts";

/** Makes records of tasks that completed so many days ago. */
async function completed(db: TestDatabase, count: number, { days = 8, name = "test.task", queue = "default" } = {}) {
  await db.sql`
    INSERT INTO firefly.task (func_name, queue, status, created, completed)
    SELECT ${name}, ${queue}, 'completed', at, at
    FROM (SELECT now() - make_interval(secs => ${days * 86_400}) AS at) AS ended, generate_series(1, ${count})
  `;
}

async function countOf(db: TestDatabase): Promise<number> {
  return (await db.sql`SELECT count(*)::int AS count FROM firefly.task`)[0]!.count;
}

Deno.test("prune() walks over everything, and tells how far it is", async () => {
  await using test = await testInstance();
  await completed(test.db, 2500);
  await completed(test.db, 6000, { days: 1 });
  await completed(test.db, 100);
  await test.db.sql`UPDATE firefly.retention SET prune_cursor = 99999, next_prune = 'infinity'`;
  const progress: PruneProgress[] = [];

  const pruned = await test.ff.prune({ onProgress: (now) => progress.push(now) });

  // It stops where records are too young to have ended for long enough: the ids of the last hundred lie.
  assertEquals([pruned, await countOf(test.db)], [2500, 6100]);
  assertEquals(progress.map(({ pruned }) => pruned), [1000, 2000, 2500]);
  assertEquals(progress.at(-1)!.share, 1);
  assert(progress.every(({ share }, i) => i === 0 || share >= progress[i - 1]!.share));
  assertEquals(
    (await test.db.sql`SELECT prune_cursor FROM firefly.retention`)[0]!.prune_cursor,
    "99999",
    "a walk of its own",
  );
});

Deno.test("a walk over tables without statistics is not worth compiling to the planner", async () => {
  await using test = await testInstance();
  await completed(test.db, 5000, { days: 1 });

  const took = [];
  for (let i = 0; i < 3; i++) {
    await test.db.sql`UPDATE firefly.retention SET prune_cursor = 0, next_prune = '-infinity'`;
    const began = performance.now();
    // Without the settings of the hot path, as behind a pooler.
    await pruneTasks(test.db.records, { after: null });
    took.push(performance.now() - began);
  }

  assertLess(Math.min(...took), 400, "a server that compiles plans takes a second");
});

Deno.test("prune() with dryRun counts the same, and deletes nothing", async () => {
  await using test = await testInstance();
  await completed(test.db, 1500);

  assertEquals([await test.ff.prune({ dryRun: true }), await countOf(test.db)], [1500, 1500]);
  assertEquals([await test.ff.prune(), await test.ff.prune(), await countOf(test.db)], [1500, 0, 0]);
});

Deno.test("prune() takes its own retention, else the instance's, else what is stored", async () => {
  await using test = await testInstance();
  await using keeping = new Firefly({ database: test.db.url, defaults: { retention: Infinity } });
  await completed(test.db, 3);

  assertEquals(await keeping.prune(), 0);
  assertEquals(await keeping.prune({ dryRun: true, retention: "9d" }), 0);
  assertEquals(await keeping.prune({ dryRun: true, retention: { completed: "1d" } }), 3);
  assertEquals(await test.ff.prune(), 3);
});

Deno.test("prune() ends at its signal, and refuses options that are wrong", async () => {
  await using test = await testInstance();
  await completed(test.db, 2500);
  const controller = new AbortController();
  const onProgress = () => controller.abort(new Error("enough"));

  await assertRejects(() => test.ff.prune({ signal: controller.signal, onProgress }), Error, "enough");
  assertEquals(await countOf(test.db), 1500, "what was deleted stays deleted");
  await assertRejects(() => test.ff.prune({ dryrun: true } as never), TypeError, 'did you mean "dryRun"?');
  await assertRejects(() => test.ff.prune({ retention: "1 week" as never }), RangeError, '"retention.completed"');
});

Deno.test("consumers prune by themselves, by what they stored when they started", async () => {
  const options = { defaults: { retention: "1d" }, queues: { audit: { retention: Infinity } } } as const;
  await using test = await testInstance(options);
  await using elsewhere = new Firefly({ database: test.db.url });
  const work = task(taskName(), () => {});
  await completed(test.db, 5500, { days: 2 });
  await completed(test.db, 10, { days: 900, queue: "audit" });

  const consume = { tasks: [work], lease: "1s" } as const;
  await using first = test.ff.consume(consume);
  await first.ready;
  await using second = elsewhere.consume(consume); // which says nothing of it, and so changes nothing
  await second.ready;
  await until(async () => await countOf(test.db) === 10);

  assertEquals(await elsewhere.prune({ dryRun: true }), 0, "the queue's records are kept for ever");
});

Deno.test("a consumer's rounds prune on at once while there is more, and rest when there is not", async () => {
  await using test = await testInstance();
  const work = task(taskName(), () => {});
  await completed(test.db, 4_000);

  await using consumer = test.ff.consume({ tasks: [work], lease: "30s" }); // a round every five seconds
  await consumer.ready;
  await until(async () => await countOf(test.db) < 4_000);
  const began = performance.now();
  await until(async () => await countOf(test.db) === 0);

  assert(performance.now() - began < 4_000, "four batches in one round, not in four");
  await until(async () => {
    const [state] = await test.db.sql`SELECT prune_cursor, next_prune > now() AS rests FROM firefly.retention`;
    return state!.prune_cursor === "0" && state!.rests;
  }, 2_000);
});
