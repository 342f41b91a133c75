import { AsyncLocalStorage } from "node:async_hooks";
import type { TaskDefinition } from "./definition.ts";
import type { ScheduleOptions } from "./options.ts";
import type { Page, PageOptions, TaskFilter, TaskRecord } from "./record.ts";
import type { Sql } from "../sql.ts";

/** Where a handler's messages go: the consumer's `log` event, with the task's id, name and attempt. */
export interface Logger {
  /** For developers. */
  debug(message: string, fields?: object): void;
  /** For the record. */
  info(message: string, fields?: object): void;
  /** Something is odd. */
  warn(message: string, fields?: object): void;
  /** Something failed. */
  error(message: string, fields?: object): void;
}

/** What a handler knows of its attempt: see `current()`. */
export interface TaskContext {
  /** False when the function was called directly: then `id` is 0, the signal never fires, and `sql` is the pool. */
  readonly queued: boolean;
  /** The id of the task. */
  readonly id: number;
  /** The number of this attempt, from 1. */
  readonly attempt: number;
  /** Whether no retry follows if this attempt fails. */
  readonly lastAttempt: boolean;
  /** Aborts when the attempt should end: timeout, cancellation, a lost lease or shutdown; its `reason` says which. */
  readonly signal: AbortSignal;
  /** The attempt's transaction, opened by its first statement; it commits together with `completed`. */
  readonly sql: Sql;
  /** Logs with the task's id, name and attempt. */
  readonly log: Logger;
  /**
   * Stores how far the handler is, from 0 to 1, at most twice a second. It is seen at once, outside the attempt's
   * transaction.
   */
  progress(value: number, note?: string): Promise<void>;
}

/** What a task asks of the instance that it is scheduled on. */
export interface CurrentInstance {
  readonly sql: Sql;
  schedule(definition: TaskDefinition, calls: unknown[][], options: ScheduleOptions): Promise<TaskRecord[]>;
  readonly tasks: {
    get(id: number): Promise<TaskRecord>;
    list(filter: TaskFilter, page?: PageOptions): Promise<Page<TaskRecord>>;
  };
}

/** What surrounds the code that runs now, carried along by AsyncLocalStorage. */
export interface Scope {
  /** The instance chosen by `run()`, `transaction()` or the attempt. */
  readonly instance?: CurrentInstance;
  /** The attempt whose handler runs. */
  readonly attempt?: TaskContext;
  /** The transaction that `schedule()` joins. */
  readonly transaction?: { readonly sql: Sql };
}

/** A defined task and where it was defined. */
export interface Registered {
  readonly definition: TaskDefinition;
  readonly site: string;
}

interface Shared {
  readonly scopes: AsyncLocalStorage<Scope>;
  readonly registry: Map<string, Registered>;
  instance?: CurrentInstance;
  createInstance?: () => CurrentInstance;
}

// An application may end up with two copies of this package (one from JSR, one from npm): they must share tasks,
// context and default instance, so these live on the global object.
const KEY = Symbol.for("firefly/1");
const global = globalThis as { [KEY]?: Shared };
const shared: Shared = global[KEY] ??= { scopes: new AsyncLocalStorage(), registry: new Map() };

/** The tasks of this process, by name and alias. */
export const registry: Map<string, Registered> = shared.registry;

/** The scope of the code that runs now. */
export function currentScope(): Scope {
  return shared.scopes.getStore() ?? {};
}

/** Runs `fn` with `scope` laid over the current one; a field given as undefined is taken away. */
export function withScope<T>(scope: { [K in keyof Scope]: Scope[K] | undefined }, fn: () => T): T {
  const { instance, attempt, transaction } = currentScope();
  return enterScope({ instance, attempt, transaction, ...scope } as Scope, fn);
}

/** Runs `fn` with `scope` in the place of the current one. */
export function enterScope<T, A extends unknown[]>(scope: Scope, fn: (...args: A) => T, ...args: A): T {
  return shared.scopes.run(scope, fn, ...args);
}

/** The instance of the current scope, else the default one, which is made when it is first needed. */
export function currentInstance(): CurrentInstance {
  return currentScope().instance ?? (shared.instance ??= shared.createInstance!());
}

/** Sets the default instance; undefined lets the next need make a new one. */
export function setDefaultInstance(instance: CurrentInstance | undefined): void {
  if (instance) shared.instance = instance;
  else delete shared.instance;
}

/** The default instance, if there is one yet. */
export function defaultInstance(): CurrentInstance | undefined {
  return shared.instance;
}

/** Says how the default instance is made. */
export function setInstanceFactory(create: () => CurrentInstance): void {
  shared.createInstance ??= create;
}
