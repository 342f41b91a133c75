import { isServerFault } from "../database/error_codes.ts";
import { LeaseLost } from "../errors.ts";
import { readClaims } from "../store/settle.ts";
import { leaseLostError } from "../settle/outcome_events.ts";
import { callTasks } from "../store/calls.ts";
import type { NewTask } from "../store/new_task.ts";
import { isInstance } from "../thrown.ts";
import { type CallTarget, targetOf } from "../task/call_target.ts";
import type { PreparedCall } from "../task/scope.ts";
import { keyOfCall } from "./call_end.ts";
import type { StepsCore, Turn } from "./host.ts";
import { toNewStep } from "./new_step.ts";
import { toServerFault } from "./step_error.ts";

/** The calls of an attempt: schedules tasks whose results its handler waits for. */
export class Calls {
  readonly #core: StepsCore;

  constructor(core: StepsCore) {
    this.#core = core;
  }

  /** Calls a task. */
  readonly call = async (task: unknown, ...args: unknown[]): Promise<unknown> =>
    await this.#call(targetOf(task), [args], false);

  /** Calls a task with each list of arguments. */
  readonly callMany = async (task: unknown, calls: Iterable<unknown[]>): Promise<unknown> => {
    const list = Array.from(calls);
    return list.length === 0 ? [] : await this.#call(targetOf(task), list, true);
  };

  async #call(target: CallTarget, calls: unknown[][], isMany: boolean): Promise<unknown> {
    const { name, aliases } = target.definition;
    let prepared: PreparedCall | undefined;
    const identify = async () => {
      prepared = await this.#core.host.env.instance.prepareCall(target, calls);
      const [key, ...formerKeys] = prepared.digests.map((digest) => keyOfCall(digest, isMany)) as [string, ...string[]];
      return { name, aliases, key, formerKeys, kind: "call" as const, isRepeatable: true };
    };
    return await this.#core.enter(name, identify, (turn) => this.#begin(turn, prepared!));
  }

  async #begin(turn: Turn, prepared: PreparedCall): Promise<unknown> {
    const { name, key, stored } = turn;
    const callees = stored?.callees ?? await this.#schedule(turn, prepared);
    return await this.#core.wait({ name, key, kind: "call", due: null, callees });
  }

  /** Schedules the tasks in the transaction that stores the wait, so that none is scheduled twice. */
  async #schedule({ name, key, caught }: Turn, prepared: PreparedCall): Promise<number[]> {
    const { facts, host } = this.#core;
    const { task: { id, claimSeq }, observers, env: { sql } } = host;
    const span = observers.span?.startStep({ name, key, kind: "call" });
    const steps = facts.toStore(caught);
    const step = toNewStep(this.#core, { name, key, kind: "call" });
    try {
      const insert = () =>
        prepared.insert((tasks) => callTasks(sql, { id, claimSeq, step, steps, tasks: tasks as NewTask[] }));
      const callees = await (span ? span.run(insert) : insert());
      span?.end(callees ? "waiting" : "lost");
      if (callees) {
        facts.onStored(steps);
        return callees;
      }
    } catch (error) {
      span?.end("failed", { error });
      if (isServerFault(error) || isInstance(error, LeaseLost)) return await this.#core.leave(toServerFault(error));
      throw error;
    }
    const states = await readClaims(sql, [id]).catch(() => undefined);
    const state = states?.get(id);
    if (state?.claimSeq === claimSeq && state.status === "created") {
      return await this.#core.leave(
        new LeaseLost(`Cannot call "${name}" of task ${id} as another attempt has called it`),
      );
    }
    return await this.#core.leave(leaseLostError(id, state));
  }
}
