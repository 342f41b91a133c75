import type { CronOptions, ScheduleOptions, TaskOptions } from "./options.ts";
import type { Page, PageOptions, TaskFilter, TaskRecord, WaitOptions } from "./record.ts";
import type { Arguments, ResultOf } from "./result_of.ts";
import type { Payload, Signal } from "./signal.ts";
import type { AnySchema, InputOf, OutputOf } from "./standard_schema.ts";
import type { Storability } from "./storable.ts";

/** A promise of the scheduled record, with a shortcut to its result. It stands for that result as an argument. */
export interface Scheduled<A extends unknown[], R> extends Promise<TaskRecord<A, R>>, ResultOf<R> {
  /** Waits until the task ends, and resolves to what its handler returned: see {@linkcode TaskRecord}. */
  result(options?: WaitOptions): Promise<R>;
}

/** A promise of the scheduled records. It stands for the list of their results as an argument. */
export interface ScheduledMany<A extends unknown[], R> extends Promise<TaskRecord<A, R>[]>, ResultOf<readonly R[]> {}

/** A task, or a task with options for one call, which can be scheduled. */
export interface Schedulable<A extends unknown[], R> {
  /**
   * Inserts a record into the database, for a consumer to run. Joins the current transaction, if there is one.
   *
   * An argument, or an element of a list that is one, may be another scheduled task, whose result it will be: its record,
   * or the promise of it. The task then waits until all of these have completed, and is cancelled once one of them has
   * failed or was cancelled.
   */
  schedule(...args: Arguments<A>): Scheduled<A, R>;
  /**
   * Inserts a record for each list of arguments: all of them or none, in as few statements as possible. A thousand
   * records or more are made once you look at one: for `structuredClone` and `postMessage`, copy their array first.
   */
  scheduleMany(calls: Iterable<Readonly<Arguments<A>>>): ScheduledMany<A, R>;
}

/**
 * A defined task: the plain function, which can also be scheduled. `A` are the arguments of `schedule()`, `R` is the
 * awaited result, and `F` is the function that a direct call runs. To annotate a task, `A` and `R` are enough:
 * `Task<[n: number], string>`.
 */
export interface Task<
  A extends unknown[] = unknown[],
  R = unknown,
  // deno-lint-ignore no-explicit-any
  F extends (...args: any) => unknown = (...args: A) => R extends PromiseLike<unknown> ? R : R | Promise<R>,
> extends Schedulable<A, Awaited<R>> {
  /** Calls the handler directly, without the database. */
  (...args: Parameters<F>): ReturnType<F>;
  /** The name of the task, under which its records are stored. */
  readonly funcName: string;
  /** Returns the task with options for one call of `schedule()` or `scheduleMany()`. */
  with(options: ScheduleOptions): Schedulable<A, Awaited<R>>;
  /** Reads a record of this task. Rejects with `TaskNotFound` if there is none, or if it belongs to another task. */
  get(id: number): Promise<TaskRecord<A, Awaited<R>>>;
  /**
   * Sends a signal to the task of this name that has a unique key and has not ended. Joins the current transaction, if
   * there is one. Resolves to whether there is such a task.
   *
   * Rejects with `ValidationFailed` if the payload does not fit the schema of the signal.
   */
  signal<T>(uniqueKey: string, signal: Signal<T>, ...payload: Payload<T>): Promise<boolean>;
  /** Lists records of this task, newest first. */
  list(filter?: Omit<TaskFilter, "funcName">, page?: PageOptions): Promise<Page<TaskRecord<A, Awaited<R>>>>;
}

/**
 * What a parameter without an annotation gets as its type if no schema says what it is. A handler with one is refused.
 *
 * @internal
 */
export interface Undeclared {
  /** Says what to do. */
  readonly "Declare the types of the handler's parameters, or set input": never;
}

/**
 * `T` if it is a list of arguments, as a mutable one.
 *
 * @internal
 */
export type ArgumentList<T> = T extends unknown[] ? T : T extends readonly [...infer L] ? L : never;

/**
 * The arguments that a handler gets: what schema `I` returns. Without one, `A`, those that the handler declares.
 *
 * @internal
 */
export type Received<I, A extends unknown[]> = HasArguments<I> extends true ? ArgumentList<OutputOf<I>> : A;

/**
 * The arguments that `schedule()` takes: what schema `I` accepts. Without one, `A`, those of the handler.
 *
 * @internal
 */
export type Given<I, A extends unknown[]> = HasArguments<I> extends true
  ? unknown extends InputOf<I> ? ArgumentList<OutputOf<I>> : ArgumentList<InputOf<I>>
  : A;

/**
 * The result that is stored: what schema `O` returns. Without one, what the handler returns, `R`.
 *
 * @internal
 */
export type Stored<O, R> = [O] extends [never] ? R : OutputOf<O>;

/**
 * What a handler may return: what schema `O` accepts. Without one, anything.
 *
 * @internal
 */
export type Returned<O> = [O] extends [never] ? unknown : InputOf<O> | Promise<InputOf<O>>;

/**
 * A handler that gets the arguments of schema `I`. Without one, it declares its arguments, `A`, itself: the compiler
 * must take no types for them from here, since they would be `unknown` or `any`. Two signatures that differ in their
 * type parameters keep it from doing so, and every function fits the second one. As they keep it from taking the type
 * of the result as well, a task with a schema `O` gets {@linkcode Undeclared} from here instead.
 *
 * @internal
 */
export type HandlerOf<I, O, A extends unknown[], R> = HasArguments<I> extends true
  ? (...args: ArgumentList<OutputOf<I>>) => R
  : [O] extends [never] ? ((...args: A) => R) & (<_>(...args: never) => unknown)
  : (...args: A) => R;

/**
 * `unknown` if there can be such a task, else the sentence that says why not: no function has a text as its type.
 *
 * @internal
 */
export type Problem<I, O, C, A extends unknown[], R> = IsUndeclared<Received<I, A>[number]> extends true
  ? "Declare the types of the handler's parameters, or set input"
  : [C] extends [never] ? Storability<Given<I, A>, Stored<O, Awaited<R>>>
  : [] extends Given<I, A> ? Storability<[], Stored<O, Awaited<R>>>
  : "A task with a cron takes no arguments";

/** The options of a task with arguments `A`, schemas `I` and `O`, and cron expression `C`; those not set are `never`. */
export interface TaskSpec<A extends unknown[], I, O, C> extends Omit<TaskOptions<A>, "input" | "output"> {
  /** Validates the list of arguments, when scheduling and again before the handler is called. @default none */
  input?: I & ListSchema<I>;
  /** Validates what the handler returned. @default none */
  output?: O;
  /** When to schedule the task ({@linkcode CronOptions}). @default never */
  cron?: C;
  /** An IANA time zone, such as "Europe/Warsaw". @default "UTC" */
  timezone?: [C] extends [never] ? "timezone requires cron" : string;
  /** Which of the slots that passed while no consumer ran are scheduled late ({@linkcode CronOptions}). @default "skip" */
  missed?: [C] extends [never] ? "missed requires cron" : CronOptions["missed"] & string;
}

/**
 * The type of {@linkcode task}, which can be called in two ways. After a wrong call the compiler goes on with the first one
 * that takes as many arguments, so the shorter one comes first.
 */
export interface TaskFunction {
  /** Returns a function that defines a task. */
  <I extends AnySchema = never, O extends AnySchema = never, C extends string = never>(
    spec: string | TaskSpec<Given<I, never>, I, O, C>,
  ): <A extends unknown[] = UndeclaredArguments<O>, R extends Returned<O> = Returned<O>>(
    handler: HandlerOf<I, O, A, R> & Problem<I, O, C, A, R>,
  ) => Task<[C] extends [never] ? Given<I, A> : [], Stored<O, Awaited<R>>, (...args: Received<I, A>) => R>;
  /** Defines a task. */
  <
    I extends AnySchema = never,
    O extends AnySchema = never,
    C extends string = never,
    A extends unknown[] = UndeclaredArguments<O>,
    R extends Returned<O> = Returned<O>,
  >(
    spec: string | TaskSpec<Given<I, A>, I, O, C>,
    handler: HandlerOf<I, O, A, R> & Problem<I, O, C, A, R>,
  ): Task<[C] extends [never] ? Given<I, A> : [], Stored<O, Awaited<R>>, (...args: Received<I, A>) => R>;
}

/**
 * The arguments of a handler whose parameters have no types: see {@linkcode HandlerOf}.
 *
 * @internal
 */
export type UndeclaredArguments<O> = [O] extends [never] ? unknown[] : Undeclared[];

/**
 * Whether {@linkcode Undeclared} is one of the types `T`.
 *
 * @internal
 */
type IsUndeclared<T> = unknown extends T ? false : [Extract<T, Undeclared>] extends [never] ? false : true;

/**
 * Whether there is a schema `I` that says what the arguments are.
 *
 * @internal
 */
type HasArguments<I> = [I] extends [never] ? false : unknown[] extends OutputOf<I> ? false : true;

/**
 * `unknown` if schema `I` is one of a list, else a sentence for the compiler to print.
 *
 * @internal
 */
type ListSchema<I> = [I] extends [never] ? unknown
  : OutputOf<I> extends readonly unknown[] ? unknown
  : "The schema of input must be one of the list of arguments, such as z.tuple([z.string()])";
