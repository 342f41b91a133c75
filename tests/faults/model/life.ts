/** A way in which a record gets from one state to another: `by` a function of the store, or of SQL. */
export interface Transition {
  from: readonly string[];
  to: readonly string[];
  by: string;
}

const LINES = ["waiting: concurrency", "waiting: rate"];
const PLACES = ["ready", "waiting: time", ...LINES]; // of a task that waits for no other
const DEPENDENT = "waiting: dependencies";
const SUSPENDED = "waiting: suspended"; // where its wait has an end in time: "waiting: time"
const CREATED = [...PLACES, "waiting: unknown", DEPENDENT, SUSPENDED];
const ENDED = ["completed", "failed", "cancelled"];

/** Words of docs/states.md that stand for several states. */
export const WORDS: Readonly<Record<string, readonly string[]>> = {
  "limited": LINES,
  "placed": PLACES,
  "unclaimed": CREATED,
  "ended": ENDED,
};

/**
 * All that becomes of a record, as docs/states.md tells it: the model test fails at a step that does anything else, and
 * if something here never happens. What is edited by hand (`nowhere`: where no table but `task` has it) is left out.
 */
export const TRANSITIONS: readonly Transition[] = [
  { from: ["new"], to: PLACES, by: "insertTasks" },
  { from: ["new"], to: [...PLACES, DEPENDENT], by: "scheduleUnique" },
  { from: ["new"], to: PLACES, by: "INSERT" },
  { from: ["new"], to: ["ready", "waiting: time"], by: "firefly.schedule" },
  { from: ["new"], to: ["ready"], by: "fireCron" },
  { from: CREATED, to: [...PLACES, DEPENDENT], by: "scheduleUnique" },
  { from: CREATED, to: [...PLACES, DEPENDENT], by: "firefly.schedule" },
  { from: [DEPENDENT], to: [...PLACES, "cancelled"], by: "releaseTasks" },
  { from: [SUSPENDED, "waiting: time"], to: ["ready", ...LINES], by: "releaseTasks" },
  { from: [...CREATED, "running", "nowhere"], to: ["cancelled"], by: "releaseTasks" },
  { from: ["waiting: time"], to: ["ready", ...LINES], by: "promoteDueTasks" },
  { from: LINES, to: ["ready"], by: "admitTasks" },
  { from: ["ready"], to: LINES, by: "returnIdleSlots" },
  { from: ["ready"], to: ["waiting: unknown"], by: "parkUnknownTasks" },
  { from: ["waiting: unknown"], to: ["ready", ...LINES], by: "unparkKnownTasks" },
  { from: ["ready"], to: ["running"], by: "claimTasks" },
  { from: ["running"], to: [...LINES, "failed"], by: "requeueForLimits" },
  { from: ["running"], to: [...PLACES, "completed", "failed"], by: "settleTasks" },
  { from: ["running"], to: [...PLACES, SUSPENDED, "failed"], by: "suspendTasks" },
  { from: [SUSPENDED, "waiting: time"], to: ["ready", ...LINES], by: "sendSignal" },
  { from: ["new"], to: PLACES, by: "callTasks" },
  { from: CREATED, to: [...PLACES, DEPENDENT], by: "callTasks" },
  { from: ["running"], to: ["completed"], by: "completeTasks" },
  { from: ["running"], to: ["completed"], by: "completeTask" },
  { from: ["running"], to: ["ready", ...LINES, "failed"], by: "rescueTasks" },
  { from: [...CREATED, "running", "nowhere"], to: ["cancelled"], by: "firefly.cancel" },
  { from: ["failed", "cancelled"], to: ["ready", ...LINES, DEPENDENT], by: "firefly.retry" },
  { from: ["new"], to: ["ready", ...LINES, DEPENDENT], by: "firefly.fork" },
  { from: ["waiting: time", "nowhere"], to: ["ready", ...LINES], by: "firefly.run" },
  { from: [...CREATED, "nowhere"], to: [...PLACES, DEPENDENT], by: "firefly.reschedule" },
  { from: [...CREATED, "running", "nowhere", ...ENDED], to: ["deleted"], by: "deleteTasks" },
  { from: ENDED, to: ["deleted"], by: "pruneTasks" },
  { from: ["nowhere", "ready"], to: [...PLACES, DEPENDENT], by: "requeueUnplaced" },
];

/** Which transitions of the list happened, and how often. */
export type Seen = Map<Transition, number>;

/**
 * Notes what a step has done.
 *
 * @throws {Error} If it is not in the list.
 */
export function note(
  seen: Seen,
  { by, before, after, edited }: {
    by: string;
    before: Map<number, string>;
    after: Map<number, string>;
    /** Ids that a hand has edited: what becomes of those may have no rule, as a row that is stale may count for them. */
    edited: ReadonlySet<number>;
  },
): void {
  if (by === "UPDATE") return;
  for (const id of new Set([...before.keys(), ...after.keys()])) {
    const [from, to] = [before.get(id) ?? "new", after.get(id) ?? "deleted"];
    if (from === to) continue;
    const known = TRANSITIONS.find((known) => known.by === by && known.from.includes(from) && known.to.includes(to));
    if (!known && edited.has(id)) continue;
    if (!known) throw new Error(`Task ${id} went from ${from} to ${to} by ${by}, which is in no list`);
    seen.set(known, (seen.get(known) ?? 0) + 1);
  }
}
