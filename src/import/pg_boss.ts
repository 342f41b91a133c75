import type { Tag } from "../database/driver.ts";
import { FireflyError } from "../errors.ts";
import type { Firefly } from "../firefly/firefly.ts";
import {
  countPgBossJobs,
  deletePgBossJobs,
  listPgBossSchedules,
  openPgBossJobs,
  PG_BOSS_CURSOR,
  type PgBossJob,
  readPgBossVersion,
} from "../store/import/pg_boss.ts";
import { fetchNext, findTable } from "../store/import/relations.ts";
import type { Backoff } from "../task/backoff.ts";
import { currentInstance } from "../task/scope.ts";
import { moveJobs, type PostgresSource } from "./move.ts";
import { checkImportOptions, type ImportOptions } from "./options.ts";
import type { ImportReport } from "./report.ts";
import { checkTable, checkVersion } from "./tables.ts";
import type { SoftObstacle, WaitingJob } from "./waiting_job.ts";

/** The options of {@linkcode importFromPgBoss}. */
export interface PgBossImportOptions extends ImportOptions {
  /** The schema of pg-boss. @default "pgboss" */
  schema?: string;
}

/** The versions of the schema that pg-boss 10.0.0 and 12.38.0 have. */
const VERSIONS = { first: 21, last: 46, names: "pg-boss 10 to 12" } as const;

/** Queues of pg-boss itself have names that begin so. */
const INTERNAL = "__pgboss__";

/** Policies of queues that run one job at a time, of all or of each key. */
const SERIAL_POLICIES = ["singleton", "stately", "key_strict_fifo"];

/**
 * Moves the waiting jobs of pg-boss 10 to 12 in the same database, with their time, priority, retries that are left,
 * delays, timeouts and keys: in one transaction, while workers of both may run. Jobs that run or have ended stay.
 *
 * @throws {FireflyError} If there is no pg-boss in this database, or one of a version that is not known.
 * @throws {SchemaMismatch} If the schema of Firefly is missing, or of another release.
 * @throws {TypeError | RangeError} If an option is wrong.
 *
 * @example
 * ```ts ignore
 * const report = await importFromPgBoss({ map: { "welcome-mail": "mail.welcome" }, dryRun: true });
 * console.log(report.imported, report.left);
 * ```
 */
export async function importFromPgBoss(options: PgBossImportOptions = {}): Promise<ImportReport> {
  checkImportOptions(options, ["schema"], "import from pg-boss");
  const firefly = options.firefly ?? currentInstance() as Firefly;
  return await moveJobs(firefly, new PgBossSource(options), options);
}

class PgBossSource implements PostgresSource {
  readonly source = "pg-boss";
  readonly #schema: string;
  /** Each queue of pg-boss has the jobs of one name. */
  readonly #names: readonly string[] | null;
  #columns: readonly string[] = [];

  constructor({ schema = "pgboss", names, sourceQueues }: PgBossImportOptions) {
    this.#schema = schema;
    this.#names = names && sourceQueues
      ? names.filter((name) => sourceQueues.includes(name))
      : names ?? sourceQueues ?? null;
  }

  async check(sql: Tag): Promise<string> {
    const { columns } = checkTable(await findTable(sql, { schema: this.#schema, table: "job" }), {
      source: this.source,
      schema: this.#schema,
    });
    const { columns: version } = await findTable(sql, { schema: this.#schema, table: "version" });
    this.#columns = columns;
    const found = version.length > 0 ? await readPgBossVersion(sql, this.#schema) : undefined;
    return checkVersion(found, { source: this.source, schema: this.#schema, ...VERSIONS });
  }

  async open(sql: Tag, lock: boolean): Promise<void> {
    await openPgBossJobs(sql, { schema: this.#schema, columns: this.#columns, names: this.#names, lock });
  }

  async next(sql: Tag): Promise<WaitingJob[]> {
    return (await fetchNext<PgBossJob>(sql, PG_BOSS_CURSOR)).map(toWaitingJob);
  }

  async remove(sql: Tag, jobs: readonly WaitingJob[]): Promise<number> {
    return await deletePgBossJobs(sql, this.#schema, jobs);
  }

  async count(sql: Tag) {
    return (await countPgBossJobs(sql, this.#schema, this.#names)).map(({ state, ...counted }) => ({
      ...counted,
      state: state === "created" || state === "retry"
        ? "waiting" as const
        : state === "active"
        ? "running" as const
        : "ended" as const,
    }));
  }

  async schedules(sql: Tag) {
    const { columns } = await findTable(sql, { schema: this.#schema, table: "schedule" });
    if (columns.length === 0) {
      throw new FireflyError(`Cannot import from pg-boss as ${this.#schema}.schedule is missing`);
    }
    return (await listPgBossSchedules(sql, this.#schema))
      .filter(({ name }) => this.#names?.includes(name) ?? true)
      .map(({ name, cron, timezone, data }) => ({ name, cron, timezone, data }));
  }
}

function toWaitingJob(job: PgBossJob): WaitingJob {
  const retries = retriesOf(job);
  return {
    id: job.id,
    name: job.name,
    queue: job.name,
    data: job.data,
    state: job.state === "retry" ? "retrying" : job.is_delayed ? "delayed" : "waiting",
    priority: job.priority,
    due: job.due,
    maxRetries: Math.max(0, job.retry_limit - retries),
    retryDelay: retryDelayOf(job, retries),
    ...(job.expire_seconds === null ? {} : { timeout: job.expire_seconds }),
    ...uniqueOf(job),
    traceparent: job.traceparent,
    ...obstacleOf(job),
    softObstacles: softObstaclesOf(job),
    tags: ["pg-boss", `pg-boss:${job.id}`],
  };
}

/** How many retries there will have been once the next attempt has begun. */
function retriesOf({ retry_count, was_started }: PgBossJob): number {
  return retry_count + (was_started ? 1 : 0);
}

/** The backoff of pg-boss goes on where it is: what it has doubled so far is part of the first delay. */
function retryDelayOf(job: PgBossJob, retries: number): number | Backoff {
  if (!job.retry_backoff) return job.retry_delay;
  const grown = (count: number) => job.retry_delay * 2 ** Math.min(16, count + 1);
  return { kind: "exponential", delay: grown(retries), max: job.retry_delay_max ?? grown(16) };
}

/** The key by which pg-boss keeps a second job out, where its policy does so. Without a key, a policy counts all jobs. */
function uniqueOf({ policy, singleton_key: key, is_upserted, name }: PgBossJob): Pick<WaitingJob, "unique"> {
  if (policy === "exclusive") return { unique: { key: key || name } };
  if (policy === "short" || policy === "stately" || is_upserted) {
    return { unique: { key: key || name, among: ["created"] } };
  }
  return {};
}

function obstacleOf({ name, is_expired, blocked, blocking }: PgBossJob): Pick<WaitingJob, "obstacle"> {
  if (name.startsWith(INTERNAL)) return { obstacle: { reason: "internal", detail: "it is a job of pg-boss itself" } };
  if (blocked) return { obstacle: { reason: "dependencies", detail: "it waits for other jobs" } };
  if (blocking) return { obstacle: { reason: "dependencies", detail: "other jobs wait for it" } };
  if (is_expired) {
    return { obstacle: { reason: "expired", detail: "it waited longer than its retention, so pg-boss deletes it" } };
  }
  return {};
}

function softObstaclesOf({ policy, group_id, dead_letter, is_throttled }: PgBossJob): SoftObstacle[] {
  const found: SoftObstacle[] = [];
  if (policy !== null && SERIAL_POLICIES.includes(policy)) {
    const detail = `the policy "${policy}" runs one job at a time: give the task a concurrency`;
    found.push({ reason: "policy", detail, unless: "concurrency" });
  }
  if (group_id !== null) {
    found.push({
      reason: "group",
      detail: `it is of group "${group_id}": give the task a concurrency`,
      unless: "concurrency",
    });
  }
  if (dead_letter !== null) {
    const detail = `its dead letter queue is "${dead_letter}", and Firefly has none: failed tasks stay as records`;
    found.push({ reason: "dead-letter", detail });
  }
  if (is_throttled) {
    const detail = "it keeps others out for a time, by singletonSeconds: give the task a unique with for";
    found.push({ reason: "throttle", detail, unless: "unique" });
  }
  return found;
}
