import type { Tag } from "../database/driver.ts";
import { FireflyError } from "../errors.ts";
import type { Firefly } from "../firefly/firefly.ts";
import { requireSchema } from "../schema/migrator.ts";
import { insertUnfinishedImport, readTarget } from "../store/unfinished_import.ts";
import { currentInstance } from "../task/scope.ts";
import { toWaitingJob } from "./bullmq_job.ts";
import { BullQueue, type ListedJob } from "./bullmq_queue.ts";
import {
  countUnfinished,
  finishImports,
  inTransaction,
  lockQueues,
  type Recovered,
  recoverImports,
} from "./bullmq_recovery.ts";
import { DryRun, insertPlanned } from "./insert_planned.ts";
import { checkImportOptions, type ImportOptions } from "./options.ts";
import { Planner } from "./planner.ts";
import { commandsOf, findQueues, type RedisConnection } from "./redis.ts";
import { type ImportReport, Tally } from "./report.ts";

/** The options of {@linkcode importFromBullMQ}. */
export interface BullMQImportOptions extends ImportOptions {
  /** A connection to the Redis of BullMQ. The import leaves it open. */
  connection: RedisConnection;
  /** The prefix of BullMQ's keys. @default "bull" */
  prefix?: string;
}

/** A queue to import from, and what the import knows of it. */
interface OpenQueue {
  readonly queue: BullQueue;
  /** The major version of BullMQ. */
  readonly major: number;
  /** The id of this import, under which it holds jobs. */
  readonly importId: string;
}

/** What all steps of an import use. */
interface Import {
  readonly planner: Planner;
  readonly tally: Tally;
  readonly options: ImportOptions;
}

/** The major versions of BullMQ whose keys are known. */
const MAJORS = [5, 6];

/** How many jobs are planned and scheduled at a time. */
const BATCH = 1_000;

/**
 * Moves the waiting jobs of queues of BullMQ 5 and 6, with their time, priority, attempts that are left, backoff and
 * deduplication, while workers of both may run. Jobs that run or have ended stay.
 *
 * Redis and PostgreSQL share no transaction. So the import takes jobs out of the lists from which workers take them,
 * schedules all of them in one transaction, and then removes them from Redis. If it does not get to its end, the next call
 * finishes it: it removes the jobs whose tasks were committed, and returns the others. No job is lost, and none runs
 * twice, as long as Redis keeps what it was told.
 *
 * @throws {FireflyError} If a queue is of an unknown version, or is being imported by another process.
 * @throws {SchemaMismatch} If the schema of Firefly is missing, or of another release.
 * @throws {TypeError | RangeError} If an option is wrong.
 *
 * @example
 * ```ts ignore
 * import { importFromBullMQ } from "@firefly/tasks/import";
 * import { Redis } from "ioredis";
 *
 * const connection = new Redis();
 * const report = await importFromBullMQ({ connection, sourceQueues: ["mail"], map: { welcome: "mail.welcome" } });
 * console.log(report.imported, report.left);
 * ```
 */
export async function importFromBullMQ(options: BullMQImportOptions): Promise<ImportReport> {
  const action = "import from BullMQ";
  checkImportOptions(options, ["connection", "prefix"], action);
  const { prefix = "bull", sourceQueues, dryRun = false } = options;
  const send = commandsOf(options.connection, action);
  const firefly = options.firefly ?? currentInstance() as Firefly;
  await requireSchema((await firefly.connect()).database.records, firefly.schema);
  const names = sourceQueues ?? await findQueues(send, prefix);
  // In one order, so that two imports cannot each wait for a queue of the other.
  const queues = [...new Set(names)].sort().map((name) => new BullQueue(send, { prefix, name }));
  const open = await Promise.all(queues.map(openQueue));
  const work: Import = { planner: new Planner(firefly, options), tally: new Tally(), options };
  const recovered = dryRun ? await rehearse(firefly, open, work) : await moveJobs(firefly, open, work);
  for (const { queue } of open) await countOthers(queue, work.tally);
  return {
    source: "bullmq",
    version: [...new Set(await Promise.all(queues.map((queue) => queue.version())))].sort().join(", "),
    dryRun,
    ...work.tally.toGroups(),
    schedules: (await Promise.all(queues.map((queue) => queue.schedules()))).flat(),
    recovered,
  };
}

async function openQueue(queue: BullQueue): Promise<OpenQueue> {
  const version = await queue.version();
  const major = parseInt(version ?? "", 10);
  if (MAJORS.includes(major)) return { queue, major, importId: crypto.randomUUID() };
  throw new FireflyError(
    version === undefined
      ? `Cannot import from BullMQ as the key ${queue.base}:meta has no version: there is no such queue, ` +
        "or a release of BullMQ opened it last that is older than those that write one"
      : `Cannot import from BullMQ as its queue "${queue.name}" is of version ${version}, and this release knows 5 and 6`,
  );
}

/** Finishes earlier imports, then moves jobs; on a failure, returns what it held. */
async function moveJobs(firefly: Firefly, open: readonly OpenQueue[], work: Import): Promise<Recovered> {
  const recovered = await recoverImports(firefly, open);
  try {
    await inTransaction(firefly, async (sql) => {
      await lockQueues(sql, open);
      const target = await readTarget(sql);
      for (const each of open) {
        await moveQueue(sql, each, { ...work, target });
        await insertUnfinishedImport(sql, { id: each.importId, source: each.queue.base });
      }
    });
  } catch (error) {
    throw await returnAfter(error, firefly, open);
  }
  await finishImports(firefly, open);
  return recovered;
}

/** Holds the jobs of a queue, and schedules their tasks. Jobs that get none are returned at once. */
async function moveQueue(
  sql: Tag,
  { queue, major, importId }: OpenQueue,
  { planner, tally, options, target }: Import & { target: string },
): Promise<void> {
  for (const batch of batchesOf(await queue.listWaiting())) {
    options.signal?.throwIfAborted();
    const listed = new Map(batch.map((job) => [job.id, job]));
    const plan = async (jobs: Awaited<ReturnType<BullQueue["read"]>>) =>
      await Promise.all(jobs.map((job) => planner.plan(toWaitingJob(job, listed.get(job.id)!, queue.name))));
    const seen = (await plan(await queue.read([...listed.keys()]))).filter((one) => isChosen(one.job.name, options));
    const wanted = seen.filter((one) => "task" in one);
    // Planned once more of what was held: until then, the application may have changed them.
    const held = wanted.length > 0
      ? await plan(await queue.hold(wanted.map(({ job }) => listed.get(job.id)!), { id: importId, target }))
      : [];
    const moved = await insertPlanned(sql, [...seen.filter((one) => "left" in one), ...held], tally);
    const kept = new Set(moved.map(({ id }) => id));
    const unwanted = held.filter(({ job }) => !kept.has(job.id)).map(({ job }) => job.id);
    if (unwanted.length > 0) await queue.giveBack(importId, unwanted.reverse(), major);
    countBusy(tally, { queue: queue.name, wanted: wanted.map(({ job }) => job), held: held.map(({ job }) => job.id) });
    options.onProgress?.({ read: tally.read, imported: tally.imported });
  }
}

/** Counts what an import would do, and reads Redis only. */
async function rehearse(firefly: Firefly, open: readonly OpenQueue[], work: Import): Promise<Recovered> {
  const { planner, tally, options } = work;
  const rehearsal = new DryRun();
  const { database: { records: sql } } = await firefly.connect();
  for (const { queue } of open) {
    for (const batch of batchesOf(await queue.listWaiting())) {
      options.signal?.throwIfAborted();
      const listed = new Map(batch.map((job) => [job.id, job]));
      const jobs = await queue.read([...listed.keys()]);
      const planned = await Promise.all(
        jobs.filter(({ name }) => isChosen(name, options))
          .map((job) => planner.plan(toWaitingJob(job, listed.get(job.id)!, queue.name))),
      );
      await rehearsal.count(sql, planned, tally);
      options.onProgress?.({ read: tally.read, imported: tally.imported });
    }
  }
  return await countUnfinished(sql, open);
}

function isChosen(name: string, { names }: ImportOptions): boolean {
  return names?.includes(name) ?? true;
}

function* batchesOf(jobs: readonly ListedJob[]): Generator<ListedJob[]> {
  for (let i = 0; i < jobs.length; i += BATCH) yield jobs.slice(i, i + BATCH);
}

function countBusy(
  tally: Tally,
  { queue, wanted, held }: { queue: string; wanted: readonly { id: string; name: string }[]; held: readonly string[] },
): void {
  const found = new Set(held);
  for (const { id, name } of wanted) {
    if (found.has(id)) continue;
    tally.addLeft({ name, sourceQueue: queue, reason: "busy", detail: "a worker took it meanwhile", ids: [id] });
  }
}

/** Counts the jobs that do not wait to be taken. */
async function countOthers(queue: BullQueue, tally: Tally): Promise<void> {
  const sourceQueue = queue.name;
  for (const { id, name } of await queue.read(await queue.listRunning())) {
    tally.addLeft({ name, sourceQueue, reason: "running", detail: "a worker runs it", ids: [id] });
  }
  const ended = await queue.count("completed") + await queue.count("failed");
  tally.addLeft({ name: null, sourceQueue, reason: "ended", detail: "it has ended", count: ended });
  const parents = await queue.count("waiting-children");
  const detail = "it waits for its children";
  tally.addLeft({ name: null, sourceQueue, reason: "dependencies", detail, count: parents });
}

/** Returns the jobs that a failed import holds; an error that says what to do if that fails, too. */
async function returnAfter(error: unknown, firefly: Firefly, open: readonly OpenQueue[]): Promise<unknown> {
  try {
    await recoverImports(firefly, open);
    return error;
  } catch {
    const reason = error instanceof Error ? error.message : String(error);
    return new FireflyError(
      `Cannot finish the import from BullMQ: ${reason}. It may hold jobs, which no worker runs: run the import again`,
      { cause: error },
    );
  }
}
