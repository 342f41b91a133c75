import { TaskNotFound } from "./errors.ts";
import {
  type Page,
  type PageOptions,
  TASK_STATUSES,
  type TaskFilter,
  type TaskRecord,
  type TaskStatus,
} from "./record.ts";
import { cancelTasks, countRecords, deleteTasks, listRecords, retryTasks } from "./store/records.ts";
import { type TaskRow, toNumber } from "./store/rows.ts";
import { readRecord, type RecordAccess, toRecord } from "./stored_task.ts";
import { refuseUnknownKeys } from "./suggest.ts";

/** How many tasks one statement of a bulk operation touches: short transactions, which nobody has to wait for. */
const BULK = 1000;
const FILTER_KEYS = [
  "status",
  "queue",
  "funcName",
  "ids",
  "tags",
  "createdBefore",
  "createdAfter",
  "finishedBefore",
  "params",
];

/** The records of an instance. */
export class Tasks {
  readonly #access: RecordAccess;

  /** @ignore */
  constructor(access: RecordAccess) {
    this.#access = access;
  }

  /**
   * Reads a record.
   *
   * @throws {TaskNotFound} If there is none.
   */
  async get(id: number): Promise<TaskRecord> {
    const record = await this.find(id);
    if (record) return record;
    throw new TaskNotFound(id);
  }

  /** Reads a record, or resolves to undefined if there is none. */
  async find(id: number): Promise<TaskRecord | undefined> {
    if (!Number.isSafeInteger(id)) {
      throw new TypeError(`Cannot find a task as its id must be an integer: current value is ${id}`);
    }
    return await readRecord(this.#access, id);
  }

  /** Lists records, newest first. Iterating the page goes on to the pages that follow. */
  async list(filter: TaskFilter = {}, { limit = 100, after }: PageOptions = {}): Promise<Page<TaskRecord>> {
    checkFilter(filter, "list tasks");
    if (!(Number.isInteger(limit) && limit > 0)) {
      throw new RangeError(`Cannot list tasks as "limit" must be a positive integer: current value is ${limit}`);
    }
    const { records: sql } = await this.#access.database();
    const before = after === undefined ? null : toNumber(after);
    const rows = await listRecords(sql, filter, { limit, before });
    const items = rows.map((row) => toRecord(row, this.#access));
    const next = rows.length < limit ? null : rows.at(-1)!.id;
    const list = (after: string) => this.list(filter, { limit, after });
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

  /** Counts records by queue and status. */
  async counts(): Promise<Record<string, Record<TaskStatus, number>>> {
    const { records: sql } = await this.#access.database();
    const counts: Record<string, Record<TaskStatus, number>> = {};
    for (const { queue, status, count } of await countRecords(sql)) {
      const zeros = Object.fromEntries(TASK_STATUSES.map((status) => [status, 0]));
      (counts[queue] ??= zeros as Record<TaskStatus, number>)[status] = count;
    }
    return counts;
  }

  /** Schedules failed and cancelled tasks again, now and with all of their retries; resolves to how many. */
  async retry(filter: TaskFilter): Promise<number> {
    const { records: sql } = await this.#access.database();
    return await this.#inBulk("retry tasks", filter, (ids) => retryTasks(sql, ids));
  }

  /** Cancels tasks that have not ended; resolves to how many. */
  async cancel(filter: TaskFilter): Promise<number> {
    const { records: sql } = await this.#access.database();
    return await this.#inBulk("cancel tasks", filter, (ids) => cancelTasks(sql, ids));
  }

  /** Deletes records; resolves to how many. */
  async delete(filter: TaskFilter): Promise<number> {
    const { records: sql } = await this.#access.database();
    const { status } = filter;
    const statuses = status === undefined ? null : Array.isArray(status) ? status : [status];
    return await this.#inBulk("delete tasks", filter, (ids) => deleteTasks(sql, ids, statuses));
  }

  async #inBulk(action: string, filter: TaskFilter, act: (ids: number[]) => Promise<number>): Promise<number> {
    checkFilter(filter, action);
    const { records: sql } = await this.#access.database();
    let touched = 0;
    for (let before: number | null = null;;) {
      const rows: TaskRow[] = await listRecords(sql, filter, { limit: BULK, before });
      const ids = rows.map(({ id }) => toNumber(id));
      if (ids.length > 0) touched += await act(ids);
      if (ids.length < BULK) return touched;
      before = ids.at(-1)!;
    }
  }
}

function checkFilter(filter: TaskFilter, action: string): void {
  refuseUnknownKeys(filter, FILTER_KEYS, action);
  for (const status of filter.status === undefined ? [] : [filter.status].flat()) {
    if (!TASK_STATUSES.includes(status)) {
      throw new RangeError(
        `Cannot ${action} as status must be one of ${TASK_STATUSES.join(", ")}: current value is "${status}"`,
      );
    }
  }
}
