import { type Look, nextStep } from "../../src/notify/wake_lock.ts";

/** What is taken away from the wakeLock, to see that the model notices. */
export type Removed =
  | "the look with the door in hand"
  | "the lock until the commit"
  | "the retries without the door"
  | "the notification where the door is held";

/** How large a world to look at. */
export interface World {
  /** How many tasks each consumer may run at a time. */
  readonly concurrency: number;
  readonly removed?: Removed;
}

/** What came of looking at all interleavings. */
export interface Findings {
  /** How many states were seen. */
  readonly states: number;
  /** The steps that lead to a task which nobody would look for; undefined if there is no such way. */
  readonly lost: string[] | undefined;
}

/**
 * A transaction with one task, by the steps of which others see the effect: it inserts and tries the lock, becomes
 * visible, lets the lock go, and its notification arrives.
 */
interface Inserter {
  at: "begin" | "inserted" | "visible" | "unlocked" | "ended";
  /** Whether it holds the lock, shared. */
  shared: boolean;
  rings: boolean;
  claimed: boolean;
}

/** A consumer with one connection that listens, on which statements go one after another. */
interface Consumer {
  at: "awake" | "looking" | "back" | "asleep" | "dead";
  /** What it believes of the door. */
  taken: boolean;
  /** What it has found, as far as it has come. */
  found: Look;
  /** A wake-up that has come, or will end the next sleep. */
  pending: boolean;
  /** Whether it looks by itself after a moment. */
  timer: boolean;
  /** How many handlers run. */
  busy: number;
  /** Statements on their way there, and back with their replies. */
  statements: ("take" | "took" | "refused" | "leave" | "left")[];
}

interface State {
  inserters: Inserter[];
  consumers: Consumer[];
  /** Which consumer's connection has the lock, exclusively. */
  door: number | null;
}

const NOTHING: Look = { held: false, room: false, claimed: 0 };
const INSERTERS = 2;
const CONSUMERS = 2;

/** Looks at every interleaving of two inserters and two consumers, each of which may be killed at any time. */
export function explore(world: World): Findings {
  const first: State = {
    inserters: Array.from({ length: INSERTERS }, () => ({ at: "begin", shared: false, rings: false, claimed: false })),
    consumers: Array.from(
      { length: CONSUMERS },
      () => ({ at: "awake", taken: false, found: NOTHING, pending: false, timer: false, busy: 0, statements: [] }),
    ),
    door: null,
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
  /** Whether it happens only because time passes, or never: nobody may count on it. */
  late?: boolean;
}

/** The same text for states that differ only in who is called the first. */
function keyOf({ inserters, consumers, door }: State): string {
  const texts = inserters.map(({ at, shared, rings, claimed }) => `${at[0]}${at[1]}${+shared}${+rings}${+claimed}`);
  const others = consumers.map(({ at, taken, found, pending, timer, busy, statements }, i) =>
    `${at}${+taken}${+found.held}${+found
      .room}${found.claimed}${+pending}${+timer}${busy}${statements}${+(door === i)}`
  );
  return `${texts.sort()} ${others.sort()}`;
}

function copyOf({ inserters, consumers, door }: State): State {
  return {
    inserters: inserters.map((inserter) => ({ ...inserter })),
    consumers: consumers.map((consumer) => ({ ...consumer, statements: [...consumer.statements] })),
    door,
  };
}

/** A task is there, and whoever could run it sleeps: at the door, or with nothing that would ever end the sleep. */
function isLost(state: State, next: Next[]): boolean {
  const isReady = state.inserters.some(({ at, claimed }) => (at === "ended" || at === "unlocked") && !claimed);
  if (!isReady || next.some(({ late }) => !late)) return false;
  const alive = state.consumers.filter(({ at }) => at !== "dead");
  const holder = state.door === null ? undefined : state.consumers[state.door];
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
        me.shared = after.door === null && removed !== "the lock until the commit";
        me.rings = after.door !== null && removed !== "the notification where the door is held";
      });
    case "inserted":
      return next("commits", (_, me) => me.at = "visible");
    case "visible":
      return next("lets the lock go", (_, me) => {
        me.at = "unlocked";
        me.shared = false;
      });
    case "unlocked":
      return next("has notified", (after, me) => {
        me.at = "ended";
        if (me.rings) after.consumers.forEach(wake);
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
    case "take":
      add("tries to take the door", (after, me) => {
        const isFree = after.door === null && !after.inserters.some(({ shared }) => shared);
        if (isFree) after.door = i;
        me.statements[0] = isFree ? "took" : "refused";
      });
      break;
    case "took":
      add("hears that it has the door", (_, me) => {
        me.statements.shift();
        me.taken = true;
        if (world.removed !== "the look with the door in hand") wake(me);
      });
      break;
    case "refused":
      add("hears that it has not got the door", (_, me) => me.statements.shift());
      break;
    case "leave":
      add("leaves the door", (after, me) => {
        me.statements[0] = "left";
        after.door = null;
      });
      break;
    case "left":
      add("has notified that it left", (after, me) => {
        me.statements.shift();
        after.consumers.forEach(wake);
      });
  }
  add("is killed", (after, me) => {
    Object.assign(me, {
      at: "dead",
      taken: false,
      pending: false,
      timer: false,
      busy: 0,
      found: NOTHING,
      statements: [],
    });
    if (after.door === i) after.door = null;
  }, true);
  return all;
}

/** The claim loop, as far as it goes at once: up to a statement, at the server, and from its reply on. */
function begin(me: Consumer, { concurrency }: World): void {
  me.found = { held: me.taken, room: me.busy < concurrency, claimed: 0 };
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
  const step = nextStep(removed === "the look with the door in hand" ? { ...me.found, held: me.taken } : me.found);
  const wasFull = claimed > 0 && me.busy + claimed >= concurrency;
  me.busy += claimed;
  me.found = NOTHING;
  if (step.startsWith("leave") && me.taken) {
    me.taken = false;
    me.statements.push("leave");
  }
  me.at = "awake";
  if (wasFull || step === "look" || step === "leave and look") return;
  if (step === "take" && me.taken) wake(me);
  else if (step === "take" && me.statements.every((statement) => statement.startsWith("le"))) {
    me.statements.push("take");
  }
  me.timer = step === "take" && removed !== "the retries without the door";
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
