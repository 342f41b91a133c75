import type { Tag } from "../database/driver.ts";
import { deliversAlerts } from "../store/alerts.ts";
import { type ConsumerRow, type LongTask, readConsumerRows, readLongest } from "../store/consumer_overview.ts";
import { readClaimedAsViewer, readCronStatesAsViewer, readLongestAsViewer } from "../store/overview_viewer.ts";
import { type CronState, readCronStates } from "../store/cron_history.ts";
import {
  type ClaimedTasks,
  type FailedTasks,
  readClaimed,
  readDue,
  readFailed,
  readUnknown,
  readWaiting,
  type UnknownTasks,
  type WaitingTasks,
} from "../store/overview.ts";
import { readQueueSettings } from "../store/overview_queue.ts";
import { readLastServed, readSamples } from "../store/queue_statistics.ts";
import {
  type ErrorGroup,
  type FailedMinute,
  type NameTotals,
  readErrorGroups,
  readFailedMinutes,
  readNameTotals,
  readRuns,
} from "../store/queue_statistics_names.ts";
import { readWaits, type Waits } from "../store/waits.ts";
import { MOST_OF_A_KIND } from "./verdict_thresholds.ts";
import { type QueueNow, queuesOf } from "./verdict_queues.ts";

/** What a verdict is made of. */
export interface Facts {
  /** The database's time. */
  readonly now: Date;
  readonly queues: readonly QueueNow[];
  readonly waiting: readonly WaitingTasks[];
  /** What suspended tasks wait for. */
  readonly waits: readonly Waits[];
  readonly consumers: readonly ConsumerRow[];
  readonly claimed: readonly ClaimedTasks[];
  readonly unknown: readonly UnknownTasks[];
  readonly longest: readonly LongTask[];
  readonly crons: readonly CronState[];
  /** What failed for good within the last hour. */
  readonly failed: readonly FailedTasks[];
  readonly moreFailed: boolean;
  readonly groups: readonly ErrorGroup[];
  /** What consumers counted within the last hour. */
  readonly names: readonly NameTotals[];
  readonly runs: ReadonlyMap<string, readonly number[]>;
  readonly failedMinutes: readonly FailedMinute[];
  /** When the queues without a consumer had one last. */
  readonly lastServed: ReadonlyMap<string, Date>;
}

/** Where facts come from. */
export interface FactSource {
  readonly sql: Tag;
  /** The database's time. */
  readonly now: Date;
  /** Whether the connection may read records; one with the role viewer reads views. */
  readonly mayReadRecords: boolean;
}

/**
 * Reads what a verdict is made of by 17 statements, none of which reads all records: with 1,000,000 tasks, of which 28,000
 * are due and 270,000 wait, they take the server 16 ms together.
 */
export async function readFacts(source: FactSource): Promise<Facts> {
  const { sql } = source;
  const [queues, present, past] = await Promise.all([readQueueFacts(source), readPresent(source), readPast(source)]);
  const unserved = queues.queues.filter(({ state }) => state === "unserved")
    .sort((a, b) => b.due - a.due).slice(0, MOST_OF_A_KIND).map(({ name }) => name); // no others get an entry
  const lastServed = unserved.length > 0 ? await readLastServed(sql, unserved) : new Map<string, Date>();
  return { ...queues, ...present, ...past, lastServed };
}

/** The queues as they are now, and what they were made of. */
export type QueueFacts = Pick<Facts, "now" | "queues" | "waiting" | "consumers" | "claimed">;

/** Reads the queues as they are now. */
export async function readQueueFacts({ sql, now, mayReadRecords }: FactSource): Promise<QueueFacts> {
  const [{ due, more }, waiting, samples, claimed, settings, consumers] = await Promise.all([
    readDue(sql),
    readWaiting(sql),
    readSamples(sql),
    mayReadRecords ? readClaimed(sql) : readClaimedAsViewer(sql),
    readQueueSettings(sql),
    readConsumerRows(sql),
  ]);
  const queues = queuesOf({ now, due, moreDue: more, waiting, samples, claimed, settings, consumers });
  // One that delivers alerts is no news of its own: the other consumer of its process crashes or falls silent with it.
  return { now, queues, waiting, consumers: consumers.filter((consumer) => !deliversAlerts(consumer)), claimed };
}

async function readPresent({ sql, mayReadRecords }: FactSource) {
  const [waits, unknown, longest, crons] = await Promise.all([
    readWaits(sql),
    readUnknown(sql),
    mayReadRecords ? readLongest(sql) : readLongestAsViewer(sql),
    mayReadRecords ? readCronStates(sql) : readCronStatesAsViewer(sql),
  ]);
  return { waits, unknown, longest, crons };
}

async function readPast({ sql, mayReadRecords }: FactSource) {
  const [{ failed, more }, groups, names, runs, failedMinutes] = await Promise.all([
    readFailed(sql),
    readErrorGroups(sql, { messages: mayReadRecords }),
    readNameTotals(sql),
    readRuns(sql),
    readFailedMinutes(sql),
  ]);
  return { failed, moreFailed: more, groups, names, runs, failedMinutes };
}
