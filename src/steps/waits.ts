import { decodeParams } from "../privacy/encryption.ts";
import { encryptStepResult } from "../settle/encode_result.ts";
import type { NewStep } from "../store/steps.ts";
import type { Signal } from "../task/signal.ts";
import type { WaitForOptions } from "../task/step.ts";
import { checkSleep, checkTime } from "../task/step_options.ts";
import { refuseUnknownKeys } from "../suggest.ts";
import type { StepsCore, Turn } from "./host.ts";
import { toNewStep } from "./new_step.ts";
import { countWait } from "./step_report.ts";
import type { LoadedSteps } from "./load_steps.ts";

/** What a wait is stored as. */
type Stored = Pick<NewStep, "kind" | "seq" | "due" | "received" | "returned">;

/** The waits of an attempt for times and signals. One that need not wait ends as a step does. */
export class Waits {
  readonly #core: StepsCore;

  constructor(core: StepsCore) {
    this.#core = core;
  }

  /** Waits for a time. */
  readonly sleep = async (...args: [time: unknown] | [name: unknown, time?: unknown]): Promise<void> => {
    const { name, time } = checkSleep(args);
    const remedy = "give each a name, as in step.sleep(name, time)";
    await this.#core.enter(name, () => ({ name, kind: "sleep", remedy }), async (turn) => {
      if (!turn.stored && isOver(time, turn.loaded)) return void await this.#endNow(turn, { kind: "sleep", due: 0 });
      return await this.#wait(turn, { kind: "sleep", due: time });
    });
  };

  /** Waits for a signal. */
  readonly waitFor = async (signal: Signal<never>, options: WaitForOptions = {}): Promise<unknown> => {
    const { name } = signal;
    const action = `wait for signal "${name}"`;
    refuseUnknownKeys(options, ["timeout"], action);
    const due = options.timeout === undefined ? null : checkTime(options.timeout, action, "timeout");
    const remedy = "go on with its promise, or wait for another signal";
    return await this.#core.enter(name, () => ({ name, kind: "signal", remedy }), (turn) => this.#receive(turn, due));
  };

  async #receive(turn: Turn, due: number | Date | null): Promise<unknown> {
    const { signals } = turn.loaded;
    const place = turn.stored ? -1 : signals.findIndex(({ name }) => name === turn.name);
    if (place < 0) return await this.#wait(turn, { kind: "signal", due });
    const { id: received, payload } = signals[place]!;
    const { env: { keys }, task } = this.#core.host;
    let result: unknown;
    try {
      result = payload === null ? undefined : decodeParams(payload, keys);
    } catch (error) {
      return await this.#core.leave(error);
    }
    signals.splice(place, 1);
    const returned = payload === null ? null : await encryptStepResult(payload, task, keys);
    await this.#endNow(turn, { kind: "signal", due: null, received, returned });
    return result;
  }

  /** Ends a wait that has just begun. It is stored with what follows. */
  async #endNow(
    { replay, name, key, caught }: Turn,
    stored: Pick<Stored, "kind" | "due"> & Partial<Stored>,
  ): Promise<void> {
    const seq = replay.end();
    const step = this.#toNewStep({ name, key }, { received: null, returned: null, ...stored, seq });
    this.#core.facts.add(step, caught);
    countWait(this.#core.host.observers, step);
    await replay.give(seq);
  }

  /** Waits. One that has just begun is stored with what follows, or when the attempt is suspended. */
  #wait({ stored, name, key, caught }: Turn, { kind, due }: Pick<Stored, "kind" | "due">): Promise<never> {
    if (!stored) {
      this.#core.facts.add(
        this.#toNewStep({ name, key }, { kind, due, seq: null, received: null, returned: null }),
        caught,
      );
    }
    const local = typeof due === "number" ? performance.now() + due * 1000 : due;
    return this.#core.wait({ name, key, kind, due: stored ? stored.due : local });
  }

  #toNewStep({ name, key }: Pick<Turn, "name" | "key">, stored: Stored): NewStep {
    return toNewStep(this.#core, { name, key, ...stored });
  }
}

/** Whether a time has come, by the database's clock as far as that is known. */
function isOver(time: number | Date, { now, at }: LoadedSteps): boolean {
  if (!(time instanceof Date)) return time === 0;
  return now !== undefined && time.getTime() <= now.getTime() + performance.now() - at;
}
