import type { Duration } from "../duration.ts";
import type { Schedulable } from "./signature.ts";
import type { Signal } from "./signal.ts";
import type { StepInfo, StepOptions } from "./step_options.ts";
import type { Storability } from "./storable.ts";

/** How long to wait for a signal. */
export interface WaitForOptions {
  /** The longest time from now, or the time until which to wait. @default for ever */
  timeout?: Duration | Date;
}

/**
 * Runs a function once for each task: its result is stored, and later attempts of the task get it back without calling
 * the function. What the function writes through `current().sql`, and the tasks that it schedules, commit together with
 * the result, or not at all. Its methods wait: for a time, a signal, or other tasks. A task that waits takes no slot and
 * no memory; when the wait has ended, its handler is called again, and gets the results of before. See docs/steps.md.
 *
 * @example
 * ```ts
 * import { current, task } from "@firefly/tasks";
 * import { assertEquals } from "@std/assert";
 *
 * const order = task({ name: "docs.order.steps", maxRetries: 3 }, async (id: number) => {
 *   const { step } = current();
 *   const charge = await step("charge", ({ idempotencyKey }) => ({ id: `charge of ${id}`, idempotencyKey }));
 *   await step("book", () => {}); // if this fails, the next attempt charges nothing
 *   return charge.id;
 * });
 *
 * assertEquals(await order(7), "charge of 7");
 * ```
 */
export interface Step {
  /**
   * Runs `fn`, unless an earlier attempt of the task has, and resolves to what it returned.
   *
   * What `fn` throws goes to the caller once the step has no retries left. If that lets it fail the attempt, the next
   * attempt calls `fn` again. If it catches the error and begins another step, the failure is stored with that, and
   * later attempts throw it again.
   *
   * `compensate` undoes the step if the task fails, when it has no retries left: it gets what `fn` returned. The
   * compensations of all steps that have completed run then, the last one first, each as a step of its own, with the
   * retries and the timeout of its step, or of the task. The task fails once they have ended. They do not run for a task
   * that is cancelled, or whose consumers crashed too often.
   *
   * @throws {FireflyError} Within another step, after `current().sql` was used outside of steps, or while a step of the
   * same name and key is under way.
   * @throws {FireflyLimitError} If the task has `maxSteps` steps already.
   */
  <R>(
    spec: string | StepOptions,
    fn: ((info: StepInfo) => R) & Storability<[], Awaited<R>>,
    compensate?: (result: Awaited<R>, info: StepInfo) => unknown,
  ): Promise<Awaited<R>>;
  /**
   * Waits for a time, as long as years. When it ends is decided, by the database's clock, where it begins: a later
   * change of the code does not move it.
   *
   * @throws {FireflyError} As `step()`. Where no attempt runs, it sleeps for up to a second, and throws for more.
   */
  sleep(time: Duration | Date): Promise<void>;
  /** Waits for a time under a name, which sleeps that are under way at the same time need. */
  sleep(name: string, time: Duration | Date): Promise<void>;
  /**
   * Waits for a signal to this task, and resolves to its payload. Signals of one name are received in the order in which
   * they were sent, each once; one that was sent before is there at once.
   *
   * @throws {DOMException} A `TimeoutError` if none was sent in time, however late the handler goes on.
   * @throws {FireflyError} As `step()`. Where no attempt runs, it throws.
   */
  waitFor<T>(signal: Signal<T>, options?: WaitForOptions): Promise<T>;
  /**
   * Schedules a task and waits for its result. It is found again by its name and arguments. Where this task ends without
   * it, it is cancelled.
   *
   * @throws {TaskFailed} If it failed or was cancelled.
   * @throws {FireflyError} As `step()`. Where no attempt runs, it throws.
   */
  call<A extends unknown[], R>(task: Schedulable<A, R>, ...args: A): Promise<R>;
  /**
   * Schedules a task for each list of arguments, and waits for all of them at once, until the last has ended. Resolves to
   * their results, in the order of `calls`.
   *
   * @throws {TaskFailed} Of the first in that order that failed or was cancelled.
   */
  callMany<A extends unknown[], R>(task: Schedulable<A, R>, calls: Iterable<Readonly<A>>): Promise<R[]>;
}
