import { type Look, nextStep } from "../../src/notify/wake_lock.ts";

/** The protection to remove, to see that the model notices. */
export type Removed =
  | "the look while holding the lock"
  | "the shared lock until the commit"
  | "the retries without the lock"
  | "the notification while the lock is held";

/** How large a world to look at. */
export interface World {
  /** How many tasks each consumer may run at a time. */
  readonly concurrency: number;
  readonly removed?: Removed;
}

/** The result of exploring all interleavings. */
export interface Findings {
  /** How many states were visited. */
  readonly states: number;
  /** The steps that lead to a task that no consumer would look for; undefined if there are none. */
  readonly lost: string[] | undefined;
}

/**
 * A transaction with one task, in the steps whose effects others see: it inserts and tries the lock, becomes visible,
 * releases the lock, and its notification arrives.
 */
interface Inserter {
  at: "begin" | "inserted" | "visible" | "unlocked" | "ended";
  /** Whether it holds the lock, shared. */
  shared: boolean;
  notifies: boolean;
  claimed: boolean;
}

/** A consumer with one connection that listens and runs one statement after another. */
interface Consumer {
  at: "awake" | "looking" | "back" | "asleep" | "dead";
  /** Whether it believes that it holds the lock. */
  held: boolean;
  /** What its look has found so far. */
  found: Look;
  /** Whether a wake-up is pending, which ends the sleep or the next one. */
  pending: boolean;
  /** Whether a timer ends its sleep. */
  timer: boolean;
  /** How many handlers run. */
  busy: number;
  /** Statements on their way to the server, and their replies on the way back. */
  statements: ("acquire" | "acquired" | "refused" | "release" | "released")[];
}

interface State {
  inserters: Inserter[];
  consumers: Consumer[];
  /** Which consumer's connection holds the lock, exclusively. */
  holder: number | null;
}

const NOTHING: Look = { held: false, room: false, claimed: 0 };
const INSERTERS = 2;
const CONSUMERS = 2;

/** Explores every interleaving of two inserters and two consumers; a consumer may be killed at any time. */
export function explore(world: World): Findings {
  const first: State = {
    inserters: Array.from(
      { length: INSERTERS },
      () => ({ at: "begin", shared: false, notifies: false, claimed: false }),
    ),
    consumers: Array.from(
      { length: CONSUMERS },
      () => ({ at: "awake", held: false, found: NOTHING, pending: false, timer: false, busy: 0, statements: [] }),
    ),
    holder: null,
  };
  const cameFrom = new Map<string, { before: string; step: string } | null>([[keyOf(first), null]]);
  const open = [first];
  for (let state = open.pop(); state !== undefined; state = open.pop()) {
    const key = keyOf(state);
    const next = steps(state, world);
    if (isLost(state, next)) return { states: cameFrom.size, lost: wayTo(key, cameFrom) };
    for (const { step, after } of next) {
      const afterKey = keyOf(after);
      if (cameFrom.has(afterKey)) continue;
      cameFrom.set(afterKey, { before: key, step });
      open.push(after);
    }
  }
  return { states: cameFrom.size, lost: undefined };
}

interface Next {
  step: string;
  after: State;
  /** Whether only time, or a crash, brings it about: no task may depend on it. */
  late?: boolean;
}

/** A text that is equal for states which differ only in the numbering of inserters and consumers. */
function keyOf({ inserters, consumers, holder }: State): string {
  const texts = inserters.map(({ at, shared, notifies, claimed }) =>
    `${at[0]}${at[1]}${+shared}${+notifies}${+claimed}`
  );
  const others = consumers.map(({ at, held, found, pending, timer, busy, statements }, i) =>
    `${at}${+held}${+found.held}${+found
      .room}${found.claimed}${+pending}${+timer}${busy}${statements}${+(holder === i)}`
  );
  return `${texts.sort()} ${others.sort()}`;
}

function copyOf({ inserters, consumers, holder }: State): State {
  return {
    inserters: inserters.map((inserter) => ({ ...inserter })),
    consumers: consumers.map((consumer) => ({ ...consumer, statements: [...consumer.statements] })),
    holder,
  };
}

/** Whether a task is ready while every consumer sleeps: one with the lock, or all with nothing to end the sleep. */
function isLost(state: State, next: Next[]): boolean {
  const isReady = state.inserters.some(({ at, claimed }) => (at === "ended" || at === "unlocked") && !claimed);
  if (!isReady || next.some(({ late }) => !late)) return false;
  const alive = state.consumers.filter(({ at }) => at !== "dead");
  const holder = state.holder === null ? undefined : state.consumers[state.holder];
  return alive.length > 0 && (holder?.at === "asleep" || alive.every(({ timer }) => !timer));
}

function steps(state: State, world: World): Next[] {
  return [
    ...state.inserters.flatMap((_, i) => inserterSteps(state, i, world)),
    ...state.consumers.flatMap((_, i) => consumerSteps(state, i, world)),
  ];
}

function inserterSteps(state: State, i: number, { removed }: World): Next[] {
  const { at } = state.inserters[i]!;
  const next = (step: string, change: (after: State, me: Inserter) => void): Next[] => {
    const after = copyOf(state);
    change(after, after.inserters[i]!);
    return [{ step: `inserter ${i} ${step}`, after }];
  };
  switch (at) {
    case "begin":
      return next("inserts, and tries the lock", (after, me) => {
        me.at = "inserted";
        me.shared = after.holder === null && removed !== "the shared lock until the commit";
        me.notifies = after.holder !== null && removed !== "the notification while the lock is held";
      });
    case "inserted":
      return next("commits", (_, me) => me.at = "visible");
    case "visible":
      return next("releases the lock", (_, me) => {
        me.at = "unlocked";
        me.shared = false;
      });
    case "unlocked":
      return next("has notified", (after, me) => {
        me.at = "ended";
        if (me.notifies) after.consumers.forEach(wake);
      });
    case "ended":
      return [];
  }
}

function consumerSteps(state: State, i: number, world: World): Next[] {
  const { at, statements, busy, timer, pending } = state.consumers[i]!;
  if (at === "dead") return [];
  const all: Next[] = [];
  const add = (step: string, change: (after: State, me: Consumer) => void, late = false) => {
    const after = copyOf(state);
    change(after, after.consumers[i]!);
    all.push({ step: `consumer ${i} ${step}`, after, ...(late ? { late } : {}) });
  };
  if (at === "awake") add("begins to look", (_, me) => begin(me, world));
  if (at === "looking") add("looks", (after, me) => look(after, me, world));
  if (at === "back") add("decides", (_, me) => decide(me, world));
  if (at === "asleep" && pending) add("wakes", (_, me) => awake(me));
  else if (at === "asleep" && timer) add("wakes by its timer", (_, me) => awake(me), true);
  if (busy > 0) {
    add("ends a task", (_, me) => {
      me.busy--;
      wake(me);
    });
  }
  switch (statements[0]) {
    case "acquire":
      add("tries to acquire the lock", (after, me) => {
        const isFree = after.holder === null && !after.inserters.some(({ shared }) => shared);
        if (isFree) after.holder = i;
        me.statements[0] = isFree ? "acquired" : "refused";
      });
      break;
    case "acquired":
      add("hears that it holds the lock", (_, me) => {
        me.statements.shift();
        me.held = true;
        if (world.removed !== "the look while holding the lock") wake(me);
      });
      break;
    case "refused":
      add("hears that it does not hold the lock", (_, me) => me.statements.shift());
      break;
    case "release":
      add("releases the lock", (after, me) => {
        me.statements[0] = "released";
        after.holder = null;
      });
      break;
    case "released":
      add("has notified that it released the lock", (after, me) => {
        me.statements.shift();
        after.consumers.forEach(wake);
      });
  }
  add("is killed", (after, me) => {
    Object.assign(me, {
      at: "dead",
      held: false,
      pending: false,
      timer: false,
      busy: 0,
      found: NOTHING,
      statements: [],
    });
    if (after.holder === i) after.holder = null;
  }, true);
  return all;
}

/** The claim loop in three parts: up to its statement, at the server, and after the reply. */
function begin(me: Consumer, { concurrency }: World): void {
  me.found = { held: me.held, room: me.busy < concurrency, claimed: 0 };
  me.at = me.found.room ? "looking" : "back";
}

function look(state: State, me: Consumer, { concurrency }: World): void {
  let claimed = 0;
  for (const inserter of state.inserters) {
    const isVisible = inserter.at !== "begin" && inserter.at !== "inserted";
    if (!isVisible || inserter.claimed || me.busy + claimed >= concurrency) continue;
    inserter.claimed = true;
    claimed++;
  }
  me.found = { ...me.found, claimed };
  me.at = "back";
}

function decide(me: Consumer, { concurrency, removed }: World): void {
  const { claimed } = me.found;
  const { lock, sleep } = nextStep(
    removed === "the look while holding the lock" ? { ...me.found, held: me.held } : me.found,
  );
  const wasFull = claimed > 0 && me.busy + claimed >= concurrency;
  me.busy += claimed;
  me.found = NOTHING;
  if (lock === "release" && me.held) {
    me.held = false;
    me.statements.push("release");
  }
  me.at = "awake";
  if (wasFull || !sleep) return;
  if (lock === "acquire" && me.held) wake(me);
  else if (lock === "acquire" && me.statements.every((statement) => statement.startsWith("release"))) {
    me.statements.push("acquire");
  }
  me.timer = lock === "acquire" && removed !== "the retries without the lock";
  me.at = "asleep";
}

function wake(me: Consumer): void {
  if (me.at !== "dead") me.pending = true;
}

function awake(me: Consumer): void {
  Object.assign(me, { at: "awake", pending: false, timer: false });
}

function wayTo(key: string, cameFrom: Map<string, { before: string; step: string } | null>): string[] {
  const way: string[] = [];
  for (let from = cameFrom.get(key); from; from = cameFrom.get(from.before)) way.unshift(from.step);
  return way;
}
