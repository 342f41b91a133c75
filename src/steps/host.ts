import type { Tag } from "../database/driver.ts";
import type { Sessions } from "../database/sessions.ts";
import type { KeyRing } from "../privacy/encryption.ts";
import type { Redactor } from "../privacy/redaction.ts";
import type { StepSettler } from "../settle/step_settler.ts";
import type { ClaimedTask } from "../store/claimed_task.ts";
import type { NewStep, StepKind } from "../store/steps.ts";
import type { RetryDelay } from "../task/backoff.ts";
import type { CurrentInstance, TaskContext } from "../task/scope.ts";
import type { StepCompensation, StepOptions } from "../task/step_options.ts";
import type { Facts } from "./facts.ts";
import type { LoadedStep, LoadedSteps } from "./load_steps.ts";
import type { Replay } from "./replay.ts";
import type { NamedStep } from "./step_names.ts";
import type { StepObservers } from "./step_report.ts";

/** The attempt that steps belong to. */
export interface StepsHost {
  readonly task: ClaimedTask;
  readonly definition: { readonly version?: number; readonly maxSteps?: number; readonly retryDelay?: RetryDelay };
  readonly env: {
    readonly config: { readonly leaseMs: number; readonly defaults: { readonly retryDelay?: RetryDelay } };
    readonly instance: CurrentInstance;
    readonly keys: KeyRing | undefined;
    readonly redactor: Redactor;
    readonly sessions: Sessions;
    readonly sql: Tag;
    readonly stepSettler: Pick<StepSettler, "store">;
  };
  /** What `current()` returns in the handler. */
  readonly context: TaskContext;
  /** What reports the steps. */
  readonly observers: StepObservers;
  /** Whether the attempt's own transaction has begun. */
  readonly hasBegun: boolean;
  /** Reads what earlier attempts have stored. */
  read(version: number): Promise<LoadedSteps>;
  /** Ends the attempt from outside, without its handler. */
  abort(reason: unknown): void;
}

/** A step that a handler asks for. */
export interface AskedStep extends NamedStep {
  readonly kind: StepKind;
  /** Of a step with a function. */
  readonly options?: StepOptions;
  /** What undoes it if the task fails. */
  readonly compensate?: StepCompensation | undefined;
}

/** A step that may begin, or that waits. */
export interface Turn {
  readonly replay: Replay<LoadedStep>;
  /** Under which it is stored. */
  readonly name: string;
  readonly key: string;
  /** What is stored of it, if it waits. */
  readonly stored: LoadedStep | undefined;
  /** The failures that the handler had caught when it asked. */
  readonly caught: ReadonlySet<NewStep>;
  readonly loaded: LoadedSteps;
}

/** A wait that the handler awaits. */
export interface Awaited {
  readonly name: string;
  readonly key: string;
  readonly kind: StepKind;
  /** When it ends: the seconds from now, by `performance.now()` in milliseconds, or a time; null if no time ends it. */
  readonly due: number | Date | null;
  /** The tasks that it called. */
  readonly callees?: readonly number[];
}

/** What a step that can be compensated tells. */
export interface CompensableSteps {
  /** Notes in the database that the task has such steps. Resolves when that is there: before, none may begin. */
  note(): Promise<void>;
  /** Takes note of one that has completed. */
  onCompleted(step: NewStep): void;
}

/** What the kinds of steps need of all steps of an attempt. */
export interface StepsCore {
  readonly host: StepsHost;
  readonly facts: Facts;
  readonly compensation: CompensableSteps;
  /** The version of the task's code. */
  readonly version: number;
  /** Whether the handler failed, so that no step begins any more. */
  readonly hasFailed: boolean;
  /**
   * Asks for a step: gives back its stored result, or lets it take its turn. `identify` may take its time to name it.
   * Never settles if it may not begin, and once the attempt has ended from outside.
   */
  enter(
    label: string,
    identify: () => AskedStep | Promise<AskedStep>,
    take: (turn: Turn) => Promise<unknown>,
  ): Promise<unknown>;
  /** Lets the handler wait. Never settles: the attempt is suspended once nothing else is under way. */
  wait(awaited: Awaited): Promise<never>;
  /** Ends the attempt, whose handler does not go on. */
  leave(reason: unknown): Promise<never>;
}

/** Never settles. */
export function never(): Promise<never> {
  return new Promise(() => {});
}
