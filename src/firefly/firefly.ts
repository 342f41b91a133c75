import type { Consumer } from "../consume/consume.ts";
import type { ConsumeOptions } from "../consume/options.ts";
import { checkQueueName, type TaskDefinition } from "../task/definition.ts";
import { KeyRing } from "../privacy/encryption.ts";
import { Emitter, type Events } from "../events.ts";
import { Hooks } from "../attempt/hooks.ts";
import type { Middleware } from "../attempt/middleware.ts";
import { callerName } from "./caller.ts";
import { connect, type Connected } from "./connect.ts";
import { Connector } from "./connector.ts";
import { RunningConsumers } from "./running_consumers.ts";
import { checkFireflyOptions, CREATE_INSTANCE, DEFAULT_SCHEMA, type FireflyOptions } from "./options.ts";
import { migrate, type MigrationState, migrationStates } from "../schema/migrator.ts";
import type { ScheduleOptions } from "../task/options.ts";
import { checkPruneOptions, prune, type PruneOptions } from "../records/prune.ts";
import type { TaskRecord } from "../task/record.ts";
import { Tasks } from "../records/tasks.ts";
import { Redactor } from "../privacy/redaction.ts";
import { Scheduler } from "../schedule/scheduler.ts";
import { hasResults, toInserted } from "../schedule/dependencies.ts";
import { encryptTasks, type KnownColumns, newTasks, prepareTasks } from "../schedule/new_tasks.ts";
import { digestsOfCalls } from "../schedule/unique_key.ts";
import type { CallTarget } from "../task/call_target.ts";
import type { ScheduledCall } from "../task/scheduled_call.ts";
import { currentScope, type PreparedCall, setInstanceFactory, withScope } from "../task/scope.ts";
import { lazySql, type Sql } from "../sql.ts";
import { type ConsumerState, readConsumers } from "../store/consumer_records.ts";
import { type PauseOptions, pauseQueue, type QueueState, readQueues, resumeQueue } from "../store/queues.ts";
import { openTransactionOf } from "./open_transaction.ts";
import { type RecordAccess, toRecords } from "../records/task_record.ts";
import { runTransaction, Transaction } from "../database/transaction.ts";
import { logTo } from "../telemetry/logger.ts";
import { makeTracing, type Tracing } from "../telemetry/tracing.ts";

/**
 * A database of tasks, to which it connects on first use. Most programs never create one: they use the default
 * instance, which the environment or {@linkcode configure} describes.
 *
 * @example
 * ```ts ignore
 * const ff = new Firefly({ database: "postgres://localhost/app", schema: "jobs" });
 * await ff.run(() => add.schedule(1, 2));
 * await ff.close();
 * ```
 */
export class Firefly implements AsyncDisposable {
  /** The schema's name. */
  readonly schema: string;
  /** The records of this instance. */
  readonly tasks: Tasks;
  /** Runs a statement on a pool of connections, outside of any transaction. */
  readonly sql: Sql = lazySql(async () => (await this.connect()).database.userSql);
  /** @ignore */
  readonly events: Emitter;
  /** @ignore */
  readonly hooks: Hooks;
  /** @ignore */
  readonly keys: KeyRing | undefined;
  /** @ignore */
  readonly redactor: Redactor;
  /** @ignore */
  readonly tracing: Tracing | undefined;
  readonly #options: Readonly<FireflyOptions>;
  readonly #access: RecordAccess;
  /** @ignore */
  readonly running: RunningConsumers;
  readonly #scheduler: Scheduler;
  readonly #knownColumns: KnownColumns = new WeakMap();
  readonly #connector: Connector;

  /**
   * Creates an instance. It does not connect yet.
   *
   * @param options The database, and defaults for its tasks and queues.
   * @throws {TypeError} If an option is unknown.
   * @throws {RangeError} If the schema's name cannot be part of a channel's name.
   */
  constructor(options?: FireflyOptions);
  /**
   * Creates an instance that replaces `predecessor` and takes over its listeners and its middleware.
   *
   * @ignore
   */
  constructor(options: FireflyOptions, predecessor: Firefly | undefined);
  constructor(options: FireflyOptions = {}, predecessor?: Firefly) {
    checkFireflyOptions(options);
    this.events = predecessor?.events ?? new Emitter();
    predecessor?.hooks.end();
    this.#options = options;
    this.schema = options.schema ?? DEFAULT_SCHEMA;
    this.keys = options.encryption && new KeyRing(options.encryption, CREATE_INSTANCE);
    this.redactor = new Redactor(options.redact, CREATE_INSTANCE);
    this.running = new RunningConsumers(this, options.alerts);
    this.tracing = makeTracing(options.tracing, this.redactor);
    this.#connector = new Connector((closing) => connect(this, closing));
    this.#access = {
      keys: this.keys,
      closing: this.#connector.closing,
      database: async () => (await this.connect()).database,
      results: async () => (await this.connect()).results,
      listener: async () => (await this.connect()).listener,
      transaction: () => openTransactionOf(this),
    };
    this.tasks = new Tasks(this.#access);
    this.#scheduler = new Scheduler({
      schema: this.schema,
      openTransaction: () => openTransactionOf(this),
      connect: () => this.connect(),
    });
    this.hooks = new Hooks({
      events: this.events,
      onFailed: options.onFailed,
      subscriptions: logTo(options.logger, { events: this.events, redactor: this.redactor }),
      get: (id) => this.tasks.get(id),
      run: (fn) => withScope({ instance: this, attempt: undefined, transaction: undefined }, fn),
    }, predecessor?.hooks.middleware);
  }

  /**
   * The options that it was created with. Not a field: they hold passwords and keys, which a log that prints the
   * instance must not show.
   *
   * @ignore
   */
  get options(): Readonly<FireflyOptions> {
    return this.#options;
  }

  /**
   * Creates the schema or updates it to this release, and returns the migrations it applied. Any number of processes
   * may call it at once.
   *
   * @throws {SchemaMismatch} If the schema is newer than this release can work with.
   */
  async migrate(): Promise<MigrationState[]> {
    const { settings } = await this.connect();
    return await migrate(settings, this.schema, this.#options.onProgress);
  }

  /** Lists all migrations of this release, with the time each was applied. */
  async migrations(): Promise<MigrationState[]> {
    return await migrationStates((await this.connect()).database.sql);
  }

  /**
   * Starts a consumer in this process.
   *
   * @throws {TypeError | RangeError} If an option is wrong.
   * @throws {FireflyError} If no task is defined.
   * @throws {InstanceClosed} If the instance is closed.
   */
  consume(options: ConsumeOptions = {}): Consumer {
    this.#connector.throwIfClosed();
    return this.running.start(options);
  }

  /**
   * Runs `fn` in a transaction. Tasks scheduled inside it and statements run through `sql` commit together, or not at
   * all if `fn` throws. Inside another transaction it is a savepoint.
   *
   * @throws {CommitUnknown} If the connection was lost during COMMIT.
   */
  async transaction<T>(fn: (sql: Sql) => Promise<T>): Promise<T> {
    const outer = openTransactionOf(this);
    const inScope = (transaction: Transaction) => withScope({ instance: this, transaction }, () => fn(transaction.sql));
    if (outer) return await outer.nested(inScope);
    const { sessions } = await this.connect();
    return await runTransaction(Transaction.on(sessions, { schema: this.schema }), inScope);
  }

  /** Runs `fn` with this instance in place of the default one. */
  run<T>(fn: () => T): T {
    const { instance, transaction } = currentScope();
    return withScope({ instance: this, transaction: instance === this ? transaction : undefined }, fn);
  }

  /**
   * Wraps every attempt of this instance's consumers in `middleware`, for tracing, error reporting or tenancy.
   * Middleware added first is outermost. It runs with `current()` available and within the task's timeout. If it
   * throws, the attempt fails; its resolved value is the result. If it does not call `next()`, the handler does not
   * run.
   *
   * @throws {TypeError} If it is not a function.
   *
   * @example Log how long each attempt took
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
    this.hooks.use(middleware);
  }

  /**
   * Pauses a queue: no consumer claims its tasks until it is resumed, not even after a restart. Running tasks continue.
   * Returns false if it was paused already, and then only replaces the reason.
   *
   * @throws {RangeError} If it is not a queue's name.
   */
  async pause(queue: string, options: PauseOptions = {}): Promise<boolean> {
    checkQueueName(queue, "pause", this.schema);
    return await pauseQueue((await this.connect()).database.records, queue, { by: callerName(), ...options });
  }

  /**
   * Resumes a paused queue at once. Returns false if it was not paused.
   *
   * @throws {RangeError} If it is not a queue's name.
   */
  async resume(queue: string): Promise<boolean> {
    checkQueueName(queue, "resume", this.schema);
    return await resumeQueue((await this.connect()).database.records, queue);
  }

  /** Lists the queues that have records, consumers or settings, by name, with counts as `tasks.counts()` has them. */
  async queues(): Promise<QueueState[]> {
    return await readQueues((await this.connect()).database.records);
  }

  /** Lists the consumers that have registered and not stopped, by host and process, with the tasks that they run. */
  async consumers(): Promise<ConsumerState[]> {
    return await readConsumers((await this.connect()).database.records);
  }

  /**
   * Deletes the records whose retention has expired, in small batches, and returns their number. Consumers prune
   * automatically from time to time. The retention of a task or queue is the one its consumers stored when they
   * started; all others use this instance's. A record that your own foreign keys or triggers do not let go stays, and
   * the event `consumer.error` reports it.
   *
   * @throws {TypeError | RangeError} If an option is wrong.
   */
  async prune(options: PruneOptions = {}): Promise<number> {
    checkPruneOptions(options);
    const { database } = await this.connect();
    const retention = options.retention ?? this.#options.defaults?.retention;
    const onProblem = (error: Error) =>
      this.events.emit("consumer.error", { consumerId: "", action: "prune records", error });
    return await prune(database.records, { ...options, ...(retention === undefined ? {} : { retention }), onProblem });
  }

  /** Calls `listener` on every `event`. Returns a function that unsubscribes. */
  on<E extends keyof Events>(event: E, listener: (detail: Events[E]) => void): () => void {
    return this.events.on(event, listener);
  }

  /**
   * Stops its consumers, waits for calls of `schedule()` under way, and closes its connections. All else that still waits
   * for the database, as `result()` and `watch()` do, then rejects with {@linkcode InstanceClosed}, and so does any later
   * use. A program that does not close its instance ends all the same, as soon as nothing waits for the database.
   */
  async close(): Promise<void> {
    await this.#connector.close(() => this.running.stop());
  }

  /** As {@linkcode Firefly.close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /**
   * Inserts one task for each list of arguments: in the user's transaction, in the scope's, or in one of its own.
   *
   * @ignore
   */
  schedule(
    definition: TaskDefinition,
    calls: unknown[][],
    options: ScheduleOptions,
    call?: ScheduledCall,
  ): Promise<TaskRecord[]> {
    return this.#connector.during(this.#schedule(definition, calls, options, call));
  }

  async #schedule(
    definition: TaskDefinition,
    calls: unknown[][],
    options: ScheduleOptions,
    call: ScheduledCall | undefined,
  ): Promise<TaskRecord[]> {
    const { schema, keys, options: { defaults = {} } } = this;
    const known = this.#knownColumns;
    const { tasks, plain } = await prepareTasks(definition, calls, { options, defaults, schema, keys, known });
    const insert = () => this.#scheduler.insert(tasks, options.tx, call);
    const { scheduled, fresh } = await (this.tracing?.schedule({ tasks, plain }, insert) ?? insert());
    call?.complete(scheduled);
    const records = await toRecords(plain, scheduled, { access: this.#access, fresh });
    if (!this.events.has("scheduled")) return records;
    for (const { id, funcName, queue, inserted } of records) {
      this.events.emit("scheduled", { id, funcName, queue, inserted });
    }
    return records;
  }

  /**
   * Prepares tasks that a handler calls, and waits for.
   *
   * @ignore
   */
  async prepareCall({ definition, options }: CallTarget, calls: unknown[][]): Promise<PreparedCall> {
    const { schema, keys, tracing, options: { defaults = {} } } = this;
    if (calls.some(hasResults)) {
      throw new TypeError(
        `Cannot call task "${definition.name}" with the result of another task: pass what that has returned`,
      );
    }
    const plain = await newTasks(definition, calls, { options, defaults, schema, keys, known: this.#knownColumns });
    return {
      digests: await digestsOfCalls(plain, keys),
      insert: async (store) => {
        const tasks = keys ? await encryptTasks(plain, keys) : plain;
        const insert = async () => {
          const ids = await store(await toInserted(tasks));
          return { ids, scheduled: plain.map((_, i) => ({ id: String(ids?.[i]) })) };
        };
        const { ids } = await (tracing?.schedule({ tasks, plain }, insert) ?? insert());
        if (!ids || !this.events.has("scheduled")) return ids;
        for (const [i, { func_name: funcName, queue }] of plain.entries()) {
          this.events.emit("scheduled", { id: ids[i]!, funcName, queue, inserted: true });
        }
        return ids;
      },
    };
  }

  /**
   * Connects on the first call; a failed attempt is repeated by the next call. Migrates the embedded server.
   *
   * @throws {InstanceClosed} If the instance is closed.
   * @ignore
   */
  connect(): Promise<Connected> {
    return this.#connector.connect();
  }
}

setInstanceFactory(() => new Firefly());
