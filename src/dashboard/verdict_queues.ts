import type { ConsumerRow } from "../store/consumer_overview.ts";
import {
  type ClaimedTasks,
  type DueTasks,
  MOST_WAITING,
  WAITING_REASONS,
  type WaitingReason,
  type WaitingTasks,
} from "../store/overview.ts";
import type { QueueSettingsRow } from "../store/overview_queue.ts";
import type { Sample } from "../store/queue_statistics.ts";

/** A queue as it is now. */
export interface QueueNow {
  readonly name: string;
  readonly due: number;
  /** Whether more tasks are due than were counted. */
  readonly more: boolean;
  /** Since when the oldest due task has been due, and for how many seconds; null if none is due. */
  readonly since: Date | null;
  readonly oldest: number | null;
  /** How many tasks wait. */
  readonly waiting: number;
  /** Whether more tasks wait. */
  readonly moreWaiting: boolean;
  /** How many tasks of it are claimed. */
  readonly running: number;
  /** Its live consumers, and how many tasks they run at a time: of this queue and of others that they serve. */
  readonly consumers: readonly ConsumerRow[];
  readonly places: number;
  /** Whether all places of its consumers are taken. */
  readonly full: boolean;
  readonly paused: boolean;
  readonly pausedSince: Date | null;
  readonly pausedBy: string | null;
  readonly pausedReason: string | null;
  /** `unserved`: tasks are due, and no live consumer serves it. `idle`: no live consumer serves it, and none is due. */
  readonly state: "active" | "paused" | "unserved" | "idle";
}

/** What {@linkcode queuesOf} makes queues of. */
export interface QueueParts {
  readonly now: Date;
  readonly due: readonly DueTasks[];
  /** Whether more tasks are due than were counted: then the last sample has the number, unless that is smaller. */
  readonly moreDue: boolean;
  readonly waiting: readonly WaitingTasks[];
  readonly samples: readonly Sample[];
  readonly claimed: readonly ClaimedTasks[];
  readonly settings: readonly QueueSettingsRow[];
  readonly consumers: readonly ConsumerRow[];
}

/** Whether a consumer serves a queue. */
export function serves({ allQueues, queues }: ConsumerRow, queue: string): boolean {
  return allQueues || queues.includes(queue);
}

/** How many of its places each consumer uses: what it has claimed beyond them waits in it. */
export function takenOf(claimed: readonly ClaimedTasks[], { id, concurrency }: ConsumerRow): number {
  const own = claimed.reduce((sum, { consumerId, tasks }) => sum + (consumerId === id ? tasks : 0), 0);
  return Math.min(concurrency, own);
}

/** Makes the queues that have tasks, settings or consumers, by name. */
export function queuesOf(parts: QueueParts): QueueNow[] {
  const { due, moreDue, waiting, samples, claimed, settings, consumers } = parts;
  const names = new Set([
    ...due.map(({ queue }) => queue),
    ...waiting.map(({ queue }) => queue),
    ...(moreDue || isCapped(waiting) ? samples.map(({ queue }) => queue) : []),
    ...claimed.map(({ queue }) => queue),
    ...settings.map(({ name }) => name),
    ...consumers.filter(({ live }) => live).flatMap(({ queues }) => queues),
  ]);
  const sums = sumsOf(parts);
  return [...names].sort().map((name) => queueOf(name, parts, sums));
}

/** What each queue and each consumer has, by name and id: there may be thousands. */
interface Sums {
  readonly due: ReadonlyMap<string, DueTasks>;
  readonly waiting: ReadonlyMap<string, number>;
  readonly samples: ReadonlyMap<string, Sample>;
  readonly running: ReadonlyMap<string, number>;
  readonly settings: ReadonlyMap<string, QueueSettingsRow>;
  /** How many places of a consumer are taken. */
  readonly taken: ReadonlyMap<string, number>;
  /** Whether more tasks wait than were counted. */
  readonly moreWaiting: boolean;
}

function sumsOf({ due, waiting, samples, claimed, settings, consumers }: QueueParts): Sums {
  const held = addUp(claimed.map(({ consumerId, tasks }) => [consumerId, tasks]));
  return {
    due: new Map(due.map((each) => [each.queue, each])),
    waiting: addUp(waiting.map(({ queue, tasks }) => [queue, tasks])),
    samples: new Map(samples.map((each) => [each.queue, each])),
    running: addUp(claimed.map(({ queue, tasks }) => [queue, tasks])),
    settings: new Map(settings.map((each) => [each.name, each])),
    taken: new Map(consumers.map(({ id, concurrency }) => [id, Math.min(concurrency, held.get(id) ?? 0)])),
    moreWaiting: isCapped(waiting),
  };
}

function addUp(counts: readonly (readonly [string, number])[]): Map<string, number> {
  const sums = new Map<string, number>();
  for (const [key, count] of counts) sums.set(key, (sums.get(key) ?? 0) + count);
  return sums;
}

function queueOf(name: string, parts: QueueParts, sums: Sums): QueueNow {
  const { paused = false, pausedSince = null, pausedBy = null, pausedReason = null } = sums.settings.get(name) ?? {};
  const serving = parts.consumers.filter((consumer) => consumer.live && serves(consumer, name));
  const places = serving.reduce((sum, { concurrency }) => sum + concurrency, 0);
  const stocks = stocksOf(name, parts, sums);
  return {
    name,
    ...stocks,
    running: sums.running.get(name) ?? 0,
    consumers: serving,
    places,
    full: places > 0 && serving.reduce((sum, { id }) => sum + sums.taken.get(id)!, 0) >= places,
    paused,
    pausedSince,
    pausedBy,
    pausedReason,
    state: paused ? "paused" : serving.length > 0 ? "active" : stocks.due > 0 ? "unserved" : "idle",
  };
}

function stocksOf(name: string, { now, moreDue }: QueueParts, sums: Sums) {
  const [counted, sample] = [sums.due.get(name), sums.samples.get(name)];
  const since = earliest(counted?.since, moreDue ? sample?.since : null);
  const { moreWaiting } = sums;
  return {
    due: Math.max(counted?.tasks ?? 0, moreDue ? sample?.due ?? 0 : 0),
    more: moreDue,
    since,
    oldest: since && Math.max(0, (now.getTime() - since.getTime()) / 1000),
    waiting: Math.max(sums.waiting.get(name) ?? 0, moreWaiting ? sample?.waiting ?? 0 : 0),
    moreWaiting,
  };
}

function earliest(a: Date | null | undefined, b: Date | null | undefined): Date | null {
  if (!a || !b) return a ?? b ?? null;
  return a < b ? a : b;
}

/** How many tasks wait for a reason, in all queues: up to 10,001. */
export function waitingFor(waiting: readonly WaitingTasks[], reason: WaitingReason): number {
  return waiting.reduce((sum, each) => sum + (each.reason === reason ? each.tasks : 0), 0);
}

/** Whether more tasks wait for one of the reasons than were counted. */
export function isCapped(waiting: readonly WaitingTasks[]): boolean {
  return WAITING_REASONS.some((reason) => waitingFor(waiting, reason) > MOST_WAITING);
}
