import { assert, assertEquals } from "@std/assert";
import { signal } from "../../mod.ts";
import type { Step } from "../../src/task/step.ts";
import { Random } from "../support/random.ts";
import { type StepProgram, StepWorld, turns } from "../support/step_world.ts";

/** A program of steps and waits. */
type Program =
  | { kind: "step"; name: string; slow: number }
  /** Fails so many times, and has retries of its own. */
  | { kind: "flaky"; name: string; fails: number }
  /** Fails, and is caught. */
  | { kind: "caught"; name: string }
  | { kind: "sleep"; name: string; seconds: number }
  | { kind: "signal"; name: string; seconds: number; times: number }
  /** Is not sent in time. */
  | { kind: "timeout"; name: string; seconds: number }
  | { kind: "list" | "all" | "race"; parts: Program[] }
  | { kind: "loop"; times: number; part: Program }
  | { kind: "code"; slow: number };

class Generator {
  readonly #random: Random;
  #names = 0;
  readonly kinds = new Set<string>();

  constructor(random: Random) {
    this.#random = random;
  }

  make(depth = 3, times = 1): Program {
    const random = this.#random;
    const program = depth === 0 || random.below(10) < 4 ? this.#leaf(times) : this.#composed(depth, times);
    this.kinds.add(program.kind);
    return program;
  }

  #composed(depth: number, times: number): Program {
    const random = this.#random;
    const kind = random.pick(["list", "list", "all", "race", "loop"] as const);
    if (kind === "loop") {
      const count = 1 + random.below(3);
      // What is under way when its race is lost cannot begin again.
      const part = times === 1 ? this.#sequence(depth - 1, count) : this.#leaf(times * count);
      return { kind, times: count, part };
    }
    const parts = Array.from({ length: 1 + random.below(3) }, () => this.make(depth - 1, times));
    return { kind: kind === "race" && times > 1 ? "all" : kind, parts };
  }

  #sequence(depth: number, times: number): Program {
    return { kind: "list", parts: Array.from({ length: 1 + this.#random.below(2) }, () => this.make(depth, times)) };
  }

  #leaf(times: number): Program {
    const random = this.#random;
    const name = `s${this.#names++}`;
    switch (random.below(8)) {
      case 0:
        return { kind: "flaky", name, fails: 1 + random.below(2) };
      case 1:
        return { kind: "caught", name };
      case 2:
        return { kind: "sleep", name, seconds: random.below(4) * 10 };
      case 3:
        return { kind: "signal", name, seconds: random.below(40), times };
      case 4:
        return { kind: "timeout", name, seconds: 1 + random.below(30) };
      case 5:
        return { kind: "code", slow: random.below(3) };
      default:
        return { kind: "step", name, slow: random.below(4) };
    }
  }
}

function toProgram(program: Program, salt: () => number): StepProgram {
  return (step, { got, won }) => run(program, "p", { step, got, won, salt });
}

interface Running {
  step: Step;
  got(text: string): void;
  won(text: string): void;
  salt(): number;
}

async function run(part: Program, path: string, context: Running): Promise<string> {
  const { step, got, won, salt } = context;
  const give = (text: string) => (got(`${path} ${text}`), text);
  switch (part.kind) {
    case "step":
      return give(
        await step(part.name, async ({ key }) => {
          await turns((part.slow * 7 + salt() * 3) % 5); // another time in each attempt
          return `${part.name}#${key}`;
        }),
      );
    case "flaky": {
      let calls = 0;
      return give(
        await step({ name: part.name, maxRetries: 9, retryDelay: 5 }, ({ key }) => {
          const fails = failures.get(context.step) ?? new Map<string, number>();
          failures.set(context.step, fails);
          if (++calls + flaky(part.name, key) <= part.fails) throw new Error("fails");
          return `${part.name}#${key}`;
        }),
      );
    }
    case "caught":
      try {
        await step(part.name, () => Promise.reject(new RangeError("fails")));
        return give("not caught");
      } catch (error) {
        return give(`${(error as Error).name} ${(error as Error).message}`);
      }
    case "sleep":
      await step.sleep(part.name, part.seconds);
      return give(`slept`);
    case "signal":
      return give(await step.waitFor(signal<string>(part.name)));
    case "timeout":
      try {
        await step.waitFor(signal<string>(part.name), { timeout: part.seconds });
        return give("came");
      } catch (error) {
        return give(`${(error as Error).name} ${error instanceof DOMException}`);
      }
    case "code":
      for (let i = 0; i < part.slow; i++) await undefined;
      return "code";
    case "list": {
      let last = "";
      for (const [i, each] of part.parts.entries()) last = await run(each, `${path}.${i}`, context);
      return last;
    }
    case "loop": {
      const all: string[] = [];
      for (let i = 0; i < part.times; i++) all.push(await run(part.part, `${path}*${i}`, context));
      return all.join("+");
    }
    case "all":
      return (await Promise.all(part.parts.map((each, i) => run(each, `${path}.${i}`, context)))).join("+");
    case "race": {
      const winner = await Promise.race(part.parts.map((each, i) => run(each, `${path}.${i}`, context).then(() => i)));
      won(`${path} ${winner}`);
      // What the program does next depends on who won.
      return give(await step(`after ${path} won ${winner}`, () => `won ${winner}`));
    }
  }
}

const failures = new WeakMap<object, Map<string, number>>();
/** How often each step of the program that runs has failed, in whatever attempt. */
let failed = new Map<string, number>();

function flaky(name: string, key: string): number {
  const count = failed.get(`${name}/${key}`) ?? 0;
  failed.set(`${name}/${key}`, count + 1);
  return count;
}

function* signalsOf(program: Program): Generator_<{ name: string; seconds: number; times: number }> {
  if (program.kind === "signal") yield program;
  if ("parts" in program) { for (const part of program.parts) yield* signalsOf(part); }
  if (program.kind === "loop") yield* signalsOf(program.part);
}
type Generator_<T> = globalThis.Generator<T, void, unknown>;

/** Runs a program to its end; each attempt crashes after `statements`. */
async function complete(program: Program, statements: () => number, context: string) {
  failed = new Map();
  const world = new StepWorld();
  for (const { name, seconds, times } of signalsOf(program)) {
    for (let i = 0; i < times; i++) await world.send(name, (seconds + i * 10) * 1000, `${name} ${i}`);
  }
  let durable: { got: string[]; won: string[] } = { got: [], won: [] };
  const counts = { crashed: 0, suspended: 0, races: 0, replayed: 0 };
  for (let attempt = 0;; attempt++) {
    assert(attempt < 500, `It does not end: ${context}`);
    counts.replayed += world.rows.size;
    const traced = await world.run(toProgram(program, () => attempt), statements()).catch((cause) => {
      const rows = [...world.rows.values()].map(({ name, key, kind, status, seq }) => [name, key, kind, status, seq]);
      throw new Error(`${cause.message} ${context} ${JSON.stringify(rows)}`, { cause });
    });
    const { ending, result, got, won, durable: next } = traced;
    assertEquals(...sameLength(got, durable.got), context);
    assertEquals(...sameLength(won, durable.won), context);
    assertEquals(new Set(world.effects).size, world.effects.length, context);
    if (ending === "completed") {
      return { result, won, effects: world.effects, counts: { ...counts, races: won.length } };
    }
    if (ending === "crashed") counts.crashed++;
    if (ending === "suspended") counts.suspended++;
    durable = { got: longer(next.got, durable.got), won: longer(next.won, durable.won) };
  }
}

function sameLength(a: string[], b: string[]): [string[], string[]] {
  const length = Math.min(a.length, b.length);
  return [a.slice(0, length), b.slice(0, length)];
}

function longer(a: string[], b: string[]): string[] {
  return a.length > b.length ? a : b;
}

Deno.test("programs that crash after each stored thing go on as if they had not: sleeps, signals, retries", async () => {
  const seed = Number(Deno.env.get("SEED") ?? Math.floor(Math.random() * 2 ** 31));
  const random = new Random(seed);
  const totals = { crashed: 0, suspended: 0, races: 0, replayed: 0, compared: 0 };
  for (let i = 0; i < 200; i++) {
    const generator = new Generator(random);
    const program = generator.make();
    const context = `SEED=${seed}, program ${i}: ${JSON.stringify(program)}`;
    const whole = await complete(program, () => Infinity, context);
    const crashed = await complete(program, () => 1 + random.below(2), context);
    for (const [name, count] of Object.entries(crashed.counts)) totals[name as "crashed"] += count;
    // The winner of a race depends on times, and these on crashes.
    if (generator.kinds.has("race")) continue;
    assertEquals(crashed.result, whole.result, context);
    assertEquals(crashed.effects.toSorted(), whole.effects.toSorted(), context);
    totals.compared++;
  }
  const { compared, races, replayed, suspended } = totals;
  assert(
    compared > 50 && races > 20 && replayed > 500 && suspended > 100 && totals.crashed > 100,
    `The programs of seed ${seed} show too little: ${JSON.stringify(totals)}`,
  );
});

Deno.test("a wait is stored with the failures that the handler had caught before, though the step stored with it had not", async () => {
  const world = new StepWorld();
  const calls: string[] = [];
  const program: StepProgram = async (step) => {
    const branch = async () => {
      await step("fails", () => {
        calls.push("fails");
        throw new Error("fails");
      }).catch(() => {});
      await step.sleep("pause", 10);
      return "slept";
    };
    const [, slept] = await Promise.all([step("slow", () => turns(10)), branch()]);
    return slept;
  };

  assertEquals((await world.run(program, 1)).ending, "crashed"); // once "slow" is stored, which began first
  assertEquals([...world.rows.values()].map(({ name, status }) => `${name} ${status}`).toSorted(), [
    "fails failed",
    "pause waiting",
    "slow completed",
  ]);
  assertEquals((await world.run(program, Infinity)).ending, "suspended");
  assertEquals((await world.run(program, Infinity)).result, "slept");
  assertEquals(calls, ["fails"]);
});
