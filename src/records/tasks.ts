import type { Tag } from "../database/driver.ts";
import { mayConcernOneRecord } from "../database/error_codes.ts";
import { FireflyError, TaskNotFound } from "../errors.ts";
import { decryptRow } from "../privacy/encryption.ts";
import type { Explanation } from "../task/explanation.ts";
import {
  type Page,
  type PageOptions,
  TASK_STATUSES,
  type TaskFilter,
  type TaskRecord,
  type TaskStatus,
} from "../task/record.ts";
import { type BulkResult, cancelTasks, type Chosen, deleteTasks, retryTasks } from "../store/bulk.ts";
import { explainTask } from "../store/explain.ts";
import { countRecords, type ListedRow, listRecords } from "../store/records.ts";
import { toNumber } from "../store/rows.ts";
import { readRecord, type RecordAccess, toRecord } from "./task_record.ts";
import { refuseUnknownKeys } from "../suggest.ts";

/** The most tasks that one statement of a bulk operation changes, so that its transactions are short. */
const BULK = 1000;
/** How often to read a task again that keeps changing before it can be changed. */
const TRIES = 10;
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

/** Options of bulk operations. */
export interface BulkOptions {
  /** Stops the operation between two batches and rejects with the signal's reason. Finished batches stay done. */
  signal?: AbortSignal;
  /** Receives the number of tasks done so far, after each batch. */
  onProgress?: (done: number) => void;
}

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
   * @throws {TaskNotFound} If there is no such record.
   */
  async get(id: number): Promise<TaskRecord> {
    const record = await this.find(id);
    if (record) return record;
    throw new TaskNotFound(id);
  }

  /** Reads a record. Returns undefined if there is no such record. */
  async find(id: number): Promise<TaskRecord | undefined> {
    checkId(id, "find");
    return await readRecord(this.#access, id);
  }

  /** Lists records, newest first. Iterating over the page also reads the following pages. */
  async list(filter: TaskFilter = {}, { limit = 100, after }: PageOptions = {}): Promise<Page<TaskRecord>> {
    checkFilter(filter, "list tasks");
    if (!(Number.isInteger(limit) && limit > 0)) {
      throw new RangeError(`Cannot list tasks as "limit" must be a positive integer: current value is ${limit}`);
    }
    const { records: sql } = await this.#access.database();
    const before = after === undefined ? null : toNumber(after);
    const rows = await listRecords(sql, filter, { limit, before });
    const items = await Promise.all(
      rows.map(async (row) => toRecord(await decryptRow(row, this.#access.keys), this.#access)),
    );
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

  /**
   * Schedules failed and cancelled tasks again, now and with all their retries, and returns their number. A task that
   * changes meanwhile is skipped, unless it still matches the filter.
   *
   * @throws {FireflyError} If some could not be changed, as a trigger of yours refused it; all others are.
   */
  async retry(filter: TaskFilter, options: BulkOptions = {}): Promise<number> {
    return await this.#inBulk("retry tasks", { filter, options, act: retryTasks });
  }

  /** Cancels tasks that have not ended and returns their number. Tasks that change meanwhile: {@linkcode Tasks.retry}. */
  async cancel(filter: TaskFilter, options: BulkOptions = {}): Promise<number> {
    const idle = !mayRun(filter);
    return await this.#inBulk("cancel tasks", {
      filter,
      options,
      act: (sql, chosen) => cancelTasks(sql, chosen, { idle }),
    });
  }

  /** Deletes records and returns their number. Tasks that change meanwhile: {@linkcode Tasks.retry}. */
  async delete(filter: TaskFilter, options: BulkOptions = {}): Promise<number> {
    const idle = !mayRun(filter);
    return await this.#inBulk("delete tasks", {
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

  /** Reads the matching records, newest first, and changes them in batches, each in a short transaction. */
  async #inBulk(action: string, { filter, options: { signal, onProgress }, act }: BulkAct): Promise<number> {
    checkFilter(filter, action);
    const { records: sql } = await this.#access.database();
    let done = 0;
    const failures: BulkFailure[] = [];
    for (let before: number | null = null;;) {
      signal?.throwIfAborted();
      const rows: ListedRow[] = await listRecords(sql, filter, { limit: BULK, before });
      let batch = rows;
      for (let tries = 0; batch.length > 0 && tries < TRIES; tries++) {
        const chosen = batch.map((row) => ({ id: toNumber(row.id), claimSeq: toNumber(row.claim_seq) }));
        const result = await actOnEach(chosen, (chosen) => act(sql, chosen), failures);
        done += result.done;
        const { changed } = result;
        batch = changed.length > 0
          ? await listRecords(sql, { ...filter, ids: changed }, { limit: BULK, before: null })
          : [];
      }
      onProgress?.(done);
      if (rows.length < BULK) break;
      before = toNumber(rows.at(-1)!.id);
    }
    const [failure] = failures;
    if (!failure) return done;
    const others = failures.length > 1 ? ` and ${failures.length - 1} more` : "";
    throw new FireflyError(`Cannot ${action}: task ${failure.id}${others} stayed as they were, ${done} are done`, {
      cause: failure.error,
    });
  }
}

/** A task that a bulk operation could not change, and why. */
interface BulkFailure {
  readonly id: number;
  readonly error: unknown;
}

/**
 * Calls `act` with all tasks; where that fails, with each half, down to the one task that is the cause, as a foreign key
 * or a trigger of the user's refuses its change. That one is left, and added to `failures`.
 */
async function actOnEach(
  chosen: Chosen[],
  act: (chosen: Chosen[]) => Promise<BulkResult>,
  failures: BulkFailure[],
): Promise<BulkResult> {
  try {
    return await act(chosen);
  } catch (error) {
    if (!mayConcernOneRecord(error)) throw error;
    if (chosen.length === 1) {
      failures.push({ id: chosen[0]!.id, error });
      return { done: 0, changed: [] };
    }
    const half = chosen.length >> 1;
    const first = await actOnEach(chosen.slice(0, half), act, failures);
    const second = await actOnEach(chosen.slice(half), act, failures);
    return { done: first.done + second.done, changed: [...first.changed, ...second.changed] };
  }
}

function checkId(id: number, action: string): void {
  if (Number.isSafeInteger(id)) return;
  throw new TypeError(`Cannot ${action} a task as its id must be an integer: current value is ${id}`);
}

interface BulkAct {
  filter: TaskFilter;
  options: BulkOptions;
  act(sql: Tag, chosen: Chosen[]): Promise<BulkResult>;
}

/** Whether the filter can match running tasks. */
function mayRun({ status }: TaskFilter): boolean {
  return status === undefined || [status].flat().includes("running");
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
