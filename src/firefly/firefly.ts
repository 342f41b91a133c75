import type { ConsumeOptions, Consumer } from "../consume/consume.ts";
import type { Events } from "../events.ts";
import type { Middleware } from "../attempt/middleware.ts";
import { Instance, liveInstance } from "./instance.ts";
import type { FireflyOptions } from "./options.ts";
import type { MigrationState } from "../schema/migrator.ts";
import type { Tasks } from "../records/tasks.ts";
import type { PruneOptions } from "../records/prune.ts";
import { defaultInstance, setDefaultInstance } from "../task/scope.ts";
import type { Sql } from "../sql.ts";
import type { QueueState } from "../store/queues.ts";

/**
 * A connection to a database of tasks. It connects when it is first needed. Most programs never make one: the default
 * instance, from the environment or {@linkcode configure}, serves.
 *
 * @example
 * ```ts ignore
 * await using ff = new Firefly({ database: "postgres://localhost/app", schema: "jobs" });
 * await ff.run(() => add.schedule(1, 2));
 * ```
 */
export class Firefly implements AsyncDisposable {
  readonly #instance: Instance;

  /**
   * Makes an instance, without connecting yet.
   *
   * @param options Where the database is, and what tasks take that do not say otherwise.
   * @throws {TypeError} If an option is unknown.
   * @throws {RangeError} If the schema's name cannot be part of a channel's name.
   */
  constructor(options: FireflyOptions = {}) {
    this.#instance = new Instance(options);
  }

  /** The schema's name. */
  get schema(): string {
    return this.#instance.schema;
  }

  /** The records of this instance. */
  get tasks(): Tasks {
    return this.#instance.tasks;
  }

  /** Runs a statement on a pool of connections, outside of any transaction. */
  get sql(): Sql {
    return this.#instance.sql;
  }

  /**
   * Creates the schema, or brings it up to this release; resolves to what it applied. Any number of processes may
   * call it at once.
   *
   * @throws {SchemaMismatch} If the schema is newer than this release can work with.
   */
  async migrate(): Promise<MigrationState[]> {
    return await this.#instance.migrate();
  }

  /** Every migration of this release, and whether it was applied. */
  async migrations(): Promise<MigrationState[]> {
    return await this.#instance.migrations();
  }

  /**
   * Starts a consumer in this process.
   *
   * @throws {TypeError | RangeError} If an option is wrong.
   * @throws {FireflyError} If no task is defined.
   */
  consume(options: ConsumeOptions = {}): Consumer {
    return this.#instance.consume(options);
  }

  /**
   * Runs `fn` in a transaction: what it schedules and what it does through `sql` becomes visible together, or not at
   * all if it throws. Inside another transaction it is a savepoint.
   *
   * @throws {CommitUnknown} If the connection was lost during COMMIT.
   */
  async transaction<T>(fn: (sql: Sql) => Promise<T>): Promise<T> {
    return await this.#instance.transaction(fn);
  }

  /** Runs `fn` with this instance in place of the default one. */
  run<T>(fn: () => T): T {
    return this.#instance.run(fn);
  }

  /**
   * Surrounds every attempt of this instance's consumers with `middleware`, inside of what was added before, for tracing,
   * error reporting or tenancy. It is called with `current()` in place, and within the timeout; what it throws, the
   * attempt throws, and what it resolves to is the result. Without a call of `next()` the handler is not called.
   *
   * @throws {TypeError} If it is no function.
   *
   * @example Tell how long each attempt took
   * ```ts ignore
   * ff.use(async (attempt, next) => {
   *   const started = performance.now();
   *   try {
   *     return await next();
   *   } finally {
   *     console.log(attempt.funcName, attempt.id, performance.now() - started);
   *   }
   * });
   * ```
   */
  use(middleware: Middleware): void {
    this.#instance.hooks.use(middleware);
  }

  /**
   * Stops the claiming of a queue's tasks, in every consumer and until it is resumed, whatever restarts meanwhile. What
   * runs goes on. Resolves to whether the queue was not paused before.
   *
   * @throws {RangeError} If it is no name of a queue.
   */
  async pause(queue: string): Promise<boolean> {
    return await this.#instance.pause(queue);
  }

  /**
   * Goes on with a paused queue, at once; resolves to whether it was paused.
   *
   * @throws {RangeError} If it is no name of a queue.
   */
  async resume(queue: string): Promise<boolean> {
    return await this.#instance.resume(queue);
  }

  /** Every queue that has records, consumers or settings, by name. It counts all records, which takes a while. */
  async queues(): Promise<QueueState[]> {
    return await this.#instance.queues();
  }

  /**
   * Deletes the records that were kept for long enough, in small batches; resolves to how many. Consumers do so by
   * themselves, from time to time. How long records are kept is what consumers stored of their tasks and queues when
   * they started, and, for all others, what this instance says.
   *
   * @throws {TypeError | RangeError} If an option is wrong.
   */
  async prune(options: PruneOptions = {}): Promise<number> {
    return await this.#instance.prune(options);
  }

  /** Calls `listener` at every `event`; what it returns ends that. */
  on<E extends keyof Events>(event: E, listener: (detail: Events[E]) => void): () => void {
    return this.#instance.on(event, listener);
  }

  /** Stops its consumers, and closes its connections. Without it, a program ends only when idle connections time out. */
  async close(): Promise<void> {
    await this.#instance.close();
  }

  /** As {@linkcode Firefly.close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /**
   * Makes an instance the default one, and closes the one that it replaces.
   *
   * @ignore
   */
  static configure(options: FireflyOptions): Firefly {
    const replaced = defaultInstance() as Instance | undefined;
    const firefly = new Firefly(options);
    setDefaultInstance(firefly.#instance);
    replaced?.close().catch(() => {});
    return firefly;
  }
}

/** Makes the default instance: the one that tasks use where none is chosen. One that it replaces is closed. */
export function configure(options: FireflyOptions): Firefly {
  return Firefly.configure(options);
}

/** As {@linkcode Firefly.consume} of the default instance. */
export function consume(options?: ConsumeOptions): Consumer {
  return liveInstance().consume(options);
}

/** As {@linkcode Firefly.transaction} of the default instance. */
export function transaction<T>(fn: (sql: Sql) => Promise<T>): Promise<T> {
  return liveInstance().transaction(fn);
}

/** As {@linkcode Firefly.tasks} of the default instance. */
export const tasks: Pick<Tasks, "get" | "find" | "list" | "counts" | "retry" | "cancel" | "delete" | "explain"> = {
  get: (id) => liveInstance().tasks.get(id),
  find: (id) => liveInstance().tasks.find(id),
  list: (filter, page) => liveInstance().tasks.list(filter, page),
  counts: () => liveInstance().tasks.counts(),
  retry: (filter, options) => liveInstance().tasks.retry(filter, options),
  cancel: (filter, options) => liveInstance().tasks.cancel(filter, options),
  delete: (filter, options) => liveInstance().tasks.delete(filter, options),
  explain: (id) => liveInstance().tasks.explain(id),
};
