import type { Tag } from "../database/driver.ts";
import type { Firefly } from "../firefly/firefly.ts";
import {
  countGraphileJobs,
  deleteGraphileJobs,
  GRAPHILE_CURSOR,
  type GraphileJob,
  listGraphileCrontabs,
  openGraphileJobs,
  readGraphileVersion,
} from "../store/import/graphile_worker.ts";
import { fetchNext, findTable } from "../store/import/relations.ts";
import type { Backoff } from "../task/backoff.ts";
import { currentInstance } from "../task/scope.ts";
import { type CountedJobs, moveJobs, type PostgresSource } from "./move.ts";
import { checkImportOptions, type ImportOptions } from "./options.ts";
import type { ImportReport } from "./report.ts";
import { checkTable, checkVersion } from "./tables.ts";
import type { SoftObstacle, WaitingJob } from "./waiting_job.ts";

/** The options of {@linkcode importFromGraphileWorker}. */
export interface GraphileWorkerImportOptions extends ImportOptions {
  /** The schema of graphile-worker. @default "graphile_worker" */
  schema?: string;
}

/** The last migrations of graphile-worker 0.16.0 and 0.18.0. */
const VERSIONS = { first: 18, last: 20, names: "graphile-worker 0.16 to 0.18" } as const;

/** A worker waits e to the power of the attempts in seconds, and no longer from the tenth on. */
const LAST_GROWTH = 10;

/**
 * Moves the waiting jobs of graphile-worker 0.16 to 0.18 in the same database, with their time, priority, attempts that
 * are left and job keys: in one transaction, while workers of both may run. Jobs that run or have failed for good stay.
 *
 * @throws {FireflyError} If there is no graphile-worker in this database, or one of a version that is not known.
 * @throws {SchemaMismatch} If the schema of Firefly is missing, or of another release.
 * @throws {TypeError | RangeError} If an option is wrong.
 *
 * @example
 * ```ts ignore
 * const report = await importFromGraphileWorker({ map: { send_mail: "mail.send" } });
 * console.log(report.imported, report.left);
 * ```
 */
export async function importFromGraphileWorker(options: GraphileWorkerImportOptions = {}): Promise<ImportReport> {
  checkImportOptions(options, ["schema"], "import from graphile-worker");
  const firefly = options.firefly ?? currentInstance() as Firefly;
  return await moveJobs(firefly, new GraphileSource(options), options);
}

class GraphileSource implements PostgresSource {
  readonly source = "graphile-worker";
  readonly #schema: string;
  readonly #filter: { names: readonly string[] | null; queues: readonly string[] | null };

  constructor({ schema = "graphile_worker", names, sourceQueues }: GraphileWorkerImportOptions) {
    this.#schema = schema;
    this.#filter = { names: names ?? null, queues: sourceQueues ?? null };
  }

  async check(sql: Tag): Promise<string> {
    const place = { source: this.source, schema: this.#schema };
    const { columns } = await findTable(sql, { schema: this.#schema, table: "migrations" });
    // Before migration 11 there was no such table: the version says more.
    const version = columns.length > 0 ? await readGraphileVersion(sql, this.#schema) : undefined;
    const jobs = await findTable(sql, { schema: this.#schema, table: "_private_jobs" });
    if (jobs.columns.length > 0 || version === undefined) checkTable(jobs, place);
    return checkVersion(version, { ...place, ...VERSIONS });
  }

  async open(sql: Tag, lock: boolean): Promise<void> {
    await openGraphileJobs(sql, { schema: this.#schema, ...this.#filter, lock });
  }

  async next(sql: Tag): Promise<WaitingJob[]> {
    return (await fetchNext<GraphileJob>(sql, GRAPHILE_CURSOR)).map(toWaitingJob);
  }

  async remove(sql: Tag, jobs: readonly WaitingJob[]): Promise<number> {
    return await deleteGraphileJobs(sql, this.#schema, jobs.map(({ id }) => id));
  }

  async count(sql: Tag): Promise<CountedJobs[]> {
    return await countGraphileJobs(sql, { schema: this.#schema, ...this.#filter }) as CountedJobs[];
  }

  async schedules(sql: Tag) {
    const found = await listGraphileCrontabs(sql, this.#schema);
    return found.map((name) => ({ name, cron: null, timezone: "UTC", data: null }));
  }
}

function toWaitingJob(job: GraphileJob): WaitingJob {
  return {
    id: job.id,
    name: job.name,
    queue: job.queue,
    data: job.payload,
    state: job.attempts > 0 ? "retrying" : job.is_delayed ? "delayed" : "waiting",
    priority: -job.priority || 0, // smaller numbers first; not -0
    due: job.due,
    maxRetries: Math.max(0, job.max_attempts - job.attempts - 1),
    usualRetryDelay: backoffAfter(job.attempts),
    ...(job.key === null ? {} : { unique: { key: job.key, among: ["created"] as ["created"] } }),
    softObstacles: softObstaclesOf(job),
    tags: ["graphile-worker", `graphile-worker:${job.id}`],
  };
}

/** The delays of graphile-worker, which a definition of the task has none of: it doubles them instead of times e. */
function backoffAfter(attempts: number): Backoff {
  const after = (count: number) => Math.exp(Math.min(LAST_GROWTH, count));
  return { kind: "exponential", delay: after(attempts + 1), max: after(LAST_GROWTH), jitter: false };
}

function softObstaclesOf({ queue, is_queue_locked, flags }: GraphileJob): SoftObstacle[] {
  const found: SoftObstacle[] = [];
  if (queue !== null && is_queue_locked) {
    const detail = `a job of its queue "${queue}" runs now, and its jobs run one by one: run the import again`;
    found.push({ reason: "serial-queue", detail });
  } else if (queue !== null) {
    const detail = `the jobs of its queue "${queue}" run one by one: give the task a concurrency of 1`;
    found.push({ reason: "serial-queue", detail, unless: "concurrency" });
  }
  if (flags.length > 0) {
    found.push({ reason: "flags", detail: `it has the flags ${flags.join(", ")}, by which workers leave jobs out` });
  }
  return found;
}
