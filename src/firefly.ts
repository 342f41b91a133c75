import type { ConsumeOptions, Consumer } from "./consume.ts";
import type { Events } from "./events.ts";
import { type FireflyOptions, LiveInstance, liveInstance } from "./instance.ts";
import type { MigrationState } from "./migrator.ts";
import type { Tasks } from "./records.ts";
import { defaultInstance, setDefaultInstance } from "./scope.ts";
import type { Sql } from "./sql.ts";

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
  readonly #instance: LiveInstance;

  /**
   * Makes an instance, without connecting yet.
   *
   * @param options Where the database is, and what tasks take that do not say otherwise.
   * @throws {TypeError} If an option is unknown.
   * @throws {RangeError} If the schema's name cannot be part of a channel's name.
   */
  constructor(options: FireflyOptions = {}) {
    this.#instance = new LiveInstance(options);
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
    const replaced = defaultInstance() as LiveInstance | undefined;
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
export const tasks: Pick<Tasks, "get" | "find" | "list" | "counts" | "retry" | "cancel" | "delete"> = {
  get: (id) => liveInstance().tasks.get(id),
  find: (id) => liveInstance().tasks.find(id),
  list: (filter, page) => liveInstance().tasks.list(filter, page),
  counts: () => liveInstance().tasks.counts(),
  retry: (filter) => liveInstance().tasks.retry(filter),
  cancel: (filter) => liveInstance().tasks.cancel(filter),
  delete: (filter) => liveInstance().tasks.delete(filter),
};
