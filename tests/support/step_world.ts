import { Emitter } from "../../src/events.ts";
import { Redactor } from "../../src/privacy/redaction.ts";
import type { StepsHost } from "../../src/steps/host.ts";
import { toLoaded } from "../../src/steps/load_steps.ts";
import { identityOf } from "../../src/steps/replay.ts";
import { Steps } from "../../src/steps/steps.ts";
import type { NewStep, SignalRow, StepRow } from "../../src/store/steps.ts";
import type { TaskContext } from "../../src/task/scope.ts";
import type { Step } from "../../src/task/step.ts";
import { encode } from "../../src/wire/encode.ts";

export const turns = async (count: number) => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
};

/** How an attempt of a program ended. */
export type Ending = "completed" | "failed" | "suspended" | "crashed";

/** What a program does: it says what it got by `got`, and who won by `won`. */
export type StepProgram = (
  step: Step,
  attempt: { got(text: string): void; won(text: string): void },
) => Promise<string>;

/** What one attempt of a program did. */
export interface Traced {
  readonly ending: Ending;
  readonly result: string | undefined;
  /** What the program got. */
  readonly got: string[];
  readonly won: string[];
  /** As far as that was when the last thing was stored that followed it. */
  readonly durable: { got: string[]; won: string[] };
}

/** A task in memory, whose attempts crash after a number of statements, with a clock of its own. */
export class StepWorld {
  /** Milliseconds. */
  time = 1_700_000_000_000;
  attempt = 1;
  readonly rows = new Map<string, StepRow>();
  readonly signals: (SignalRow & { at: number })[] = [];
  /** What was stored, by step. */
  readonly effects: string[] = [];
  #claimSeq = 0;
  #signalId = 0;

  /** Sends a signal when the clock has come so far. */
  async send(name: string, at: number, payload: string): Promise<void> {
    const sent = new Date(this.time + at);
    this.signals.push({ id: ++this.#signalId, name, sent, at: sent.getTime(), payload: await encode(payload) });
  }

  /** Runs an attempt that crashes after so many statements; it crashes no more than that. */
  async run(program: StepProgram, statements: number): Promise<Traced> {
    const [got, won]: [string[], string[]] = [[], []];
    const durable = { got: [] as string[], won: [] as string[] };
    const ended = Promise.withResolvers<Ending>();
    const controller = new AbortController();
    let left = statements;
    let isCrashed = false;
    let error: unknown;
    const apply = (steps: readonly NewStep[]) => {
      this.#apply(steps);
      this.time += 5;
      if (--left > 0) return true;
      isCrashed = true;
      ended.resolve("crashed");
      return false;
    };
    const mark = (length: [number, number]) => {
      if (length[0] > durable.got.length) durable.got = got.slice(0, length[0]);
      if (length[1] > durable.won.length) durable.won = won.slice(0, length[1]);
    };
    /** How far the program was when each step began. */
    const began = new Map<string, [number, number]>();
    const host: StepsHost = {
      task: { id: 1, claimSeq: this.#claimSeq++, attempt: this.attempt, funcName: "f", queue: "q" } as never,
      definition: {},
      env: {
        config: { leaseMs: 30_000, defaults: {} },
        instance: {} as never,
        keys: undefined,
        redactor: new Redactor(),
        sessions: {} as never,
        sql: { schemaName: "firefly" } as never,
        stepSettler: {
          store: async ({ step, failures }) => {
            await turns(1 + step.name.length % 3);
            if (isCrashed) return await new Promise(() => {});
            const goesOn = apply([...failures, step]);
            mark(began.get(identityOf(step.name, step.key)) ?? [0, 0]);
            if (!goesOn) await new Promise(() => {});
          },
        },
      },
      context: { signal: controller.signal, log: { warn() {} } } as unknown as TaskContext,
      hasBegun: false,
      observers: {
        info: { id: 1, funcName: "f", queue: "q", attempt: this.attempt },
        events: new Emitter(),
        counts: undefined,
        span: undefined,
      },
      read: (version) => {
        const now = new Date(this.time);
        const signals = this.signals.filter(({ at }) => at <= this.time);
        const steps = [...this.rows.values()];
        return toLoaded({ id: 1, funcName: "f", queue: "q" }, { steps, signals, now, at: performance.now() }, {
          sql: {} as never,
          keys: undefined,
          instance: {} as never,
          redactor: new Redactor(),
          version,
        });
      },
      abort(reason) {
        error = reason;
        controller.abort(reason);
        ended.resolve(steps.suspended ? "suspended" : "failed");
      },
    };
    const steps = new Steps(host);
    const watched = Object.assign(
      (spec: Parameters<Step>[0], fn: (info: { name: string; key: string }) => unknown) =>
        steps.step(
          spec,
          ((info: { name: string; key: string }) => {
            began.set(identityOf(info.name, info.key), [got.length, won.length]);
            return fn(info);
          }) as never,
        ),
      { sleep: steps.step.sleep, waitFor: steps.step.waitFor, call: steps.step.call, callMany: steps.step.callMany },
    ) as unknown as Step;
    let result: string | undefined;
    program(watched, { got: (text) => got.push(text), won: (text) => won.push(text) }).then(
      async (text) => {
        result = text;
        await steps.finish();
        ended.resolve("completed");
      },
      async (thrown) => {
        error = thrown;
        await steps.fail(thrown);
        ended.resolve("failed");
      },
    );
    let ending = await ended.promise;
    if (ending === "suspended" && !isCrashed) {
      const { steps: facts, awaits } = steps.suspended!;
      this.#apply(facts);
      mark([got.length, won.length]);
      this.#passTo(awaits);
    } else if (ending === "failed" && String(error).includes("fails")) this.attempt++;
    else if (ending === "failed") throw error;
    else if (ending === "crashed") this.attempt++;
    if (isCrashed) ending = "crashed";
    steps.stop();
    await turns(1);
    return { ending, result, got, won, durable };
  }

  #apply(steps: readonly NewStep[]): void {
    for (const step of steps) {
      const identity = identityOf(step.name, step.key);
      const known = this.rows.get(identity);
      if (known && known.status !== "waiting") continue;
      const due = typeof step.due === "number" ? new Date(this.time + step.due * 1000) : step.due ?? known?.due ?? null;
      const [began, ended] = [known?.began ?? new Date(this.time), step.ended === null ? null : new Date(this.time)];
      const error = step.error === null ? null : JSON.parse(step.error);
      this.rows.set(identity, { ...step, due, began, ended, error, callees: null, func_name: "f", queue: "q" });
      if (step.received !== null) {
        const place = this.signals.findIndex(({ id }) => id === step.received);
        if (place < 0) throw new Error(`Signal ${step.received} was received twice`);
        this.signals.splice(place, 1);
      }
      if (step.status !== "waiting") this.effects.push(`${step.name}/${step.key}`);
    }
  }

  /** Lets the clock pass to the time at which the first wait ends. */
  #passTo(awaits: readonly { name: string; key: string; kind: string }[]): void {
    const times = awaits.flatMap(({ name, key, kind }) => [
      this.rows.get(identityOf(name, key))?.due?.getTime() ?? Infinity,
      ...(kind === "signal" ? this.signals.filter((each) => each.name === name).map(({ at }) => at) : []),
    ]);
    const next = Math.min(...times);
    if (next === Infinity) throw new Error(`Nothing ends a wait for ${awaits.map(({ name }) => name).join(", ")}`);
    this.time = Math.max(this.time, next);
  }
}
