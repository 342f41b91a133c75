import { AsyncLocalStorage } from "node:async_hooks";
import type { TaskDefinition } from "./definition.ts";
import type { CallTarget } from "./call_target.ts";
import type { ScheduleOptions } from "./options.ts";
import type { Page, PageOptions, TaskFilter, TaskRecord } from "./record.ts";
import type { ScheduledCall } from "./scheduled_call.ts";
import type { Sql } from "../sql.ts";
import type { Payload, Signal, SignalTarget } from "./signal.ts";
import type { Step } from "./step.ts";

/** Logs messages of a handler: each becomes a `log` event, with the task's id, name and attempt. */
export interface Logger {
  /** Logs a detail for developers. */
  debug(message: string, fields?: object): void;
  /** Logs a normal event. */
  info(message: string, fields?: object): void;
  /** Logs a warning. */
  warn(message: string, fields?: object): void;
  /** Logs an error. */
  error(message: string, fields?: object): void;
}

/** The context of an attempt: see `current()`. */
export interface TaskContext {
  /**
   * Whether a consumer runs this attempt. False if the function was called directly: then `id` is 0, the signal never
   * aborts, logs and progress are dropped, and `sql` is that of the current transaction or instance.
   */
  readonly queued: boolean;
  /** The id of the task. */
  readonly id: number;
  /** The number of this attempt, from 1. */
  readonly attempt: number;
  /** Whether this attempt is the last one: no retry follows if it fails. */
  readonly lastAttempt: boolean;
  /** Aborts when the attempt should end: on a timeout, cancellation, a lost lease or shutdown, given by its `reason`. */
  readonly signal: AbortSignal;
  /**
   * The attempt's transaction. Its first statement opens it, and it commits together with the task's completion. In a
   * step, that of the step.
   */
  readonly sql: Sql;
  /** Runs a part of the handler once for each task, and remembers its result: see docs/steps.md. */
  readonly step: Step;
  /**
   * The `version` of the code that the task began with: that of its first stored step, the handler's own if there is none.
   * `Infinity` if the function was called directly.
   */
  readonly version: number;
  /** Logs with the task's id, name and attempt. */
  readonly log: Logger;
  /**
   * Reports progress from 0 to 1, with an optional note. It is stored outside the attempt's transaction, so it is visible
   * before the attempt ends, and at most twice a second.
   */
  progress(value: number, note?: string): Promise<void>;
}

/** A call of tasks by a handler that waits for them. */
export interface PreparedCall {
  /** Digests of the arguments, the same for the same arguments: the first is stored, others may have been before. */
  readonly digests: readonly [string, ...string[]];
  /** Schedules the tasks by `store`, which gets them as they are inserted, and returns their ids. */
  insert(store: (tasks: object[]) => Promise<number[] | null>): Promise<number[] | null>;
}

/** The part of an instance that tasks use. */
export interface CurrentInstance {
  readonly sql: Sql;
  /** Schedules one task for each list of arguments, and tells `call` of them. The caller has checked `options`. */
  schedule(
    definition: TaskDefinition,
    calls: unknown[][],
    options: ScheduleOptions,
    call?: ScheduledCall,
  ): Promise<TaskRecord[]>;
  readonly tasks: {
    get(id: number): Promise<TaskRecord>;
    list(filter: TaskFilter, page?: PageOptions): Promise<Page<TaskRecord>>;
    signal<T>(task: number | SignalTarget, signal: Signal<T>, ...payload: Payload<T>): Promise<boolean>;
  };
  /** Prepares a call of a task for each list of arguments, by a handler that waits for them. */
  prepareCall(target: CallTarget, calls: unknown[][]): Promise<PreparedCall>;
}

/** The surroundings of the running code, which AsyncLocalStorage carries through asynchronous calls. */
export interface Scope {
  /** The instance chosen by `run()`, `transaction()` or the attempt. */
  readonly instance?: CurrentInstance;
  /** The context of the attempt whose handler runs. */
  readonly attempt?: TaskContext;
  /** The transaction that `schedule()` joins. */
  readonly transaction?: { readonly sql: Sql };
}

/** A defined task, and the place in the source where it was defined. */
export interface Registered {
  readonly definition: TaskDefinition;
  /** The place, as `file:line:column`. */
  readonly site: string;
  /** The same object for all tasks that are defined without a pause between them. */
  readonly turn: object;
  /** Whether the place is in code that was passed to `eval`. */
  readonly isEvaluated: boolean;
}

interface Shared {
  readonly scopes: AsyncLocalStorage<Scope>;
  readonly registry: Map<string, Registered>;
  instance?: CurrentInstance;
  createInstance?: () => CurrentInstance;
}

// An application may load two copies of this package (one from JSR, one from npm). They must share their tasks, context
// and default instance, so these live on the global object.
const KEY = Symbol.for("firefly/1");
const global = globalThis as { [KEY]?: Shared };
const shared: Shared = global[KEY] ??= { scopes: new AsyncLocalStorage(), registry: new Map() };

/** The tasks of this process, by name and alias. */
export const registry: Map<string, Registered> = shared.registry;

/** Returns the scope of the running code. */
export function currentScope(): Scope {
  return shared.scopes.getStore() ?? {};
}

/** Runs `fn` in the current scope with the fields of `scope` replaced; a field that is undefined is removed. */
export function withScope<T>(scope: { [K in keyof Scope]: Scope[K] | undefined }, fn: () => T): T {
  const { instance, attempt, transaction } = currentScope();
  return enterScope({ instance, attempt, transaction, ...scope } as Scope, fn);
}

/** Runs `fn` in `scope` instead of the current scope. */
export function enterScope<T, A extends unknown[]>(scope: Scope, fn: (...args: A) => T, ...args: A): T {
  return shared.scopes.run(scope, fn, ...args);
}

/** Returns the instance of the current scope, else the default one, which is created on first use. */
export function currentInstance(): CurrentInstance {
  return currentScope().instance ?? (shared.instance ??= shared.createInstance!());
}

/** Sets the default instance; with undefined, the next use creates one. */
export function setDefaultInstance(instance: CurrentInstance | undefined): void {
  if (instance) shared.instance = instance;
  else delete shared.instance;
}

/** Returns the default instance, if it was created. */
export function defaultInstance(): CurrentInstance | undefined {
  return shared.instance;
}

/** Sets the function that creates the default instance. */
export function setInstanceFactory(create: () => CurrentInstance): void {
  shared.createInstance ??= create;
}
