import { type ConnectionSettings, resolveConnection } from "../database/settings.ts";
import { type ConsumeOptions, type Consumer, startConsumer } from "../consume/consume.ts";
import { Database } from "../database/pools.ts";
import { checkQueueName, checkScheduleOptions, type TaskDefinition } from "../task/definition.ts";
import { KeyRing } from "../privacy/encryption.ts";
import { FireflyError } from "../errors.ts";
import { Emitter, type Events } from "../events.ts";
import { Hooks } from "../attempt/hooks.ts";
import { ACTION, checkOptions, DEFAULT_SCHEMA, type FireflyOptions } from "./options.ts";
import { Listener } from "../notify/listener.ts";
import { migrate, type MigrationState, migrationStates } from "../schema/migrator.ts";
import type { ScheduleOptions } from "../task/options.ts";
import { checkPruneOptions, prune, type PruneOptions } from "../records/prune.ts";
import type { Page, PageOptions, TaskFilter, TaskRecord } from "../task/record.ts";
import { Tasks } from "../records/tasks.ts";
import { Redactor } from "../privacy/redaction.ts";
import { Results } from "../records/result_waiter.ts";
import { Scheduler } from "../schedule/scheduler.ts";
import { newTasks } from "../schedule/new_tasks.ts";
import {
  type CurrentInstance,
  currentInstance,
  currentScope,
  defaultInstance,
  setDefaultInstance,
  setInstanceFactory,
  withScope,
} from "../task/scope.ts";
import { Session, Sessions } from "../database/session.ts";
import { lazySql, type Sql } from "../sql.ts";
import { endBackend } from "../store/consumers.ts";
import { notify } from "../store/listen.ts";
import { pauseQueue, type QueueState, readQueues, resumeQueue } from "../store/queues.ts";
import { type RecordAccess, toRecord } from "../records/task_record.ts";
import { runTransaction, Transaction } from "../database/transaction.ts";

/** Everything that a connected instance works with. */
export interface Connected {
  readonly settings: ConnectionSettings;
  readonly database: Database;
  readonly sessions: Sessions;
  readonly listener: Listener;
  readonly results: Results;
}

/** Sessions that transactions outside of consumers may take at a time. */
const TRANSACTIONS = 10;

/** What stands behind a `Firefly`: the connections, made when they are first needed, and what is done over them. */
export class Instance implements CurrentInstance, AsyncDisposable {
  readonly options: Readonly<FireflyOptions>;
  readonly schema: string;
  readonly events: Emitter;
  readonly sql: Sql = lazySql(async () => (await this.connect()).database.userSql);
  /** What arguments and results are encrypted with, if they are. */
  readonly keys: KeyRing | undefined;
  /** Hides what logs and stored errors should not show. */
  readonly redactor: Redactor;
  readonly #access: RecordAccess;
  readonly tasks: Tasks;
  readonly hooks: Hooks;
  readonly #consumers = new Set<Consumer>();
  readonly #scheduler: Scheduler;
  #connected: Promise<Connected> | undefined;

  /** An instance in the place of `predecessor` takes its listeners and its middleware over. */
  constructor(options: FireflyOptions = {}, predecessor?: Instance) {
    checkOptions(options);
    this.events = predecessor?.events ?? new Emitter();
    predecessor?.hooks.end();
    this.options = options;
    this.schema = options.schema ?? DEFAULT_SCHEMA;
    this.keys = options.encryption && new KeyRing(options.encryption, ACTION);
    this.redactor = new Redactor(options.redact, ACTION);
    this.#access = {
      keys: this.keys,
      database: async () => (await this.connect()).database,
      results: async () => (await this.connect()).results,
      listener: async () => (await this.connect()).listener,
    };
    this.tasks = new Tasks(this.#access);
    this.#scheduler = new Scheduler({
      schema: this.schema,
      keys: this.keys,
      openTransaction: () => this.#openTransaction(),
      connect: () => this.connect(),
    });
    this.hooks = new Hooks({
      events: this.events,
      onFailed: options.onFailed,
      get: (id) => this.tasks.get(id),
      run: (fn) => withScope({ instance: this, attempt: undefined, transaction: undefined }, fn),
    }, predecessor?.hooks.middleware);
  }

  async migrate(): Promise<MigrationState[]> {
    const { settings } = await this.connect();
    return await migrate(settings, this.schema, this.options.onProgress);
  }

  async migrations(): Promise<MigrationState[]> {
    return await migrationStates((await this.connect()).database.sql);
  }

  consume(options: ConsumeOptions = {}): Consumer {
    const consumer = startConsumer(this, options);
    this.#consumers.add(consumer);
    consumer.finished.catch(() => {}).finally(() => this.#consumers.delete(consumer));
    return consumer;
  }

  async transaction<T>(fn: (sql: Sql) => Promise<T>): Promise<T> {
    const outer = this.#openTransaction();
    const inScope = (transaction: Transaction) => withScope({ instance: this, transaction }, () => fn(transaction.sql));
    if (outer) return await outer.nested(inScope);
    const { sessions } = await this.connect();
    return await runTransaction(Transaction.on(sessions, { schema: this.schema }), inScope);
  }

  async prune(options: PruneOptions = {}): Promise<number> {
    checkPruneOptions(options);
    const { database } = await this.connect();
    const retention = options.retention ?? this.options.defaults?.retention;
    return await prune(database.records, retention === undefined ? options : { ...options, retention });
  }

  async pause(queue: string): Promise<boolean> {
    checkQueueName(queue, "pause", this.schema);
    return await pauseQueue((await this.connect()).database.records, queue);
  }

  async resume(queue: string): Promise<boolean> {
    checkQueueName(queue, "resume", this.schema);
    return await resumeQueue((await this.connect()).database.records, queue);
  }

  async queues(): Promise<QueueState[]> {
    return await readQueues((await this.connect()).database.records);
  }

  run<T>(fn: () => T): T {
    const { instance, transaction } = currentScope();
    return withScope({ instance: this, transaction: instance === this ? transaction : undefined }, fn);
  }

  /** Inserts one task for each list of arguments: in the user's transaction, in the scope's, or in one of its own. */
  async schedule(definition: TaskDefinition, calls: unknown[][], options: ScheduleOptions): Promise<TaskRecord[]> {
    checkScheduleOptions(options, `schedule task "${definition.name}"`);
    const { schema, keys } = this;
    const tasks = await newTasks(definition, calls, { options, defaults: this.options.defaults ?? {}, schema, keys });
    const { rows, fresh } = await this.#scheduler.insert(tasks, options.tx);
    const records = rows.map((row) =>
      toRecord(row, this.#access, row.inserted ? fresh : { ...fresh, inserted: false })
    );
    if (!this.events.has("scheduled")) return records;
    for (const { id, funcName, queue, inserted } of records) {
      this.events.emit("scheduled", { id, funcName, queue, inserted });
    }
    return records;
  }

  on<E extends keyof Events>(event: E, listener: (detail: Events[E]) => void): () => void {
    return this.events.on(event, listener);
  }

  async get(id: number): Promise<TaskRecord> {
    return await this.tasks.get(id);
  }

  async list(filter: TaskFilter, page?: PageOptions): Promise<Page<TaskRecord>> {
    return await this.tasks.list(filter, page);
  }

  /** Stops its consumers, and closes its connections. */
  async close(): Promise<void> {
    await Promise.all([...this.#consumers].map((consumer) => consumer.stop()));
    const connected = await this.#connected?.catch(() => undefined);
    this.#connected = undefined;
    if (defaultInstance() === this) setDefaultInstance(undefined);
    if (!connected) return;
    await connected.listener.end();
    connected.sessions.end();
    await connected.database.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Connects, if it has not. Against the embedded server it migrates too. */
  async connect(): Promise<Connected> {
    const connected = this.#connected ??= this.#connect();
    try {
      return await connected;
    } catch (error) {
      if (this.#connected === connected) this.#connected = undefined; // the next call tries again
      throw error;
    }
  }

  async #connect(): Promise<Connected> {
    const { schema, options } = this;
    const given = await resolveConnection(options.database, options.onProgress);
    const direct = options.listenDatabase ? await resolveConnection(options.listenDatabase) : given;
    const database = await Database.open(given, schema);
    const { settings } = database;
    if (settings.embedded) await this.#migrateIfNeeded(settings, database);
    const terminate = (pid: number) => void endBackend(database.sql, pid).catch(() => {});
    const sessions = new Sessions(() => new Session(settings, { terminate }), TRANSACTIONS);
    // One statement in ten seconds needs no plan to be kept, and so it works through every kind of pooler that can listen.
    const listener = new Listener((session) => new Session({ ...direct, pooled: true }, session), {
      schema,
      events: this.events,
      echo: (channel) => notify(database.sql, channel),
    });
    return { settings, database, sessions, listener, results: new Results(database.records, listener) };
  }

  async #migrateIfNeeded(settings: ConnectionSettings, { sql }: Database): Promise<void> {
    const states = await migrationStates(sql);
    if (states.some(({ applied }) => applied === null)) await migrate(settings, this.schema, this.options.onProgress);
  }

  /** The transaction of the code that runs now, if it is one of this instance. */
  #openTransaction(): Transaction | undefined {
    const { instance = defaultInstance(), attempt, transaction } = currentScope();
    if (instance !== this || !(transaction instanceof Transaction)) return undefined;
    if (!transaction.ended) return transaction;
    if (!attempt) return undefined;
    // A handler that lost its task, or that was given up, must leave nothing behind.
    throw new FireflyError("Cannot schedule or begin a transaction here as the attempt of this handler has ended");
  }
}

setInstanceFactory(() => new Instance());

/** The instance of the scope, else the default one. */
export function liveInstance(): Instance {
  return currentInstance() as Instance;
}
