import type { QueueLoad } from "../store/queue_load.ts";

/** What the number of consumers that a queue wants is computed from. */
export type WantedFrom = Pick<QueueLoad, "paused" | "consumers" | "slots" | "ready" | "due" | "running" | "recent">;

/** In how many seconds a backlog is to be worked off. */
const TARGET = 60;
/** Over how many seconds `recent` reaches. */
const RECENT = 180;
/** The concurrency of a consumer where none serves the queue: the default of `consume()`. */
const CONCURRENCY = 10;

/**
 * How many consumers a queue wants: enough for the work that is under way, and to work off its backlog within a minute.
 *
 * Short tasks keep `attempts a second × seconds` slots busy: of those that are claimed, most wait in their consumer, so
 * their number would call for ever more consumers. Tasks of a second and longer are counted, as they are claimed when
 * they start. A task of the backlog takes its share of a slot for a minute, and a whole slot if it runs for longer, or if
 * none has ended yet.
 */
export function wantedConsumers(load: WantedFrom): number {
  const { paused, consumers, slots, ready, due, running, recent: { attempts, seconds } } = load;
  const mean = attempts > 0 ? seconds / attempts : TARGET;
  const busy = mean < 1 ? seconds / RECENT : consumers > 0 ? Math.min(running, slots) : running;
  const backlog = paused ? 0 : (ready + due) * Math.min(1, mean / TARGET);
  const each = consumers > 0 ? slots / consumers : CONCURRENCY;
  return Math.ceil((busy + backlog) / each);
}
