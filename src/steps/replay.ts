/** What orders and identifies a stored step. */
export interface StoredStep {
  readonly name: string;
  readonly key: string;
  readonly kind: string;
  /** Its place in the order in which steps ended; null while it waits. */
  readonly seq: number | null;
  readonly version: number;
}

/** Why a step cannot begin. */
export interface StepChange<S extends StoredStep> {
  /** The name of the step. */
  readonly name: string;
  /** What it is. */
  readonly kind: string;
  /** The names of the stored steps that were not asked for. */
  readonly unasked: string[];
  /** The stored step of this name, if it is of another kind. */
  readonly stored?: S;
}

/** The timers of a replay. */
export interface ReplayClock {
  /** Calls `fn` in a later turn of the event loop. */
  turn(fn: () => void): void;
  /** Calls `fn` once it has waited for long enough for code that is on its way; returns a function that prevents it. */
  hold(fn: () => void): () => void;
}

/** What a replay begins with. */
export interface ReplayOptions<S extends StoredStep> {
  readonly stored: readonly S[];
  /** The version of the task's code. Steps that an older version stored may be left out. */
  readonly version: number;
  readonly clock: ReplayClock;
  /** Whether a stored step must be asked for before a new one begins. @default of those that no older version stored */
  isRequired?(step: S): boolean;
  /** Called once if a step cannot begin: stored steps were not asked for, or one of its name is of another kind. */
  onChanged(change: StepChange<S>): void;
}

interface Entry<S> {
  readonly step: S;
  /** Whether the handler must ask for it before it begins a new step. */
  readonly isRequired: boolean;
  isAsked: boolean;
  /** Whether results after it wait for it no longer. */
  isOverdue: boolean;
}

/** A result that is to be given to the handler. */
interface Result {
  readonly seq: number;
  give(): void;
}

/**
 * Decides about each step that a handler asks for: whether a stored result is given back, or the step begins.
 * It knows no database and no time.
 *
 * Results, stored and new ones, are given in the order in which the steps ended first, one in a turn of the event loop:
 * so `Promise.race` has the same winner in each attempt. A result waits for those before it that have not been asked
 * for, as the code that asks may be on its way; after a while it does not.
 *
 * A new step begins only once all stored ones were asked for, since a handler that does not ask for one was changed: it
 * may have renamed the step, and would run it twice. Those that still wait are among these; asking for one tells so.
 */
export class Replay<S extends StoredStep> {
  readonly #options: ReplayOptions<S>;
  readonly #entries: Entry<S>[];
  readonly #byName = new Map<string, Entry<S>>();
  /** How many required steps were not asked for. */
  #unasked = 0;
  /** The place in `#entries` before which no result has to be waited for. */
  #next = 0;
  /** The results to be given. */
  readonly #results: Result[] = [];
  /** The `seq` of steps that have ended and are being stored. */
  readonly #storing = new Set<number>();
  readonly #held: { name: string; kind: string; begin(): void }[] = [];
  #lastSeq: number;
  #isResting = false;
  #isOver = false;
  #stopHold: (() => void) | undefined;

  constructor(options: ReplayOptions<S>) {
    this.#options = options;
    const { isRequired = ({ version }) => version >= options.version } = options;
    this.#entries = options.stored.toSorted(bySeq).map((step) => ({
      step,
      isRequired: isRequired(step),
      isAsked: false,
      isOverdue: false,
    }));
    this.#lastSeq = 0;
    for (const entry of this.#entries) {
      this.#byName.set(identityOf(entry.step.name, entry.step.key), entry);
      if (entry.isRequired) this.#unasked++;
      this.#lastSeq = entry.step.seq ?? this.#lastSeq;
    }
  }

  /** How many steps are stored. */
  get size(): number {
    return this.#entries.length;
  }

  /** The last place in the order of steps that have ended. */
  get lastSeq(): number {
    return this.#lastSeq;
  }

  /** Whether a stored step was asked for. */
  wasAsked({ name, key }: Pick<S, "name" | "key">): boolean {
    return this.#byName.get(identityOf(name, key))?.isAsked ?? false;
  }

  /** The names of the steps that should have been asked for and were not. */
  get unasked(): string[] {
    const left = this.#entries.filter(({ isRequired, isAsked }) => isRequired && !isAsked);
    return [...new Set(left.map(({ step }) => step.name))];
  }

  /**
   * Asks for a step by its name and the names that it had before, its key and those that it had before, and what it is.
   * Resolves to the stored step, at once if it waits, or to undefined when it may begin. Never settles if it may not.
   */
  ask(names: readonly [string, ...string[]], keys: readonly string[], kind: string): Promise<S | undefined> {
    const [name] = names;
    for (const identity of names.flatMap((name) => keys.map((key) => identityOf(name, key)))) {
      const entry = this.#byName.get(identity);
      if (!entry || entry.isAsked) continue;
      if (entry.step.kind === kind) return this.#giveBack(entry);
      this.#refuse({ name, kind, unasked: this.unasked, stored: entry.step });
      return new Promise(() => {});
    }
    if (this.#unasked === 0) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      this.#held.push({ name, kind, begin: () => resolve(undefined) });
      this.#hold();
    });
  }

  /** Takes a place in the order for a step that has just ended: its result is given by `give`, or `drop` frees it. */
  end(): number {
    const seq = ++this.#lastSeq;
    this.#storing.add(seq);
    return seq;
  }

  /** Resolves when the result of a step that has ended may be given to the handler. */
  give(seq: number): Promise<void> {
    this.#storing.delete(seq);
    return new Promise((give) => {
      this.#results.push({ seq, give });
      this.#pump();
    });
  }

  /** Frees the place of a step whose result is not given. */
  drop(seq: number): void {
    this.#storing.delete(seq);
    this.#pump();
  }

  /** Gives nothing more, and begins nothing: the attempt is over. */
  stop(): void {
    this.#isOver = true;
    this.#stopHold?.();
    this.#stopHold = undefined;
  }

  #giveBack(entry: Entry<S>): Promise<S> {
    entry.isAsked = true;
    if (entry.isRequired && --this.#unasked === 0) { for (const { begin } of this.#held.splice(0)) begin(); }
    return new Promise((resolve) => {
      const { step } = entry;
      if (step.seq === null) resolve(step);
      else this.#results.push({ seq: step.seq, give: () => resolve(step) });
      this.#stopHold?.(); // the code goes on: the time to wait for it begins anew
      this.#stopHold = undefined;
      this.#pump();
      if (this.#held.length > 0) this.#hold();
    });
  }

  #refuse(change: StepChange<S>): void {
    if (this.#isOver) return;
    this.stop();
    this.#options.onChanged(change);
  }

  /** Gives the next result in a later turn, so that code which awaits no step comes first, as it did. */
  #pump(): void {
    if (this.#isResting || this.#isOver || this.#results.length === 0) return;
    this.#isResting = true;
    this.#options.clock.turn(() => {
      this.#isResting = false;
      this.#giveNext();
    });
  }

  #giveNext(): void {
    if (this.#isOver || this.#results.length === 0) return;
    const first = this.#results.reduce((a, b) => a.seq < b.seq ? a : b);
    for (const seq of this.#storing) if (seq < first.seq) return;
    if (this.#isWaitedFor(first.seq)) return this.#hold();
    this.#results.splice(this.#results.indexOf(first), 1);
    first.give();
    this.#pump();
  }

  /** Whether a stored step that ended before `seq` should be asked for and was not yet. */
  #isWaitedFor(seq: number): boolean {
    for (;; this.#next++) {
      const entry = this.#entries[this.#next];
      if (!entry || entry.step.seq === null || entry.step.seq >= seq) return false;
      if (entry.isRequired && !entry.isAsked && !entry.isOverdue) return true;
    }
  }

  #hold(): void {
    if (this.#isOver) return;
    this.#stopHold ??= this.#options.clock.hold(() => {
      this.#stopHold = undefined;
      this.#endHold();
    });
  }

  #endHold(): void {
    if (this.#isOver) return;
    if (this.#results.length > 0) {
      const first = Math.min(...this.#results.map(({ seq }) => seq));
      for (const entry of this.#entries) if ((entry.step.seq ?? first) < first) entry.isOverdue = true;
      this.#pump();
      if (this.#held.length > 0) this.#hold();
    } else if (this.#held.length > 0) {
      const [{ name, kind }] = this.#held as [{ name: string; kind: string; begin(): void }];
      this.#refuse({ name, kind, unasked: this.unasked });
    }
  }
}

/** In the order in which they ended; those that wait come last. */
function bySeq(a: StoredStep, b: StoredStep): number {
  return (a.seq ?? Infinity) - (b.seq ?? Infinity) || 0;
}

/** The name and key of a step as one text. */
export function identityOf(name: string, key: string): string {
  return JSON.stringify([name, key]);
}
