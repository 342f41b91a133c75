import type { Tag } from "../database/driver.ts";
import { type Duration, toMilliseconds } from "../duration.ts";
import type { Firefly } from "../firefly/firefly.ts";
import type { Sql } from "../sql.ts";
import { readClock } from "../store/cron.ts";
import { readNextDue, setClock } from "../store/test_clock.ts";
import { namesOf, type TaskDefinition } from "../task/definition.ts";
import type { TaskFilter, TaskRecord } from "../task/record.ts";
import { registry } from "../task/scope.ts";
import type { Task } from "../task/signature.ts";
import { DEFINITION } from "../task/task.ts";
import { TestCrons } from "./crons.ts";
import { type DrainCounts, DrainLog, type DrainOptions } from "./drain.ts";
import { Expectation, type Expected } from "./expectation.ts";
import type { TestOptions } from "./options.ts";

/** What a {@linkcode TestFirefly} is made of. */
export interface TestParts extends Pick<TestOptions, "tasks" | "cron"> {
  /** Its instance. */
  readonly firefly: Firefly;
  /** Where its database is. */
  readonly url: string;
  /** Takes everything back. */
  end(): Promise<void>;
}

/**
 * A task, or its name.
 *
 * @internal
 */
// deno-lint-ignore no-explicit-any
export type TaskOrName<A extends unknown[], R> = Task<A, R, any> | string;

/**
 * An instance for one test, on a database and with a clock of its own. It is the default instance until it is disposed
 * of, so that tasks schedule into its database.
 *
 * @example Run what is due within two hours, each task at its time
 * ```ts
 * import { task } from "@firefly/tasks";
 * import { testFirefly } from "@firefly/tasks/testing";
 *
 * const remind = task("doc.testing.remind", (name: string) => `Do not forget, ${name}!`);
 *
 * await using ff = await testFirefly();
 * await remind.with({ delay: "90m" }).schedule("Ada");
 * await ff.assertScheduled(remind, { in: "90m" });
 * const { completed } = await ff.drain({ until: "2h" });
 * console.log(completed); // 1
 * ```
 */
export class TestFirefly implements AsyncDisposable {
  /** The instance. */
  readonly firefly: Firefly;
  /** Where its database is, for `FIREFLY_DATABASE_URL` of programs that the test starts, and for clients of your own. */
  readonly url: string;
  readonly #parts: TestParts;
  readonly #crons: TestCrons | undefined;
  #ended: Promise<void> | undefined;

  /** @ignore */
  constructor(parts: TestParts) {
    this.firefly = parts.firefly;
    this.url = parts.url;
    this.#parts = parts;
    if (parts.cron !== false) this.#crons = new TestCrons(parts.firefly.options.defaults);
  }

  /** Runs a statement in its database. */
  get sql(): Sql {
    return this.firefly.sql;
  }

  /**
   * Runs `fn` with this instance in place of the default one. Tests that run at the same time in one process need it, as
   * there is only one default instance, the one made last.
   */
  run<T>(fn: () => T): T {
    return this.firefly.run(fn);
  }

  /** The time by the clock of its database. */
  async now(): Promise<Date> {
    return await readClock(await this.#sql());
  }

  /**
   * Sets the clock of its database forward by a duration or to a time, and returns the new time. Tasks whose time has come
   * are due then, and those of crons whose slots passed were scheduled, each at its time, but none runs: see
   * {@linkcode TestFirefly.drain}. A consumer that the test has started runs them.
   *
   * The clock is that of the database: delays, retries, limits, unique keys, retention and crons go by it, and so do
   * `now()`, `clock_timestamp()` and `statement_timestamp()` in your own SQL, but neither `CURRENT_TIMESTAMP` nor `Date`.
   * Timeouts of handlers and of `result()` go by the clock of the process.
   *
   * @throws {RangeError} If it is a time before now: a clock goes forward only.
   * @throws {FireflyError} If a cron has more than 10,000 slots until then.
   */
  async travel(to: Duration | Date): Promise<Date> {
    await this.#travelTo(await this.#timeOf(to, "travel"));
    return await this.now();
  }

  /**
   * Runs all tasks that are due, those that they schedule, and with `until` those that are due by then, each at its time.
   *
   * @throws {AggregateError} If tasks failed, or wait for a retry at the end. `errors` has what their handlers threw.
   * @throws {RangeError} If `until` is a time before now.
   * @throws {FireflyError} If no task is defined.
   */
  async drain(
    { until, queues = "*", concurrency = 10, throwOnFailure = true }: DrainOptions = {},
  ): Promise<DrainCounts> {
    const { tasks } = this.#parts;
    const began = performance.now();
    const target = until === undefined ? undefined : await this.#timeOf(until, "drain");
    /** What follows from what has run is due a little later than without the time that this took. */
    const last = () => until instanceof Date ? until : new Date(target!.getTime() + performance.now() - began);
    const sql = await this.#sql();
    const named = [queues].flat();
    const log = new DrainLog(this.firefly);
    const drain = () =>
      this.firefly.consume({ drain: true, queues, concurrency, ...(tasks ? { tasks } : {}) }).finished;
    try {
      await this.#startCrons(sql);
      await drain();
      for (let isOver = target === undefined; !isOver;) {
        const due = await readNextDue(sql, named.includes("*") ? null : named);
        const [next, end] = [earliest(due, this.#crons?.next ?? null), last()];
        isOver = next === null || next > end;
        await this.#travelTo(isOver ? end : next!);
        await drain();
      }
    } finally {
      log.end();
    }
    if (throwOnFailure) log.throwFailures();
    return log.counts;
  }

  /**
   * Lists the tasks that were scheduled and have not started, the oldest first: those of a task, of a name, or all. Another
   * `status` in the filter finds those that run or have ended.
   */
  async scheduled<A extends unknown[], R>(
    task?: TaskOrName<A, R>,
    filter: Omit<TaskFilter, "funcName"> = {},
  ): Promise<TaskRecord<A, Awaited<R>>[]> {
    const funcName = task === undefined ? {} : { funcName: namesOfTask(task) };
    return await this.#list({ status: "created", ...filter, ...funcName });
  }

  /**
   * Checks that a task was scheduled as expected and has not started, and returns its record, the oldest if there are
   * several. With `status` it may have ended: `{ status: "completed" }`.
   *
   * @throws {AssertionError} If it was not. The message shows what its records have instead.
   *
   * @example
   * ```ts ignore
   * await ff.assertScheduled(sendMail, { args: ["ada@example.com"], queue: "mail", in: "5m" });
   * ```
   */
  async assertScheduled<A extends unknown[], R>(
    task: TaskOrName<A, R>,
    expected: Expected<A> = {},
  ): Promise<TaskRecord<A, Awaited<R>>> {
    const expectation = new Expectation(nameOf(task), expected as Expected<never>, "assert that a task was scheduled");
    const records = await this.#list<A, Awaited<R>>({ funcName: namesOfTask(task) });
    const [found] = expectation.assertSome(records as TaskRecord[]);
    return found as TaskRecord<A, Awaited<R>>;
  }

  /**
   * Checks that no such task was scheduled that has not started.
   *
   * @throws {AssertionError} If one was. The message shows it.
   */
  async assertNotScheduled<A extends unknown[], R>(
    task: TaskOrName<A, R>,
    expected: Omit<Expected<A>, "count"> = {},
  ): Promise<void> {
    const action = "assert that no task was scheduled";
    const expectation = new Expectation(nameOf(task), expected as Expected<never>, action);
    expectation.assertNone(await this.#list({ funcName: namesOfTask(task) }));
  }

  /** Stops its consumers, closes its connections, drops its database, and restores the default instance. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** As disposing of it, where `await using` is no option. */
  close(): Promise<void> {
    return this.#ended ??= this.#parts.end();
  }

  /**
   * Starts the crons of the tasks that are defined by now, with slots from now on.
   *
   * @ignore
   */
  async start(): Promise<void> {
    if (this.#crons && this.#definitions().some(({ cron }) => cron !== undefined)) {
      await this.#startCrons(await this.#sql());
    }
  }

  async #sql(): Promise<Tag> {
    return (await this.firefly.connect()).database.records;
  }

  async #startCrons(sql: Tag): Promise<void> {
    await this.#crons?.register(sql, this.#definitions());
  }

  #definitions(): TaskDefinition[] {
    const { tasks } = this.#parts;
    return tasks ? Array.from(tasks, definitionOf) : Array.from(registry.values(), ({ definition }) => definition);
  }

  /** The time that a user gave: what is over by now is an error. */
  async #timeOf(to: Duration | Date, action: string): Promise<Date> {
    const now = await this.now();
    if (!(to instanceof Date)) return new Date(now.getTime() + toMilliseconds(to, action));
    if (!Number.isFinite(to.getTime())) throw new TypeError(`Cannot ${action} as the time is an invalid Date`);
    if (to >= now) return to;
    throw new RangeError(
      `Cannot ${action} to ${to.toISOString()} as clocks go forward only: it is ${now.toISOString()}, ` +
        "and the option now of testFirefly() starts earlier",
    );
  }

  /** Sets the clock forward, from slot to slot of the crons on the way. */
  async #travelTo(target: Date): Promise<void> {
    const sql = await this.#sql();
    await this.#startCrons(sql);
    this.#crons?.check(target);
    for (let slot = this.#crons?.next; slot && slot <= target; slot = this.#crons?.next) {
      await setClock(sql, slot);
      await this.#crons?.fire(sql, slot);
    }
    await setClock(sql, target);
  }

  async #list<A extends unknown[], R>(filter: TaskFilter): Promise<TaskRecord<A, R>[]> {
    const found: TaskRecord[] = [];
    for await (const record of await this.firefly.tasks.list(filter, { limit: 1000 })) found.push(record);
    return found.reverse() as TaskRecord<A, R>[];
  }
}

function earliest(one: Date | null, other: Date | null): Date | null {
  return one && other ? (one < other ? one : other) : one ?? other;
}

function definitionOf(task: unknown): TaskDefinition {
  return (task as { [DEFINITION]: TaskDefinition })[DEFINITION];
}

function nameOf(task: string | { readonly funcName: string }): string {
  return typeof task === "string" ? task : task.funcName;
}

function namesOfTask(task: unknown): string[] {
  return typeof task === "string" ? [task] : namesOf(definitionOf(task));
}
