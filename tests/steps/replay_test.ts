import { assert, assertEquals } from "@std/assert";
import { Replay, type StoredStep } from "../../src/steps/replay.ts";
import { StepNames } from "../../src/steps/step_names.ts";
import { Random } from "../support/random.ts";

/** Turns of the event loop that stand for the time for which a replay waits. */
const HOLD = 20;

const turns = async (count: number) => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
};

function stored(...names: string[]): StoredStep[] {
  return names.map((name, i) => ({ name, key: "", kind: "step", seq: i + 1, version: 1 }));
}

function replayOf<S extends StoredStep>(steps: readonly S[], { version = 1 } = {}) {
  const changes: [string, string[]][] = [];
  const replay = new Replay({
    stored: steps,
    version,
    clock: {
      turn: (fn) => void setImmediate(fn),
      hold(fn) {
        let isOff = false;
        void turns(HOLD).then(() => isOff || fn());
        return () => void (isOff = true);
      },
    },
    onChanged: ({ name, unasked }) => void changes.push([name, unasked]),
  });
  return { replay, changes };
}

/** Follows what `ask` resolves to, in the order in which it does. */
function follow(replay: Replay<StoredStep>) {
  const seen: string[] = [];
  return {
    seen,
    ask(name: string, aliases: string[] = []) {
      return replay.ask([name, ...aliases], [""], "step").then((step) =>
        void seen.push(step ? `${name} given` : `${name} begins`)
      );
    },
  };
}

Deno.test("Replay gives results back in the order in which the steps ended, a turn apart", async () => {
  const { replay } = replayOf(stored("a", "b", "c"));
  const { seen, ask } = follow(replay);
  void ask("c");
  void ask("a");
  void ask("b");

  for (let i = 0; i < 10; i++) await undefined;
  const early = [...seen];
  await turns(3);

  assertEquals([early, seen], [[], ["a given", "b given", "c given"]]);
});

Deno.test("Replay waits for a result that ended earlier and is asked for later, and not for ever", async () => {
  const { replay, changes } = replayOf(stored("a", "b"));
  const { seen, ask } = follow(replay);
  void ask("b");
  await turns(HOLD / 2);
  assertEquals(seen, []);
  void ask("a");
  await turns(2);
  assertEquals(seen, ["a given", "b given"]);

  const other = replayOf(stored("a", "b"));
  const late = follow(other.replay);
  void late.ask("b");
  await turns(HOLD + 2);
  assertEquals([late.seen, changes, other.changes], [["b given"], [], []]);
});

Deno.test("Replay holds a new step until all stored ones were asked for", async () => {
  const { replay, changes } = replayOf(stored("a", "b"));
  const { seen, ask } = follow(replay);
  void ask("new");
  void ask("a");
  await turns(HOLD / 2);
  assertEquals(seen, ["a given"]);
  void ask("b");
  await turns(2);
  assertEquals([seen.toSorted(), changes], [["a given", "b given", "new begins"], []]);
});

Deno.test("Replay refuses a new step if a stored one is not asked for in time, and gives nothing more", async () => {
  const { replay, changes } = replayOf(stored("charge", "ship"));
  const { seen, ask } = follow(replay);
  void ask("pay");
  await turns(HOLD + 2);
  void ask("charge");
  await turns(HOLD + 2);
  assertEquals([seen, changes], [[], [["pay", ["charge", "ship"]]]]);
});

Deno.test("Replay is not tripped by another order, by steps left out at the end, aliases, or a higher version", async () => {
  const cases: [asked: [string, string[]?][], version: number, unasked: string[]][] = [
    [[["b"], ["a"], ["c"], ["new"]], 1, []],
    [[["a"], ["b"]], 1, ["c"]],
    [[["a"], ["b"], ["see", ["c"]], ["new"]], 1, []],
    [[["new"], ["c"], ["newer"]], 2, []],
  ];
  for (const [asked, version, unasked] of cases) {
    const { replay, changes } = replayOf(stored("a", "b", "c"), { version });
    const { seen, ask } = follow(replay);
    for (const [name, aliases] of asked) await ask(name, aliases);
    const expected = asked.map(([name, aliases]) => {
      const isStored = [name, ...aliases ?? []].some((each) => ["a", "b", "c"].includes(each));
      return `${name} ${isStored ? "given" : "begins"}`;
    });
    assertEquals([seen, changes, replay.unasked], [expected, [], unasked]);
  }
});

Deno.test("Replay gives new results in the order in which the steps ended, however long each is stored", async () => {
  const { replay } = replayOf<StoredStep>([]);
  const given: string[] = [];
  const [a, b, c] = [replay.end(), replay.end(), replay.end()];
  void replay.give(c).then(() => given.push("c"));
  void replay.give(b).then(() => given.push("b"));
  await turns(2);
  assertEquals(given, []);
  replay.drop(a);
  await turns(3);
  assertEquals(given, ["b", "c"]);
});

Deno.test("StepNames tells a name from an alias of another step", () => {
  const names = new StepNames();
  const messageOf = (step: { name: string; aliases?: string[] }) => {
    try {
      return names.take(step);
    } catch (error) {
      return (error as Error).message;
    }
  };
  assertEquals(messageOf({ name: "pay", aliases: ["charge"] }), "");
  assertEquals(
    messageOf({ name: "charge" }),
    'Cannot begin step "charge" as the name is an alias of step "pay": use another one',
  );
  assertEquals(messageOf({ name: "ship" }), "");
  assertEquals(
    messageOf({ name: "send", aliases: ["ship"] }),
    'Cannot begin step "send" as its alias "ship" is the name of another step',
  );
});

/** A program of steps. */
type Program =
  | { kind: "step"; name: string; slow: number }
  | { kind: "list" | "all" | "race"; parts: Program[] }
  | { kind: "code"; slow: number };

function generate(random: Random, depth = 3): Program {
  if (depth === 0 || random.below(10) < 3) return { kind: "step", name: `s${names++}`, slow: random.below(4) };
  if (random.once(10)) return { kind: "code", slow: random.below(2) };
  const parts = Array.from({ length: 1 + random.below(3) }, () => generate(random, depth - 1));
  return { kind: random.pick(["list", "list", "all", "race"] as const), parts };
}

let names = 0;

/** What outlives an attempt. */
interface Memory {
  steps: (StoredStep & { result: string })[];
  effects: string[];
}

/**
 * Runs a program in an attempt that crashes after `events` steps were stored. Resolves to the order in which the program
 * got results, and to the winners of its races, as far as it came.
 */
async function attempt(program: Program, memory: Memory, { events, salt }: { events: number; salt: number }) {
  const { replay, changes } = replayOf(memory.steps);
  const got: string[] = [];
  const winners: string[] = [];
  let left = events;
  const crashed = Promise.withResolvers<never>();
  crashed.promise.catch(() => {});
  const never = new Promise<never>(() => {});

  async function step(name: string, slow: number): Promise<string> {
    const given = await replay.ask([name], [""], "step");
    if (given) {
      got.push(name);
      return given.result;
    }
    await turns((slow * 7 + salt * 3) % 5); // another time in each attempt
    if (left <= 0) return await never;
    const seq = replay.end();
    await turns((slow + salt) % 3); // stored
    if (left-- <= 0) return await never;
    const result = `${name}:${seq}`;
    memory.effects.push(name);
    memory.steps.push({ name, key: "", kind: "step", seq, version: 1, result });
    if (left === 0) {
      crashed.reject(new Error("crash"));
      return await never;
    }
    await replay.give(seq);
    got.push(name);
    return result;
  }

  async function run(part: Program, path: string): Promise<string> {
    switch (part.kind) {
      case "step":
        return await step(part.name, part.slow);
      case "code":
        for (let i = 0; i < part.slow; i++) await undefined;
        return "code";
      case "list": {
        let last = "";
        for (const [i, each] of part.parts.entries()) last = await run(each, `${path}.${i}`);
        return last;
      }
      case "all":
        return (await Promise.all(part.parts.map((each, i) => run(each, `${path}.${i}`)))).join("+");
      case "race": {
        const winner = await Promise.race(part.parts.map((each, i) => run(each, `${path}.${i}`).then(() => i)));
        winners.push(`${path} ${winner}`);
        // What the program does next depends on who won.
        return await step(`after ${path} won ${winner}`, winner);
      }
    }
  }

  const ending = await Promise.race([
    run(program, "p").then(() => "completed"),
    crashed.promise.catch(() => "crashed"),
  ]);
  replay.stop();
  await turns(1);
  return { ending, got, winners, changes };
}

function sameLength(a: string[], b: string[]): [string[], string[]] {
  const length = Math.min(a.length, b.length);
  return [a.slice(0, length), b.slice(0, length)];
}

function longer(a: string[], b: string[]): string[] {
  return a.length > b.length ? a : b;
}

Deno.test("Replay: programs that crash after each stored step go on as if they had not", async () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  const random = new Random(seed);
  let [races, replayed] = [0, 0];
  for (let i = 0; i < 200; i++) {
    const program = generate(random);
    const memory: Memory = { steps: [], effects: [] };
    let before: { got: string[]; winners: string[] } = { got: [], winners: [] };
    for (let salt = 0;; salt++) {
      const stored = new Set(memory.steps.map(({ name }) => name));
      const events = 1 + random.below(2);
      const { ending, got, winners, changes } = await attempt(program, memory, { events, salt });
      const context = `seed ${seed}, program ${i}: ${JSON.stringify(program)}`;
      assertEquals(changes, [], context);
      // Either may have crashed before it came as far as the other.
      assertEquals(...sameLength(got, before.got), context);
      assertEquals(...sameLength(winners, before.winners), context);
      assertEquals(new Set(memory.effects).size, memory.effects.length, context);
      replayed += stored.size;
      if (ending === "completed") {
        races += winners.length;
        break;
      }
      before = { got: longer(got, before.got), winners: longer(winners, before.winners) };
    }
  }
  assert(races > 20 && replayed > 200, `The programs of seed ${seed} show too little: ${races}, ${replayed}`);
});
