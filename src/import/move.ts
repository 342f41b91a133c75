import type { Tag } from "../database/driver.ts";
import { codeOf, LOCK_NOT_AVAILABLE } from "../database/error_codes.ts";
import { runTransaction, Transaction } from "../database/transaction.ts";
import { FireflyError } from "../errors.ts";
import type { Firefly } from "../firefly/firefly.ts";
import { requireSchema } from "../schema/migrator.ts";
import { DryRun, insertPlanned } from "./insert_planned.ts";
import type { ImportOptions } from "./options.ts";
import { Planner } from "./planner.ts";
import { type FoundSchedule, type ImportReport, Tally } from "./report.ts";
import type { WaitingJob } from "./waiting_job.ts";

/** How many jobs of a name are in a state; `waiting` are those that {@linkcode PostgresSource.next} reads. */
export interface CountedJobs {
  readonly name: string;
  readonly state: "waiting" | "running" | "ended";
  readonly count: number;
  /** The ids of a few that run. */
  readonly ids: readonly string[];
}

/** A queue of another package in the same database. */
export interface PostgresSource {
  readonly source: "pg-boss" | "graphile-worker";
  /** Finds its tables, and returns the version of their layout. Throws if it cannot use them. */
  check(sql: Tag): Promise<string>;
  /** Begins to read the jobs that wait; with `lock`, no worker can take a job that was read. */
  open(sql: Tag, lock: boolean): Promise<void>;
  /** Reads the next jobs; none after the last one. */
  next(sql: Tag): Promise<WaitingJob[]>;
  /** Deletes jobs. Returns how many. */
  remove(sql: Tag, jobs: readonly WaitingJob[]): Promise<number>;
  count(sql: Tag): Promise<CountedJobs[]>;
  schedules(sql: Tag): Promise<FoundSchedule[]>;
}

/** How many seconds the import waits for an open transaction that schedules a duplicate. */
const LOCK_TIMEOUT = 15;

const DETAILS = {
  running: "a worker runs it",
  ended: "it has ended",
  busy: "a worker took it, or another program added it, meanwhile: run the import again",
};

/**
 * Moves the jobs of a queue in the same database. Deleting them there and scheduling them here are one transaction, so
 * that each job is in one of both at any time, whatever ends the import.
 */
export async function moveJobs(
  firefly: Firefly,
  source: PostgresSource,
  options: ImportOptions,
): Promise<ImportReport> {
  const { sessions, database } = await firefly.connect();
  await requireSchema(database.records, firefly.schema);
  const transaction = Transaction.on(sessions, {
    schema: firefly.schema,
    setup: `SET LOCAL lock_timeout = '${LOCK_TIMEOUT}s';`,
  });
  if (options.dryRun) {
    try {
      return await moveIn(transaction.statements, firefly, { source, options });
    } finally {
      await transaction.rollback();
    }
  }
  try {
    return await runTransaction(transaction, ({ statements }) => moveIn(statements, firefly, { source, options }));
  } catch (error) {
    if (codeOf(error) !== LOCK_NOT_AVAILABLE) throw error;
    throw new FireflyError(
      `Cannot import from ${source.source} as an open transaction has held a lock for ${LOCK_TIMEOUT} s: ` +
        "nothing was moved, run the import again",
      { cause: error },
    );
  }
}

async function moveIn(
  sql: Tag,
  firefly: Firefly,
  { source, options }: { source: PostgresSource; options: ImportOptions },
): Promise<ImportReport> {
  const { dryRun = false, signal, onProgress } = options;
  const version = await source.check(sql);
  const planner = new Planner(firefly, options);
  const tally = new Tally();
  const rehearsal = new DryRun();
  await source.open(sql, !dryRun);
  for (let jobs; (jobs = await source.next(sql)).length > 0;) {
    signal?.throwIfAborted();
    const planned = await Promise.all(jobs.map((job) => planner.plan(job)));
    if (dryRun) await rehearsal.count(sql, planned, tally);
    else {
      const moved = await insertPlanned(sql, planned, tally);
      const removed = moved.length > 0 ? await source.remove(sql, moved) : 0;
      if (removed !== moved.length) throw notRemoved(source, { removed, moved: moved.length });
    }
    onProgress?.({ read: tally.read, imported: tally.imported });
  }
  signal?.throwIfAborted();
  await countLeft(sql, { source, tally, dryRun });
  return {
    source: source.source,
    version,
    dryRun,
    ...tally.toGroups(),
    schedules: await source.schedules(sql),
    recovered: { removed: 0, returned: 0 },
  };
}

/** Its rows are locked, so that only a rule or a trigger of the user's can keep one from being deleted. */
function notRemoved({ source }: PostgresSource, { removed, moved }: { removed: number; moved: number }): FireflyError {
  return new FireflyError(
    `Cannot import from ${source} as it let ${removed} of ${moved} jobs be deleted, by a trigger or a policy of its ` +
      "table: nothing was moved",
  );
}

/** Counts the jobs that the import did not read. */
async function countLeft(
  sql: Tag,
  { source, tally, dryRun }: { source: PostgresSource; tally: Tally; dryRun: boolean },
): Promise<void> {
  for (const { name, state, count, ids } of await source.count(sql)) {
    const place = { name, sourceQueue: null };
    if (state !== "waiting") tally.addLeft({ ...place, reason: state, detail: DETAILS[state], count, ids });
    else {
      const { imported, left } = tally.countsOf(name);
      const busy = count - left - (dryRun ? imported : 0);
      tally.addLeft({ ...place, reason: "busy", detail: DETAILS.busy, count: busy });
    }
  }
}
