import { assert, assertEquals } from "@std/assert";
import { makeWorkerUtils, run } from "graphile-worker";
import { PgBoss } from "pg-boss";
import { importFromGraphileWorker, importFromPgBoss, type ImportReport } from "../../import.ts";
import { type Firefly, task } from "../../mod.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { instanceOn } from "../support/import_jobs.ts";
import { until } from "../support/waiting.ts";

/** What has run, and where. */
const runs: { system: "firefly" | "other"; n: number }[] = [];

task("live.job", ({ n }: { n: number }) => void runs.push({ system: "firefly", n }));

const JOBS = 3_000;

/** Imports while workers of the other queue run, until nothing is left there; consumers of Firefly run meanwhile. */
async function importLive(firefly: Firefly, importOnce: () => Promise<ImportReport>): Promise<ImportReport[]> {
  const consumer = firefly.consume({ pollInterval: 0.2 });
  await until(() => runs.length > 0);
  const reports = [await importOnce()];
  const isEmpty = ({ left, imported }: ImportReport) =>
    imported === 0 && left.every(({ reason }) => reason === "ended");
  while (!isEmpty(reports.at(-1)!)) reports.push(await importOnce());
  await until(() => runs.length >= JOBS);
  await consumer.stop();
  return reports;
}

function assertOnce(reports: readonly ImportReport[]): void {
  assertEquals(runs.map(({ n }) => n).sort((a, b) => a - b), Array.from({ length: JOBS }, (_, n) => n));
  const count = (system: string) => runs.filter((run) => run.system === system).length;
  assert(count("other") > 0 && count("firefly") > 0, `both must take part: ${count("other")} and ${count("firefly")}`);
  assertEquals(reports.reduce((sum, { imported }) => sum + imported, 0), count("firefly"));
}

Deno.test("importFromPgBoss() moves jobs while workers of pg-boss run, and each job runs exactly once", async () => {
  await using db: TestDatabase = await testDatabase();
  await using firefly = instanceOn(db);
  runs.length = 0;
  const boss = new PgBoss({ connectionString: db.url, supervise: false, schedule: false });
  boss.on("error", console.error);
  await boss.start();
  await boss.createQueue("live.job");
  await boss.insert("live.job", Array.from({ length: JOBS }, (_, n) => ({ data: { n } })));
  for (let i = 0; i < 4; i++) {
    await boss.work<{ n: number }>("live.job", { batchSize: 20, pollingIntervalSeconds: 0.5 }, async (jobs) => {
      for (const { data: { n } } of jobs) runs.push({ system: "other", n });
      await new Promise((resolve) => setTimeout(resolve, 5));
    });
  }
  // Beside the workers, which wait half a second after each batch: the same statement, without a pause.
  const stop = new AbortController();
  const busy = Promise.all(Array.from({ length: 3 }, async () => {
    while (!stop.signal.aborted) {
      const jobs = await boss.fetch<{ n: number }>("live.job", { batchSize: 5 });
      for (const { data: { n } } of jobs) runs.push({ system: "other", n });
      if (jobs.length > 0) await boss.complete("live.job", jobs.map(({ id }) => id));
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }));

  const reports = await importLive(firefly, () => importFromPgBoss({ firefly }));
  stop.abort();
  await busy;
  await boss.stop({ graceful: true, close: true });

  assertOnce(reports);
});

Deno.test("importFromGraphileWorker() moves jobs while workers of graphile-worker run, and each job runs exactly once", async () => {
  await using db: TestDatabase = await testDatabase();
  await using firefly = instanceOn(db);
  runs.length = 0;
  const logger = { error: console.error, warn() {}, info() {}, debug() {}, scope: () => logger };
  const utils = await makeWorkerUtils({ connectionString: db.url, logger: logger as never });
  await utils.migrate();
  await utils.addJobs(Array.from({ length: JOBS }, (_, n) => ({ identifier: "live.job", payload: { n } })));
  await utils.release();
  const runner = await run({
    connectionString: db.url,
    concurrency: 4,
    pollInterval: 50,
    noHandleSignals: true,
    logger: logger as never,
    taskList: { "live.job": (payload) => void runs.push({ system: "other", n: (payload as { n: number }).n }) },
  });

  const reports = await importLive(firefly, () => importFromGraphileWorker({ firefly }));
  await runner.stop();

  assertOnce(reports);
});
