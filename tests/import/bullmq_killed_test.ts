import { assert, assertEquals } from "@std/assert";
import { Queue, Worker } from "bullmq";
import { importFromBullMQ } from "../../import.ts";
import { task } from "../../mod.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { instanceOn } from "../support/import_jobs.ts";
import { type TestRedis, testRedis, WITH_REDIS } from "../support/redis.ts";

const PROGRAM = new URL("../support/killed_import.ts", import.meta.url).pathname;
const CONFIG = new URL("../../deno.json", import.meta.url).pathname;

/** How many steps are tried at a time: each has processes, a database and a Redis of its own. */
const AT_A_TIME = 4;

task("killed.job", () => {});

/** Runs the import in a process that kills itself at a step; false if it ended before it got there. */
async function wasKilledAt({ url }: TestDatabase, redis: TestRedis, ...step: string[]): Promise<boolean> {
  const args = ["run", "--quiet", "--no-check", "-A", "--config", CONFIG, PROGRAM, url, redis.url, ...step];
  const { code, signal, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
  if (signal === "SIGKILL") return true;
  assertEquals(code, 0, new TextDecoder().decode(stderr));
  return false;
}

/** Adds a job for each list that jobs wait in. */
async function addJobs(queue: Queue): Promise<number[]> {
  await queue.add("killed.job", { n: 1 });
  await queue.add("killed.job", { n: 2 });
  await queue.add("killed.job", { n: 3 }, { priority: 5 });
  await queue.add("killed.job", { n: 4 }, { delay: 5_000_000 });
  await queue.add("killed.job", { n: 5 }, { jobId: "own" });
  return [1, 2, 3, 4, 5];
}

/** Runs what a worker of BullMQ finds: all jobs that do not wait for their time. */
async function runAll(worker: Worker): Promise<number[]> {
  const ran: number[] = [];
  for (let job; (job = await worker.getNextJob("token", { block: false }));) {
    ran.push(job.data.n);
    await job.moveToCompleted(null, "token", false);
  }
  return ran;
}

async function importedOf({ sql }: TestDatabase): Promise<number[]> {
  const rows = await sql`SELECT firefly.decode(params) AS params FROM firefly.task`;
  return rows.map(({ params }) => params[0].n);
}

/** Kills an import at a step, lets a worker of BullMQ run what it finds, and imports again. Returns whether it was killed. */
async function killAt(...step: string[]): Promise<boolean> {
  await using db = await testDatabase();
  await using redis = await testRedis();
  const connection = { url: redis.url, maxRetriesPerRequest: null };
  const queue = new Queue("killed", { connection });
  const worker = new Worker("killed", null, { connection, autorun: false, skipStalledCheck: true } as never);
  try {
    const added = await addJobs(queue);
    const wasKilled = await wasKilledAt(db, redis, ...step);
    const ran = await runAll(worker);
    const before = await importedOf(db);
    await using firefly = instanceOn(db);
    await importFromBullMQ({ firefly, connection: redis.client });
    const found = [...ran, ...await runAll(worker), ...await importedOf(db)].sort();
    const where = `at ${step.join(" ")}: a worker ran ${ran}, and ${before} were imported before the second import`;
    assertEquals(found, added, where);
    assertEquals(await queue.getJobCountByTypes("waiting", "delayed", "prioritized", "active"), 0, where);
    assertEquals(await redis.client.keys("bull:killed:firefly:*"), [], where);
    assertEquals((await db.sql`SELECT FROM firefly.unfinished_import`).length, 0, where);
    return wasKilled;
  } finally {
    await Promise.all([queue.close(), worker.close(true)]);
  }
}

Deno.test({
  ...WITH_REDIS,
  name: "importFromBullMQ() neither loses nor doubles a job if it is killed after any call of Redis, or after COMMIT",
  async fn() {
    assert(await killAt("before-finish"));
    let steps = 0;
    for (let killed = AT_A_TIME; killed === AT_A_TIME; steps += killed) {
      const numbers = Array.from({ length: AT_A_TIME }, (_, i) => String(steps + i + 1));
      killed = (await Promise.all(numbers.map((number) => killAt("after", number)))).filter(Boolean).length;
    }

    assert(steps >= 10, `it was killed at ${steps} steps only`);
  },
});
