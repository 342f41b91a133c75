import type { AttemptEnvironment } from "./environment.ts";
import { Shutdown } from "./shutdown.ts";
import { suspendAttempt } from "./suspend.ts";
import type { Duration } from "../duration.ts";
import { LeaseLost } from "../errors.ts";
import type { AttemptEvents, AttemptOutcome } from "../settle/outcome_events.ts";
import { decideRetry, maxRetriesOf } from "../settle/retry_decision.ts";
import { CompensationDue, MARKER, type MarkerError, planOf, type Undo } from "../steps/compensation.ts";
import { CompensationRuns } from "../steps/compensation_runs.ts";
import { toThrown } from "../steps/step_error.ts";
import { toNewStep } from "../steps/new_step.ts";
import type { Steps } from "../steps/steps.ts";
import type { ClaimedTask } from "../store/claimed_task.ts";
import { endCompensation } from "../store/compensation.ts";
import type { Outcome } from "../store/settle.ts";
import type { NewStep } from "../store/steps.ts";
import type { TaskDefinition } from "../task/definition.ts";
import { isInstance } from "../thrown.ts";
import { toAscii } from "../wire/format.ts";

/** An attempt that failed, and whose task may have steps to compensate. */
export interface FailedAttempt extends AttemptEvents {
  readonly task: ClaimedTask;
  readonly definition: TaskDefinition;
  readonly env: AttemptEnvironment;
  readonly began: number;
  readonly timeout: Duration | undefined;
  readonly aborted: boolean;
}

/** How an attempt is settled. */
export type Decision = Pick<Outcome, "status" | "error" | "delay" | "counts">;

/** How an attempt ends that has, or may have, compensated steps. */
export interface AttemptEnd {
  readonly decided: Decision;
  /** Why. */
  readonly error: unknown;
  /** The error to be counted, as JSON; null if it is that of `decided`. */
  readonly counted: string | null;
}

/** The task goes back to its place: another attempt compensates, which reads what is stored. */
const HANDED_BACK: Decision = { status: "created", error: null, delay: null, counts: "snooze" };
/** The record has its errors already. */
const FAILED: Decision = { status: "failed", error: null, delay: null, counts: null };

/**
 * Whether an attempt that ended with `error` compensates: its task fails by it, and may have steps to undo; or its task
 * has begun to before, and the handler has done its part.
 */
export function isToCompensate({ compensation }: Steps, error: unknown, { status }: Decision): boolean {
  return isInstance(error, CompensationDue) ||
    compensation.marker === undefined && compensation.isPossible && status === "failed";
}

/** Whether a task may have steps to compensate, and they could not be read: then it cannot end yet. */
export function isUnread(
  { task, usedSteps }: { readonly task: ClaimedTask; readonly usedSteps: Steps | undefined },
): boolean {
  return task.compensates && (usedSteps?.compensation.isUnread ?? true);
}

/**
 * What the end of an attempt means whose task compensates: unless it did its part, or was ended from outside, its code is
 * to be fixed by a deployment, whatever it returned or threw. Any other end means what it is.
 */
export function explainEnd(steps: Steps | undefined, error: unknown): unknown {
  if (!steps?.compensation.marker || [CompensationDue, LeaseLost, Shutdown].some((type) => isInstance(error, type))) {
    return error;
  }
  return steps.compensation.changed(error);
}

/** The last part of an attempt whose task fails: it compensates the steps of the task. */
export class AttemptCompensation {
  readonly #attempt: FailedAttempt;
  readonly #steps: Steps;
  readonly #runs: CompensationRuns;

  constructor(attempt: FailedAttempt, steps: Steps) {
    const { definition, env, task, timeout } = attempt;
    const { compensation, host, lastSeq, version } = steps;
    const { config: { defaults }, settler: { attemptedBy: by } } = env;
    this.#attempt = attempt;
    this.#steps = steps;
    const maxRetries = maxRetriesOf({ task, definition, defaults });
    this.#runs = new CompensationRuns({ host, compensation, lastSeq, timeout, maxRetries, version, by });
  }

  /** Ends it from outside. What is missing is left to another attempt. */
  abort(reason: unknown): void {
    this.#runs.abort(reason);
  }

  /** Keeps its transactions alive. */
  ping(): void {
    this.#runs.ping();
  }

  /**
   * Compensates, and resolves to how the attempt is settled, or to its outcome if it was suspended until a compensation is
   * tried again.
   *
   * First of all, it stores that the task compensates, and why. An attempt after a crash reads that, and never runs a step
   * of the handler again.
   *
   * @throws {LeaseLost} If the attempt no longer holds its task.
   */
  async end(error: unknown, decided: Decision): Promise<AttemptOutcome | AttemptEnd> {
    const { definition, env: { config: { defaults }, redactor }, task } = this.#attempt;
    const { signal } = this.#runs;
    try {
      return await Promise.race([this.#end(error, decided), rejectOnAbort(signal)]);
    } catch (fault) {
      if (isInstance(fault, LeaseLost)) throw fault;
      if (signal.aborted) return { decided: HANDED_BACK, error: fault, counted: null };
      return {
        decided: decideRetry(fault, { task, definition, defaults, redactor }, true),
        error: fault,
        counted: null,
      };
    }
  }

  async #end(error: unknown, decided: Decision): Promise<AttemptOutcome | AttemptEnd> {
    const { compensation } = this.#steps;
    const { marker } = compensation;
    if (marker) {
      const undos = compensation.isDone ? [] : compensation.undos(planOf(marker));
      if (!undos) throw compensation.changed();
      return await this.#compensate(undos, toThrown(marker), JSON.stringify(marker.error));
    }
    const plan = this.#steps.planCompensation(this.#attempt.aborted);
    if (plan.length === 0) return { decided, error, counted: null };
    const { plan: _, ...counted } = await this.#storeMarker({
      ...JSON.parse(decided.error!),
      by: this.#attempt.env.settler.attemptedBy,
      plan,
    });
    // Where a step may be just being stored, only the next claim of the task can tell.
    const undos = this.#attempt.aborted ? undefined : compensation.undos(plan);
    if (!undos) return { decided: HANDED_BACK, error, counted: null };
    return await this.#compensate(undos, error, JSON.stringify(counted));
  }

  async #compensate(undos: readonly Undo[], error: unknown, counted: string): Promise<AttemptOutcome | AttemptEnd> {
    const { task: { id, claimSeq }, env: { sql } } = this.#attempt;
    const suspended = await this.#runs.run(undos);
    if (suspended) return await suspendAttempt(this.#attempt, { ...suspended, span: this.#steps.host.observers.span });
    await endCompensation(sql, { id, claimSeq });
    return { decided: FAILED, error, counted };
  }

  /** Stores that the task compensates, together with the failures that its handler got. */
  async #storeMarker(error: MarkerError): Promise<MarkerError> {
    const { task: { id, claimSeq }, env: { stepSettler } } = this.#attempt;
    const { facts } = this.#steps;
    const failures = facts.toStore(facts.failures()).filter(({ status }) => status !== "waiting");
    const step = toNewStep(this.#steps, { name: MARKER, key: "", kind: "compensation", error: JSON.stringify(error) });
    const store = (step: NewStep) => stepSettler.store({ id, claimSeq, step, failures }, this.#runs.signal);
    // A database whose encoding is not UTF8 lacks most characters, also those that JSON escapes.
    await store(step).catch((refusal) => {
      const ascii = JSON.stringify(error, (_, value) => typeof value === "string" ? toAscii(value) : value);
      return ascii === step.error ? Promise.reject(refusal) : store({ ...step, error: ascii });
    });
    return error;
  }
}

function rejectOnAbort(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
