import type { Closing } from "../closing.ts";
import { DEFAULT_RETRY_DELAY, type RecordedDelay, type RetryDelay, toRecordedDelay } from "../task/backoff.ts";
import type { Tag } from "../database/driver.ts";
import type { Database } from "../database/pools.ts";
import type { Transaction } from "../database/transaction.ts";
import { parseTime } from "../database/times.ts";
import type { AttemptedBy } from "../events.ts";
import { decodeStored, decryptRow, type KeyRing } from "../privacy/encryption.ts";
import { FireflyError, TaskExists, TaskNotFound } from "../errors.ts";
import { lazyArray } from "../lazy_array.ts";
import type { Listener } from "../notify/listener.ts";
import { Projection } from "../wire/to_json.ts";
import type { TaskDefinition } from "../task/definition.ts";
import type {
  ForkOptions,
  FreshRecord,
  RescheduleOptions,
  TaskError,
  TaskRecord,
  TaskState,
  TaskStatus,
  WaitOptions,
} from "../task/record.ts";
import { forkById } from "./fork.ts";
import { readTaskGraph } from "./graph.ts";
import { toPlaceChange } from "./reschedule.ts";
import type { Results } from "./result_waiter.ts";
import type { GraphNode, StepRecord } from "../task/step_record.ts";
import { RESULT } from "../task/result_of.ts";
import type { ResultSource } from "../task/scheduled_call.ts";
import { sendSignal } from "./send_signal.ts";
import type { Payload, Signal } from "../task/signal.ts";
import { readStepRecords } from "./step_record.ts";
import { registry } from "../task/scope.ts";
import { cancelTasks, type Chosen, deleteTasks, rescheduleTasks, retryTasks, runTasks } from "../store/bulk.ts";
import type { NewTask } from "../store/new_task.ts";
import { readRecords } from "../store/records.ts";
import { type ErrorRow, type TaskRow, toNumber } from "../store/rows.ts";
import { rowOf, type ScheduledRow, type ScheduledTask } from "../store/schedule.ts";
import { TaskFailed } from "./task_failed.ts";
import { type WatchOptions, watchRow } from "./watch.ts";
import { findDuplicate } from "../store/unique.ts";

/** The connections that records act through. */
export interface RecordAccess {
  readonly keys: KeyRing | undefined;
  readonly closing: Closing;
  database(): Promise<Database>;
  results(): Promise<Results>;
  listener(): Promise<Listener>;
  /** The transaction of the running code, if it belongs to the instance. */
  transaction(): Transaction | undefined;
}

/** What signals are sent through: the transaction of the running code, if there is one. */
export function signalAccess({ keys, database, transaction }: RecordAccess): {
  keys: KeyRing | undefined;
  sql(): Promise<Tag>;
} {
  const joined = transaction();
  return { keys, sql: async () => joined ? joined.statements : (await database()).records };
}

/** Reads a record. Returns undefined if there is no such record. */
export async function readRecord(access: RecordAccess, id: number): Promise<TaskRecord | undefined> {
  const { records: sql } = await access.database();
  const [row] = await readRecords(sql, [id]);
  return row && toRecord(await decryptRow(row, access.keys), access);
}

/** Returns a record's columns by name, with values that JSON may be unable to hold. */
export function columnsOf(record: TaskRecord): Record<string, unknown> {
  return (record as unknown as StoredTask).columns();
}

/** Makes a record for users of a row that is decrypted as far as possible. */
export function toRecord(row: TaskRow, access: RecordAccess, fresh: FreshRecord = {}): TaskRecord {
  return new StoredTask(row, access, fresh) as unknown as TaskRecord;
}

/**
 * Makes the records of tasks that were just scheduled, with what is known of them, as they are not read back. Returns a
 * promise only if rows of duplicates may have to be decrypted.
 */
export function toRecords(
  tasks: NewTask[],
  scheduled: ScheduledTask[],
  { access, fresh }: { access: RecordAccess; fresh: FreshRecord },
): TaskRecord[] | Promise<TaskRecord[]> {
  const toOne = (row: ScheduledRow) => toRecord(row, access, row.inserted ? fresh : { ...fresh, inserted: false });
  const { keys } = access;
  if (!keys) return lazyArray(tasks.length, () => tasks.map((task, i) => toOne(rowOf(task, scheduled[i]!))));
  return Promise.all(tasks.map(async (task, i) => toOne(await decryptRow(rowOf(task, scheduled[i]!), keys))));
}

/** Its fields are declared only: to define them first, and then to set them, takes half as long again for a new class. */
class StoredTask {
  declare readonly id: number;
  declare readonly funcName: string;
  declare readonly queue: string;
  declare readonly status: TaskStatus;
  declare readonly state: TaskState;
  declare readonly priority: number;
  declare readonly created: Date;
  declare readonly notBefore: Date;
  declare readonly started: Date | null;
  declare readonly completed: Date | null;
  declare readonly failed: Date | null;
  declare readonly cancelled: Date | null;
  declare readonly attempt: number;
  declare readonly retryAttempts: number;
  declare readonly maxRetries: number;
  declare readonly retryDelay: RecordedDelay;
  declare readonly progress: { value: number; note?: string } | null;
  declare readonly error: TaskError | null;
  declare readonly errors: TaskError[];
  declare readonly tags: string[];
  declare readonly traceparent: string | null;
  declare readonly dependencies: number;
  declare readonly forkedFrom: number | null;
  declare readonly attemptedBy: AttemptedBy | null;
  declare readonly inserted: boolean;
  #params: Stored;
  #returned: Stored;
  readonly #access: RecordAccess;
  readonly #fresh: FreshRecord;

  constructor(row: TaskRow, access: RecordAccess, fresh: FreshRecord) {
    this.#access = access;
    this.#fresh = fresh;
    this.id = toNumber(row.id);
    this.funcName = row.func_name;
    this.queue = row.queue;
    this.status = row.status;
    this.state = row.state;
    this.#params = row.params;
    this.#returned = row.status === "completed" ? row.returned : null;
    this.priority = row.priority;
    this.created = row.created;
    this.notBefore = row.not_before;
    this.started = row.started;
    this.completed = row.completed;
    this.failed = row.failed;
    this.cancelled = row.cancelled;
    this.attempt = row.attempt;
    this.retryAttempts = row.retry_attempts;
    this.maxRetries = row.max_retries ?? definitionOf(row)?.maxRetries ?? 0;
    this.retryDelay = row.retry_delay ?? row.backoff ?? delayOf(definitionOf(row)?.retryDelay, row);
    this.progress = row.progress === null
      ? null
      : { value: row.progress, ...(row.progress_note === null ? {} : { note: row.progress_note }) };
    const errors = row.errors.map(toTaskError);
    this.error = row.status === "completed" ? null : errors.at(-1) ?? null;
    this.errors = errors;
    this.tags = row.tags;
    this.traceparent = row.traceparent;
    this.dependencies = row.dependencies;
    this.forkedFrom = row.forked_from === null ? null : toNumber(row.forked_from);
    this.attemptedBy = row.attempted_by;
    this.inserted = fresh.inserted ?? true;
  }

  get params(): unknown[] {
    return (this.#params = decoded(this.#params, "params", this.#access.keys)).value as unknown[];
  }

  get returned(): unknown {
    return (this.#returned = decoded(this.#returned, "returned", this.#access.keys)).value;
  }

  /** The task whose result it stands for as an argument. */
  get [RESULT](): ResultSource {
    return { call: undefined, id: this.id, count: undefined, settled: false };
  }

  async result(options?: WaitOptions): Promise<unknown> {
    this.#requireCommitted("wait for the result of");
    const results = await this.#access.results();
    const row = await decryptRow(await results.wait(this.id, options), this.#access.keys);
    const record = toRecord(row, this.#access);
    if (record.status === "completed") return record.returned;
    throw new TaskFailed(record);
  }

  async *watch(options: WatchOptions = {}): AsyncGenerator<TaskRecord, void, undefined> {
    this.#requireCommitted("watch");
    const { records: sql } = await this.#access.database();
    const listener = await this.#access.listener();
    for await (const row of watchRow({ sql, listener, closing: this.#access.closing, id: this.id }, options)) {
      yield toRecord(await decryptRow(row, this.#access.keys), this.#access);
    }
  }

  #requireCommitted(action: string): void {
    if (!this.#fresh.uncommitted?.()) return;
    throw new FireflyError(
      `Cannot ${action} task ${this.id} as the transaction that scheduled it has not committed yet`,
    );
  }

  /** Selects this task for a bulk operation, even if it has changed since it was read. */
  get #chosen(): Chosen {
    return { id: this.id, claimSeq: null };
  }

  async refresh(): Promise<TaskRecord> {
    const record = await readRecord(this.#access, this.id);
    if (record) return record;
    throw new TaskNotFound(this.id);
  }

  async retry(): Promise<TaskRecord> {
    const { records: sql } = await this.#access.database();
    const { done, left } = await retryTasks(sql, [this.#chosen]);
    if (done > 0) return await this.refresh();
    if (left.some(({ reason }) => reason === "dependencies")) {
      throw new FireflyError(
        `Cannot retry task ${this.id} as it depends on a task that did not complete: retry that one, as explain() says`,
      );
    }
    if (left.some(({ reason }) => reason === "compensated")) {
      throw new FireflyError(`Cannot retry task ${this.id} as it has compensated its steps: fork it`);
    }
    const [{ status }, duplicate] = await Promise.all([this.refresh(), findDuplicate(sql, this.id)]);
    if (status === "failed" || status === "cancelled") {
      if (duplicate) throw new TaskExists(`retry task ${this.id}`, duplicate);
      throw new FireflyError(`Cannot retry task ${this.id} as an open transaction schedules a duplicate of it`);
    }
    throw new FireflyError(`Cannot retry task ${this.id} as it must be failed or cancelled: its status is "${status}"`);
  }

  async graph(): Promise<GraphNode[]> {
    this.#requireCommitted("read the graph of");
    return await readTaskGraph((await this.#access.database()).records, this.id);
  }

  async run(): Promise<boolean> {
    const { records: sql } = await this.#access.database();
    return (await runTasks(sql, [this.#chosen])).done > 0;
  }

  async reschedule(changes: RescheduleOptions): Promise<boolean> {
    const change = toPlaceChange(changes, `reschedule task ${this.id}`);
    const { records: sql } = await this.#access.database();
    return (await rescheduleTasks(sql, [this.#chosen], change)).done > 0;
  }

  async steps(): Promise<StepRecord[]> {
    return await readStepRecords(this.#access, this.id);
  }

  async fork(options: ForkOptions = {}): Promise<TaskRecord> {
    this.#requireCommitted("fork");
    const { records: sql } = await this.#access.database();
    const id = await forkById(sql, this.id, options);
    const record = await readRecord(this.#access, id);
    if (record) return record;
    throw new TaskNotFound(id);
  }

  async signal<T>(signal: Signal<T>, ...[payload]: Payload<T>): Promise<boolean> {
    return await sendSignal(signalAccess(this.#access), this.id, { signal, payload });
  }

  async cancel(): Promise<boolean> {
    const { records: sql } = await this.#access.database();
    return (await cancelTasks(sql, [this.#chosen])).done > 0;
  }

  async delete(): Promise<void> {
    const { records: sql } = await this.#access.database();
    await deleteTasks(sql, [this.#chosen]);
  }

  /** Controls the output of `console.log`. */
  [Symbol.for("nodejs.util.inspect.custom")](): unknown {
    return { ...this, params: attemptRead(() => this.params), returned: attemptRead(() => this.returned) };
  }

  toJSON(): Record<string, unknown> {
    return new Projection().toJsonValue(this.columns()) as Record<string, unknown>;
  }

  columns(): Record<string, unknown> {
    return {
      id: this.id,
      func_name: this.funcName,
      queue: this.queue,
      status: this.status,
      state: this.state,
      priority: this.priority,
      params: attemptRead(() => this.params),
      returned: attemptRead(() => this.returned),
      created: this.created,
      not_before: this.notBefore,
      started: this.started,
      completed: this.completed,
      failed: this.failed,
      cancelled: this.cancelled,
      attempt: this.attempt,
      retry_attempts: this.retryAttempts,
      max_retries: this.maxRetries,
      retry_delay: this.retryDelay,
      progress: this.progress,
      errors: this.errors,
      tags: this.tags,
      traceparent: this.traceparent,
      dependencies: this.dependencies,
      forked_from: this.forkedFrom,
      attempted_by: this.attemptedBy,
    };
  }
}

/** The definition of a record's task, if this process has it. */
function definitionOf({ func_name }: TaskRow): TaskDefinition | undefined {
  return registry.get(func_name)?.definition;
}

/** The delay of a record that has none: its consumers' definition decides, which this process need not have. */
function delayOf(defined: RetryDelay | undefined, row: TaskRow): RecordedDelay {
  if (defined !== undefined) return toRecordedDelay(defined);
  // `schedule()` stores all delays but functions, and always the number of retries.
  return row.max_retries === null || row.max_retries === 0 ? DEFAULT_RETRY_DELAY : { kind: "function" };
}

/** A stored value, which is decoded on first use, so that one that cannot be decoded does not break a list of records. */
type Stored = string | null | { readonly value: unknown };

function decoded(
  stored: Stored,
  column: "params" | "returned",
  keys: KeyRing | undefined,
): { readonly value: unknown } {
  return typeof stored === "string" ? { value: decodeStored(stored, column, keys) } : stored ?? { value: undefined };
}

function attemptRead(read: () => unknown): unknown {
  try {
    return read();
  } catch (error) {
    return { error: (error as Error).message };
  }
}

/** Converts an entry of the column `errors`. */
export function toTaskError({ at, ...error }: ErrorRow): TaskError {
  return { ...error, at: parseTime(at) };
}
