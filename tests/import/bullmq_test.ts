import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { FlowProducer, type JobsOptions, Queue, Worker } from "bullmq";
import * as previous from "bullmq-5";
import { importFromBullMQ } from "../../import.ts";
import { FireflyError, task } from "../../mod.ts";
import { HOLD_JOBS } from "../../src/import/bullmq_scripts.ts";
import { testDatabase } from "../support/database.ts";
import { importedTasks, instanceOn, leftOf } from "../support/import_jobs.ts";
import { type TestRedis, testRedis, WITH_REDIS } from "../support/redis.ts";

type Library = { Queue: typeof Queue; Worker: typeof Worker };

const VERSIONS: [version: string, library: Library][] = [
  ["5.81.5", previous as unknown as Library],
  ["6.7.0", { Queue, Worker }],
];

task({ name: "mail.send", queue: "mail" }, (_: unknown) => {});
task({ name: "mail.retry", retryDelay: 9 }, (_: unknown) => {});

interface OpenedQueue extends AsyncDisposable {
  queue: Queue;
  add(name: string, data: unknown, options?: JobsOptions): Promise<string>;
  /** Takes jobs as a worker does, without an end; resolves to the ids of those that it took. */
  take(count: number): Promise<{ id: string; fail(): Promise<unknown>; complete(): Promise<unknown> }[]>;
}

function openQueue({ url }: TestRedis, name: string, library: Library = { Queue, Worker }): OpenedQueue {
  const connection = { url, maxRetriesPerRequest: null };
  const queue = new library.Queue(name, { connection });
  const worker = new library.Worker(name, null, { connection, autorun: false, skipStalledCheck: true } as never);
  return {
    queue,
    async add(jobName, data, options) {
      return (await queue.add(jobName, data, options as never)).id!;
    },
    async take(count) {
      const taken = [];
      for (let i = 0; i < count; i++) {
        const job = await worker.getNextJob("token", { block: false });
        taken.push({
          id: job!.id!,
          fail: () => job!.moveToFailed(new Error("no"), "token", false),
          complete: () => job!.moveToCompleted(null, "token", false),
        });
      }
      return taken;
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all([queue.close(), worker.close(true)]);
    },
  };
}

for (const [version, library] of VERSIONS) {
  Deno.test({
    ...WITH_REDIS,
    name: `importFromBullMQ() moves waiting, prioritized, delayed and retrying jobs of ${version} with their options`,
    async fn() {
      await using db = await testDatabase();
      await using redis = await testRedis();
      await using firefly = instanceOn(db);
      await using bull = openQueue(redis, "emails", library);
      await bull.add("mail.send", { n: 1 }, { attempts: 5, backoff: { type: "exponential", delay: 1000 } });
      await (await bull.take(1))[0]!.fail();
      const id = await bull.add("mail.send", { n: 2, list: [1, "é", null] });
      await bull.add("mail.send", { n: 3 }, { priority: 7, attempts: 2, backoff: 250 });
      await bull.add("mail.send", { n: 4 }, { lifo: true });
      await bull.add("mail.send", { n: 5 }, { delay: 3_600_000, jobId: "own-id" });
      await bull.add("mail.send", { n: 6 }, { deduplication: { id: "d" } });
      const due = (await bull.queue.getJob("own-id"))!.timestamp + 3_600_000;

      const report = await importFromBullMQ({ firefly, connection: redis.client });

      assertEquals([report.version, report.imported, report.left], [version, 6, []]);
      const tasks = await importedTasks(db);
      const columns = tasks.map(({ params, priority, max_retries, unique_key }) => ({
        n: (params as { n: number }[])[0]!.n,
        priority,
        max_retries,
        unique_key,
      }));
      assertEquals(columns, [
        { n: 4, priority: 0, max_retries: 0, unique_key: null },
        { n: 2, priority: 0, max_retries: 0, unique_key: null },
        { n: 6, priority: 0, max_retries: 0, unique_key: "d" },
        { n: 3, priority: -7, max_retries: 1, unique_key: null },
        { n: 1, priority: 0, max_retries: 3, unique_key: null }, // one of five was made, and one comes next
        { n: 5, priority: 0, max_retries: 0, unique_key: "own-id" },
      ]);
      assertEquals(tasks[1]!.params, [{ n: 2, list: [1, "é", null] }]);
      assertEquals([tasks[1]!.tags, tasks[1]!.queue], [["bullmq", `bullmq:emails:${id}`], "mail"]);
      assertEquals(tasks[3]!.retry_delay, 0.25);
      assertEquals(tasks[4]!.backoff, { kind: "exponential", delay: 2, jitter: false });
      assertEquals(tasks[5]!.not_before.getTime(), due);
      const rest = (await redis.client.keys("bull:emails:*")).map((key) => key.slice("bull:emails:".length));
      const own = ["events", "id", "marker", "meta", "pc", "stalled", "stalled-check"];
      assertEquals(rest.filter((key) => !own.includes(key)), []);
    },
  });

  Deno.test({
    ...WITH_REDIS,
    name: `importFromBullMQ() returns the jobs that it cannot import to where they were, for ${version}`,
    async fn() {
      await using db = await testDatabase();
      await using redis = await testRedis();
      await using firefly = instanceOn(db);
      await using bull = openQueue(redis, "emails", library);
      for (let n = 0; n < 4; n++) await bull.add("mail.send", { n });
      await bull.add("mail.send", { n: 4 }, { priority: 3 });
      await bull.add("mail.send", { n: 5 }, { delay: 5_000_000 });
      const before = await dump(redis);
      // The insert fails after all jobs are held.
      await db.sql`ALTER TABLE firefly.task ADD CHECK (NOT 'bullmq:emails:6' = ANY (tags))`;

      await assertRejects(
        () => importFromBullMQ({ firefly, connection: redis.client }),
        Error,
        "violates check constraint",
      );

      assertEquals(await dump(redis), before);
      assertEquals((await db.sql`SELECT FROM firefly.task`).length, 0);
      await bull.queue.pause();
      await assertRejects(
        () => importFromBullMQ({ firefly, connection: redis.client }),
        Error,
        "violates check constraint",
      );
      await bull.queue.resume();
      assertEquals((await bull.take(4)).map(({ id }) => id), ["1", "2", "3", "4"]);
    },
  });
}

/** The lists of a queue, in their order. */
async function dump({ client }: TestRedis): Promise<unknown> {
  return [
    await client.lrange("bull:emails:wait", 0, -1),
    await client.zrange("bull:emails:prioritized", 0, "-1", "WITHSCORES"),
    await client.zrange("bull:emails:delayed", 0, "-1", "WITHSCORES"),
    await client.keys("bull:emails:firefly:*"),
  ];
}

Deno.test({
  ...WITH_REDIS,
  name:
    "importFromBullMQ() leaves jobs that run, have ended, wait for others or belong to a scheduler, and lists schedulers",
  async fn() {
    await using db = await testDatabase();
    await using redis = await testRedis();
    await using firefly = instanceOn(db);
    await using bull = openQueue(redis, "emails");
    for (let n = 0; n < 3; n++) await bull.add("mail.send", { n });
    const [running, completed, failed] = await bull.take(3);
    await completed!.complete();
    await failed!.fail();
    const flows = new FlowProducer({ connection: { url: redis.url, maxRetriesPerRequest: null } });
    await flows.add({
      name: "parent",
      queueName: "emails",
      children: [{ name: "child", queueName: "emails", data: {} }],
    });
    await bull.queue.upsertJobScheduler("nightly", { pattern: "0 3 * * *", tz: "Europe/Warsaw" }, {
      name: "mail.send",
      data: { a: 1 },
    });
    await bull.queue.upsertJobScheduler("often", { every: 90_000 }, { name: "mail.send" });
    await bull.add("mail.send", { custom: true }, { attempts: 3, backoff: { type: "mine" } });
    await bull.add("mail.retry", { custom: true }, { attempts: 3, backoff: { type: "mine" } });
    await bull.add("mail.send", { throttled: true }, { deduplication: { id: "t", ttl: 60_000 } });
    await bull.add("unknown", {});

    const dry = await importFromBullMQ({ firefly, connection: redis.client, dryRun: true });
    const report = await importFromBullMQ({ firefly, connection: redis.client });

    const left = [
      "child dependencies 1",
      "mail.send backoff 1",
      "mail.send running 1",
      "mail.send scheduler 2",
      "mail.send throttle 1",
      "null dependencies 1",
      "null ended 2",
      "unknown unknown-name 1",
    ];
    for (const each of [dry, report]) assertEquals([each.imported, leftOf(each)], [1, left]);
    assertEquals(report.left.find(({ reason }) => reason === "running")!.ids, [running!.id]);
    assertEquals(report.schedules.toSorted((a, b) => a.cron! < b.cron! ? -1 : 1), [
      { name: "mail.send", cron: "0 3 * * *", timezone: "Europe/Warsaw", data: '{"a":1}' },
      { name: "mail.send", cron: "every 90 s", timezone: null, data: null },
    ]);
    await flows.close();
  },
});

Deno.test({
  ...WITH_REDIS,
  name: "importFromBullMQ() leaves a duplicate in BullMQ, where a worker runs it",
  async fn() {
    await using db = await testDatabase();
    await using redis = await testRedis();
    await using firefly = instanceOn(db);
    await using bull = openQueue(redis, "emails");
    await bull.add("mail.send", { n: 1 }, { jobId: "same" });
    const first = await importFromBullMQ({ firefly, connection: redis.client });
    await bull.add("mail.send", { n: 2 }, { jobId: "same" });

    const dry = await importFromBullMQ({ firefly, connection: redis.client, dryRun: true });
    const second = await importFromBullMQ({ firefly, connection: redis.client });

    assertEquals(first.imported, 1);
    for (const each of [dry, second]) assertEquals([each.imported, leftOf(each)], [0, ["mail.send duplicate 1"]]);
    assertStringIncludes(second.left[0]!.detail, 'has its unique key "same"');
    assertEquals((await bull.take(1)).map(({ id }) => id), ["same"]);
  },
});

Deno.test({
  ...WITH_REDIS,
  name: "importFromBullMQ() takes the queues and names that are asked for, and jobs of a queue that is paused",
  async fn() {
    await using db = await testDatabase();
    await using redis = await testRedis();
    await using firefly = instanceOn(db);
    await using one = openQueue(redis, "one", previous as unknown as Library);
    await using two = openQueue(redis, "two");
    for (const { add, queue } of [one, two]) {
      await queue.pause();
      await add("mail.send", {});
      await add("mail.retry", {});
    }

    const report = await importFromBullMQ({
      firefly,
      connection: redis.client,
      names: ["mail.send"],
      queue: { one: "first", two: "second" },
    });
    const rest = await importFromBullMQ({ firefly, connection: redis.client, sourceQueues: ["one"] });

    assertEquals(report.jobs.map(({ sourceQueue, queue, count }) => [sourceQueue, queue, count]), [
      ["one", "first", 1],
      ["two", "second", 1],
    ]);
    assertEquals([report.version, report.left, rest.imported], ["5.81.5, 6.7.0", [], 1]);
    assertEquals(await two.queue.getJobCountByTypes("waiting"), 1);
  },
});

Deno.test({
  ...WITH_REDIS,
  name: "importFromBullMQ() refuses queues that are not there, unknown versions and what is no connection",
  async fn() {
    await using db = await testDatabase();
    await using redis = await testRedis();
    await using firefly = instanceOn(db);
    await assertRejects(
      () => importFromBullMQ({ firefly, connection: redis.client, sourceQueues: ["mial"] }),
      FireflyError,
      "the key bull:mial:meta has no version: there is no such queue, or",
    );
    await redis.client.hset("bull:old:meta", "version", "bullmq:4.17.0");
    await assertRejects(
      () => importFromBullMQ({ firefly, connection: redis.client }),
      FireflyError,
      'its queue "old" is of version 4.17.0, and this release knows 5 and 6',
    );
    await assertRejects(
      () => importFromBullMQ({ firefly, connection: {} as never }),
      TypeError,
      '"connection" is no client of Redis',
    );
    assert((await importFromBullMQ({ firefly, connection: redis.client, prefix: "none" })).imported === 0);
  },
});

Deno.test({
  ...WITH_REDIS,
  name: "importFromBullMQ() loses no job if its client sends a command again whose answer was lost",
  async fn() {
    await using db = await testDatabase();
    await using redis = await testRedis();
    await using firefly = instanceOn(db);
    await using bull = openQueue(redis, "emails");
    for (let n = 0; n < 5; n++) await bull.add("mail.send", { n }, n > 2 ? { priority: n } : {});
    const connection = {
      async call(command: string, ...args: string[]) {
        if (command === "EVAL") await redis.client.call(command, ...args);
        return await redis.client.call(command, ...args);
      },
    };

    const report = await importFromBullMQ({ firefly, connection });

    assertEquals([report.imported, report.left], [5, []]);
    assertEquals((await importedTasks(db)).map(({ params }) => (params as { n: number }[])[0]!.n), [0, 1, 2, 3, 4]);
    assertEquals(await bull.queue.getJobCountByTypes("waiting", "prioritized", "delayed"), 0);
  },
});

Deno.test({
  ...WITH_REDIS,
  name:
    "importFromBullMQ() refuses to begin while another import of the queue runs, or one into another schema is unfinished",
  async fn() {
    await using db = await testDatabase();
    await using redis = await testRedis();
    await using firefly = instanceOn(db);
    await using bull = openQueue(redis, "emails");
    await bull.add("mail.send", {});
    let second: Promise<unknown> | undefined;
    const connection = {
      async call(command: string, ...args: string[]) {
        if (command === "EVAL" && args[0] === HOLD_JOBS) {
          second = importFromBullMQ({ firefly, connection: redis.client }).catch((error) => error);
          await second;
        }
        return await redis.client.call(command, ...args);
      },
    };

    assertEquals((await importFromBullMQ({ firefly, connection })).imported, 1);
    const error = await second as Error;
    assertEquals(error.message, 'Cannot import from BullMQ as another import from its queue "emails" is under way');

    await redis.client.hset("bull:emails:firefly:import:held:index", crypto.randomUUID(), "1/shop/jobs");
    await assertRejects(
      () => importFromBullMQ({ firefly, connection: redis.client }),
      FireflyError,
      'into schema "jobs" of database "shop" did not end: run that one again first',
    );
  },
});

Deno.test({
  ...WITH_REDIS,
  name: "importFromBullMQ() keeps the order of what it takes and of what it leaves, over many batches",
  async fn() {
    await using db = await testDatabase();
    await using redis = await testRedis();
    await using firefly = instanceOn(db);
    await using bull = openQueue(redis, "emails");
    const jobs = Array.from({ length: 2_500 }, (_, n) => ({ name: n % 3 ? "mail.send" : "unknown", data: { n } }));
    await bull.queue.addBulk(jobs);

    const report = await importFromBullMQ({ firefly, connection: redis.client });

    const [taken, left] = [1, 0].map((wanted) =>
      jobs.filter(({ data: { n } }) => (n % 3 ? 1 : 0) === wanted).map(({ data: { n } }) => n)
    );
    assertEquals([report.imported, leftOf(report)], [taken!.length, [`unknown unknown-name ${left!.length}`]]);
    assertEquals((await importedTasks(db)).map(({ params }) => (params as { n: number }[])[0]!.n), taken);
    const ids = (await redis.client.lrange("bull:emails:wait", 0, -1)).reverse();
    assertEquals(ids.map((id) => Number(id) - 1), left);
  },
});

Deno.test({
  ...WITH_REDIS,
  name: "importFromBullMQ() returns all jobs if its signal aborts it between two batches",
  async fn() {
    await using db = await testDatabase();
    await using redis = await testRedis();
    await using firefly = instanceOn(db);
    await using bull = openQueue(redis, "emails");
    await bull.queue.addBulk(Array.from({ length: 1_500 }, (_, n) => ({ name: "mail.send", data: { n } })));
    const before = await dump(redis);
    const aborter = new AbortController();
    const onProgress = () => aborter.abort(new Error("enough"));

    await assertRejects(
      () => importFromBullMQ({ firefly, connection: redis.client, signal: aborter.signal, onProgress }),
      Error,
      "enough",
    );

    assertEquals(await dump(redis), before);
    assertEquals((await db.sql`SELECT FROM firefly.task`).length, 0);
  },
});
