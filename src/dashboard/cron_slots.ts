import { parseCron, type Slots } from "../task/cron_expression.ts";

/** A cron, as far as its slots are concerned. */
export interface CronTimes {
  readonly expression: string;
  readonly timezone: string;
}

/** To parse an expression takes 0.3 ms and to compute a slot 35 µs, which would add up with each refresh of a page. */
const MOST_KNOWN = 500;

/** The slots of a cron that have been computed: all of those after `from`, up to the last one. */
interface Known {
  readonly slots: Slots;
  from: number;
  computed: Date[];
}

const known = new Map<string, Known>();

function knownOf({ expression, timezone }: CronTimes): Known | undefined {
  const key = JSON.stringify([expression, timezone]);
  const found = known.get(key);
  if (found) return found;
  try {
    const made = { slots: parseCron(expression, timezone, "read a cron"), from: Infinity, computed: [] };
    if (known.size >= MOST_KNOWN) known.clear();
    known.set(key, made);
    return made;
  } catch {
    return undefined;
  }
}

/** The slots of a cron; undefined if this runtime does not know its time zone. */
export function slotsOf(cron: CronTimes): Slots | undefined {
  return knownOf(cron)?.slots;
}

/**
 * The slots of a cron after `now` and up to `until`; undefined if there are more than `most`, or if the first three are
 * as close as if there were. None if this runtime does not know its time zone.
 */
export function slotsBetween(cron: CronTimes, { now, until, most }: { now: Date; until: Date; most: number }) {
  const own = knownOf(cron);
  if (!own) return [];
  if (own.from > now.getTime()) [own.from, own.computed] = [now.getTime(), []];
  own.computed = own.computed.filter((slot) => slot > now);
  own.from = now.getTime();
  const gap = (until.getTime() - now.getTime()) / most;
  for (let last = own.computed.at(-1) ?? now; last <= until;) {
    const next = own.slots.next(last);
    if (!next) break;
    own.computed.push(last = next);
    const [first, , third] = own.computed;
    if (own.computed.length > most + 1 || (third && third.getTime() - first!.getTime() < 2 * gap)) return undefined;
  }
  const found = own.computed.filter((slot) => slot <= until);
  return found.length > most ? undefined : found;
}
