import { TaskNotFound } from "../errors.ts";
import { decryptRow } from "../privacy/encryption.ts";
import type { Explanation } from "../task/explanation.ts";
import type { GraphNode, StepRecord } from "../task/step_record.ts";
import type {
  ForkOptions,
  Page,
  PageOptions,
  RescheduleOptions,
  TaskCounts,
  TaskFilter,
  TaskGroup,
  TaskGrouping,
  TaskLogLine,
  TaskRecord,
} from "../task/record.ts";
import { cancelTasks, deleteTasks, rescheduleTasks, retryTasks, runTasks } from "../store/bulk.ts";
import { type BulkOptions, inBulk, mayRun, toWaiting } from "./bulk.ts";
import { forkById } from "./fork.ts";
import { cancelTaskGraph, readTaskGraph } from "./graph.ts";
import { explainTask, nextOfQueue } from "../store/explain.ts";
import { countRecords, countStates, groupRecords } from "../store/record_counts.ts";
import { listRecords } from "../store/records.ts";
import { toNumber } from "../store/rows.ts";
import { readLog } from "../store/task_log.ts";
import { toPlaceChange } from "./reschedule.ts";
import { sendSignal } from "./send_signal.ts";
import type { Payload, Signal, SignalTarget } from "../task/signal.ts";
import { readStepRecords } from "./step_record.ts";
import { readRecord, type RecordAccess, signalAccess, toRecord } from "./task_record.ts";
import { Matching } from "./matching.ts";
import { checkFilter } from "./check_filter.ts";

const GROUPINGS: readonly TaskGrouping[] = ["error", "name", "queue", "state"];

/**
 * The records of an instance.
 *
 * @example
 * ```ts ignore
 * const ff = new Firefly({ database: "postgres://localhost/app" });
 * const counts = await ff.tasks.counts();
 * if (counts["mail"]?.failed) console.log(await ff.tasks.retry({ queue: "mail", status: "failed" }), "tasks run again");
 * ```
 */
export class Tasks {
  readonly #access: RecordAccess;

  /** @ignore */
  constructor(access: RecordAccess) {
    this.#access = access;
  }

  /**
   * Reads a record.
   *
   * @throws {TaskNotFound} If there is no such record.
   */
  async get(id: number): Promise<TaskRecord> {
    const record = await this.find(id);
    if (record) return record;
    throw new TaskNotFound(id);
  }

  /** Reads a record; undefined if there is none. */
  async find(id: number): Promise<TaskRecord | undefined> {
    checkId(id, "find");
    return await readRecord(this.#access, id);
  }

  /**
   * Reads the log lines that are kept of a task (its option `keepLogs`), oldest first: the last 1,000, or `limit`. They
   * appear within a second or two.
   */
  async log(id: number, { limit = 1000 }: { limit?: number } = {}): Promise<TaskLogLine[]> {
    checkId(id, "read the log of");
    return await readLog((await this.#access.database()).records, id, limit);
  }

  /** Reads the steps of a task that have ended, in the order in which they did; none if there is no such task. */
  async steps(id: number): Promise<StepRecord[]> {
    checkId(id, "read the steps of");
    return await readStepRecords(this.#access, id);
  }

  /**
   * Schedules a copy of a task that begins with the steps that it ran before the step `from`, or with all that have
   * ended. The task stays as it is, whether it has ended or not.
   *
   * @throws {TaskNotFound} If there is no such record.
   * @throws {StepNotFound} If the task has no such step.
   * @throws {FireflyError} If a step before `from` was compensated.
   */
  async fork(id: number, options: ForkOptions = {}): Promise<TaskRecord> {
    checkId(id, "fork");
    return await this.get(await forkById((await this.#access.database()).records, id, options));
  }

  /**
   * Sends a signal to a task: by its id, or by its name and unique key. Joins the current transaction, if there is one.
   * Resolves to whether there is such a task that has not ended.
   *
   * @throws {ValidationFailed} If the payload does not fit the schema of the signal.
   */
  async signal<T>(task: number | SignalTarget, signal: Signal<T>, ...[payload]: Payload<T>): Promise<boolean> {
    if (typeof task === "number") checkId(task, "send a signal to");
    return await sendSignal(signalAccess(this.#access), task, { signal, payload });
  }

  /** Lists records, newest first. Iterating over the page also reads the following pages. */
  async list(filter: TaskFilter = {}, { limit = 100, after, examine }: PageOptions = {}): Promise<Page<TaskRecord>> {
    checkFilter(filter, "list tasks");
    for (const [name, value] of Object.entries({ limit, examine })) {
      if (value === undefined || Number.isInteger(value) && value > 0) continue;
      throw new RangeError(`Cannot list tasks as "${name}" must be a positive integer: current value is ${value}`);
    }
    const { records: sql } = await this.#access.database();
    const before = after === undefined ? null : toNumber(after);
    const { rows, next: last } = await new Matching(sql, filter, { read: listRecords }).page({
      limit,
      before,
      examine,
    });
    const items = await Promise.all(
      rows.map(async (row) => toRecord(await decryptRow(row, this.#access.keys), this.#access)),
    );
    const next = last === null ? null : String(last);
    const list = (after: string) => this.list(filter, { limit, after, ...(examine === undefined ? {} : { examine }) });
    return {
      items,
      next,
      async *[Symbol.asyncIterator]() {
        yield* items;
        for (let after = next; after !== null;) {
          const page = await list(after);
          yield* page.items;
          after = page.next;
        }
      },
    };
  }

  /**
   * Counts records by queue and state; `created` is the sum of those that have not started. Above about 180,000 records,
   * it estimates how many have completed and were cancelled: see {@linkcode TaskCounts.estimated}.
   */
  async counts(): Promise<Record<string, TaskCounts>> {
    const { records: sql } = await this.#access.database();
    return Object.fromEntries(await countStates(sql));
  }

  /**
   * Counts the records that match. It reads all records, but for a filter by states of tasks that have not ended or have
   * failed.
   */
  async count(filter: TaskFilter = {}): Promise<number> {
    checkFilter(filter, "count tasks");
    const { records: sql } = await this.#access.database();
    return await countRecords(sql, filter);
  }

  /**
   * Groups the records that match, the largest groups first: `groups("error", { status: "failed" })` counts failures by
   * their message. It reads as many records as {@linkcode Tasks.count}.
   *
   * @param options `limit`: the most groups, 100 by default.
   */
  async groups(
    by: TaskGrouping,
    filter: TaskFilter = {},
    { limit = 100 }: { limit?: number } = {},
  ): Promise<TaskGroup[]> {
    checkFilter(filter, "group tasks");
    if (!GROUPINGS.includes(by)) {
      throw new RangeError(
        `Cannot group tasks as they are grouped by ${GROUPINGS.join(", ")}: current value is "${by}"`,
      );
    }
    const { records: sql } = await this.#access.database();
    return await groupRecords(sql, filter, { by, limit });
  }

  /**
   * Schedules failed and cancelled tasks again, now and with all their retries, and returns their number. A task that
   * changes meanwhile is skipped, unless it still matches the filter.
   *
   * @throws {FireflyError} If some could not be changed, as a trigger of yours refused it; all others are.
   */
  async retry(filter: TaskFilter, options: BulkOptions = {}): Promise<number> {
    return await inBulk(this.#access, { action: "retry tasks", filter, options, act: retryTasks });
  }

  /**
   * Makes tasks due now that wait for their time, for a delay or a retry, and returns their number: those with these
   * ids, or those that match the filter and have not started. They keep the attempts that they have left, and wait for
   * their limits as before. Tasks that change meanwhile: {@linkcode Tasks.retry}.
   */
  async run(chosen: number[] | TaskFilter, options: BulkOptions = {}): Promise<number> {
    return await inBulk(this.#access, { action: "run tasks", filter: toWaiting(chosen), options, act: runTasks });
  }

  /**
   * Gives tasks that have not started another time, queue or priority, and returns their number: those with these ids,
   * or those that match the filter. They keep their other options. Tasks that change meanwhile:
   * {@linkcode Tasks.retry}.
   *
   * @throws {TypeError | RangeError} If `changes` is wrong, or has none.
   */
  async reschedule(
    chosen: number[] | TaskFilter,
    changes: RescheduleOptions,
    options: BulkOptions = {},
  ): Promise<number> {
    const change = toPlaceChange(changes, "reschedule tasks");
    return await inBulk(this.#access, {
      action: "reschedule tasks",
      filter: toWaiting(chosen),
      options,
      act: (sql, chosen) => rescheduleTasks(sql, chosen, change),
    });
  }

  /** Cancels tasks that have not ended and returns their number. Tasks that change meanwhile: {@linkcode Tasks.retry}. */
  async cancel(filter: TaskFilter, options: BulkOptions = {}): Promise<number> {
    const idle = !mayRun(filter);
    return await inBulk(this.#access, {
      action: "cancel tasks",
      filter,
      options,
      act: (sql, chosen) => cancelTasks(sql, chosen, { idle }),
    });
  }

  /** Deletes records and returns their number. Tasks that change meanwhile: {@linkcode Tasks.retry}. */
  async delete(filter: TaskFilter, options: BulkOptions = {}): Promise<number> {
    const idle = !mayRun(filter);
    return await inBulk(this.#access, {
      action: "delete tasks",
      filter,
      options,
      act: (sql, chosen) => deleteTasks(sql, chosen, { idle }),
    });
  }

  /**
   * Explains why a task does not run. Lists all reasons, those that need action first.
   *
   * @throws {TaskNotFound} If there is no such record.
   */
  async explain(id: number): Promise<Explanation> {
    checkId(id, "explain");
    const { records: sql } = await this.#access.database();
    const explanation = await explainTask(sql, id);
    if (explanation) return explanation;
    throw new TaskNotFound(id);
  }

  /**
   * Reads the tasks that hang together with one: those that it depends on, those that depend on it, and so on, in the
   * order of their ids, up to 10,000.
   *
   * @throws {TaskNotFound} If there is no such record.
   */
  async graph(id: number): Promise<GraphNode[]> {
    checkId(id, "read the graph of");
    return await readTaskGraph((await this.#access.database()).records, id);
  }

  /**
   * Cancels the tasks that hang together with one, {@linkcode Tasks.graph}, and returns how many of them had not ended.
   *
   * @throws {TaskNotFound} If there is no such record.
   */
  async cancelGraph(id: number): Promise<number> {
    checkId(id, "cancel the graph of");
    return await cancelTaskGraph((await this.#access.database()).records, id);
  }

  /**
   * Explains why a queue stands still, by the task that consumers take next from it: the first that may run, else the
   * one that waits and is due first. Null if there is neither.
   */
  async explainQueue(queue: string): Promise<Explanation | null> {
    const { records: sql } = await this.#access.database();
    const id = await nextOfQueue(sql, queue);
    return id === undefined ? null : await explainTask(sql, id) ?? null;
  }
}

function checkId(id: number, action: string): void {
  if (Number.isSafeInteger(id)) return;
  throw new TypeError(`Cannot ${action} a task as its id must be an integer: current value is ${id}`);
}
