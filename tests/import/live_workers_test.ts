import { assert, assertEquals } from "@std/assert";
import { Queue, Worker } from "bullmq";
import { makeWorkerUtils, run } from "graphile-worker";
import { PgBoss } from "pg-boss";
import { importFromBullMQ, importFromGraphileWorker, importFromPgBoss, type ImportReport } from "../../import.ts";
import { type Firefly, task } from "../../mod.ts";
import { testDatabase } from "../support/database.ts";
import { instanceOn, testPool, WITH_GRAPHILE } from "../support/import_jobs.ts";
import { testRedis, WITH_REDIS } from "../support/redis.ts";
import { until } from "../support/waiting.ts";

/** What has run, and where. */
let runs: { system: "firefly" | "other"; n: number }[] = [];

task("live.job", ({ n }: { n: number }) => void runs.push({ system: "firefly", n }));

const JOBS = 3_000;

function runElsewhere(n: number): void {
  runs.push({ system: "other", n });
}

/** Imports while workers of the other queue run, until nothing is left there; a consumer of Firefly runs meanwhile. */
async function importLive(firefly: Firefly, importOnce: () => Promise<ImportReport>): Promise<ImportReport[]> {
  await using _consumer = firefly.consume({ pollInterval: 0.2 });
  await until(() => runs.length > 0);
  const reports = [await importOnce()];
  const isEmpty = ({ left, imported }: ImportReport) =>
    imported === 0 && left.every(({ reason }) => reason === "ended");
  while (!isEmpty(reports.at(-1)!)) reports.push(await importOnce());
  await until(() => runs.length >= JOBS);
  return reports;
}

function assertOnce(reports: readonly ImportReport[]): void {
  assertEquals(runs.map(({ n }) => n).sort((a, b) => a - b), Array.from({ length: JOBS }, (_, n) => n));
  const count = (system: string) => runs.filter((run) => run.system === system).length;
  assert(count("other") > 0 && count("firefly") > 0, `both must take part: ${count("other")} and ${count("firefly")}`);
  assertEquals(reports.reduce((sum, { imported }) => sum + imported, 0), count("firefly"));
}

Deno.test("importFromPgBoss() moves jobs while workers of pg-boss run, and each job runs exactly once", async () => {
  await using db = await testDatabase();
  await using firefly = instanceOn(db);
  runs = [];
  const boss = new PgBoss({ connectionString: db.url, supervise: false, schedule: false });
  const problems: unknown[] = [];
  boss.on("error", (error) => problems.push(error));
  await boss.start();
  const stop = new AbortController();
  let busy: Promise<unknown> = Promise.resolve();
  try {
    await boss.createQueue("live.job");
    await boss.insert("live.job", Array.from({ length: JOBS }, (_, n) => ({ data: { n } })));
    for (let i = 0; i < 4; i++) {
      await boss.work<{ n: number }>("live.job", { batchSize: 20, pollingIntervalSeconds: 0.5 }, async (jobs) => {
        for (const { data } of jobs) runElsewhere(data.n);
        await new Promise((resolve) => setTimeout(resolve, 5));
      });
    }
    // Beside the workers, which wait half a second after each batch: the same statement, without a pause.
    busy = Promise.all(Array.from({ length: 3 }, async () => {
      while (!stop.signal.aborted) {
        const jobs = await boss.fetch<{ n: number }>("live.job", { batchSize: 5 });
        for (const { data } of jobs) runElsewhere(data.n);
        if (jobs.length > 0) await boss.complete("live.job", jobs.map(({ id }) => id));
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    })).catch((error) => problems.push(error));

    assertOnce(await importLive(firefly, () => importFromPgBoss({ firefly })));
  } finally {
    stop.abort();
    await busy;
    await boss.stop({ graceful: true, close: true });
  }
  assertEquals(problems, []);
});

Deno.test(
  "importFromGraphileWorker() moves jobs while workers of graphile-worker run, and each job runs exactly once",
  WITH_GRAPHILE,
  async () => {
    await using db = await testDatabase();
    await using firefly = instanceOn(db);
    runs = [];
    const problems: unknown[] = [];
    const quiet = {
      error: (line: string) => problems.push(line),
      warn() {},
      info() {},
      debug() {},
      scope: () => quiet,
    };
    const pgPool = testPool(db);
    const options = { pgPool, logger: quiet as never };
    const utils = await makeWorkerUtils(options);
    await utils.migrate();
    await utils.addJobs(Array.from({ length: JOBS }, (_, n) => ({ identifier: "live.job", payload: { n } })));
    await utils.release();
    const runner = await run({
      ...options,
      concurrency: 4,
      pollInterval: 50,
      noHandleSignals: true,
      taskList: { "live.job": (payload) => runElsewhere((payload as { n: number }).n) },
    });
    try {
      assertOnce(await importLive(firefly, () => importFromGraphileWorker({ firefly })));
    } finally {
      await runner.stop();
      await pgPool.end();
    }
    assertEquals(problems, []);
  },
);

Deno.test({
  ...WITH_REDIS,
  name: "importFromBullMQ() moves jobs while workers of BullMQ run, and each job runs exactly once",
  async fn() {
    await using db = await testDatabase();
    await using redis = await testRedis();
    await using firefly = instanceOn(db);
    runs = [];
    const connection = { url: redis.url, maxRetriesPerRequest: null };
    const queue = new Queue("live", { connection });
    await queue.addBulk(
      Array.from(
        { length: JOBS },
        (_, n) => ({ name: "live.job", data: { n }, opts: n % 3 ? {} : { priority: n % 7 } }),
      ),
    );
    const work = (job: { data: { n: number } }) => Promise.resolve(runElsewhere(job.data.n));
    const workers = Array.from({ length: 3 }, () => new Worker("live", work, { connection, concurrency: 4 }));
    try {
      assertOnce(await importLive(firefly, () => importFromBullMQ({ firefly, connection: redis.client })));
    } finally {
      await Promise.all([queue, ...workers].map((each) => each.close()));
    }
  },
});
