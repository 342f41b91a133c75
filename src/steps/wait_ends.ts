/** A step that waited when it was stored, as far as its end goes. */
export interface StoredWait {
  readonly name: string;
  readonly key: string;
  readonly kind: string;
  readonly began: Date;
  /** When a sleep ends, or a signal is waited for no longer. */
  readonly due: Date | null;
  /** The ids of the tasks that it called. */
  readonly callees: readonly number[] | null;
}

/** A message to a task that no step has received. */
export interface SentSignal {
  readonly id: number;
  readonly name: string;
  readonly sent: Date;
}

/** What may have ended a wait, as the database had it at one time. */
export interface Ends<G extends SentSignal> {
  /** In the order in which they were sent. */
  readonly signals: readonly G[];
  /** When each called task ended, by id; null if it has not. */
  readonly callees: ReadonlyMap<number, Date | null>;
  /** That time. */
  readonly now: Date;
}

/** A wait that has ended. */
export interface WaitEnd<S, G> {
  readonly step: S;
  /** When, by the database's clock. */
  readonly at: Date;
  /** The signal that it received; undefined if its time had come, or its calls ended. */
  readonly signal: G | undefined;
}

/**
 * Finds the waits that have ended, in the order in which they did, and the signals that none of them receives.
 *
 * A sleep ends when it is due; calls when the last of them has ended. A wait for a signal receives the first that was
 * sent, unless that was sent after its deadline: then it has timed out, and the signal is left for the next wait. The
 * retry of a step is no end: the step runs again.
 */
export function findWaitEnds<S extends StoredWait, G extends SentSignal>(
  waits: readonly S[],
  { signals, callees, now }: Ends<G>,
): { ends: WaitEnd<S, G>[]; left: G[] } {
  const left = [...signals];
  const ends: WaitEnd<S, G>[] = [];
  for (const step of waits.toSorted(inOrder)) {
    const isDue = step.due !== null && step.due <= now;
    if (step.kind === "sleep" && isDue) ends.push({ step, at: step.due!, signal: undefined });
    if (step.kind === "signal") {
      const place = left.findIndex(({ name, sent }) => name === step.name && (step.due === null || sent <= step.due));
      const [signal] = place < 0 ? [] : left.splice(place, 1);
      if (signal) ends.push({ step, at: signal.sent > step.began ? signal.sent : step.began, signal });
      else if (isDue) ends.push({ step, at: step.due!, signal: undefined });
    }
    if (step.kind === "call") {
      const at = lastEnd(step.callees ?? [], callees, step.began);
      if (at) ends.push({ step, at, signal: undefined });
    }
  }
  // Sorting is stable: of those that ended at the same time, the one that began first comes first.
  return { ends: ends.sort((a, b) => a.at.getTime() - b.at.getTime()), left };
}

/** When the last of these ended; undefined while one has not. One without an entry was deleted. */
function lastEnd(ids: readonly number[], callees: ReadonlyMap<number, Date | null>, began: Date): Date | undefined {
  let last = began;
  for (const id of ids) {
    const ended = callees.get(id);
    if (ended === null) return undefined;
    if (ended && ended > last) last = ended;
  }
  return last;
}

function inOrder(a: StoredWait, b: StoredWait): number {
  return a.began.getTime() - b.began.getTime() || (a.name < b.name ? -1 : a.name > b.name ? 1 : a.key < b.key ? -1 : 1);
}
