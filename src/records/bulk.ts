import type { Tag } from "../database/driver.ts";
import type { LeftTask, TaskFilter } from "../task/record.ts";
import type { BulkResult, Chosen } from "../store/bulk.ts";
import { listFences } from "../store/records.ts";
import { toNumber } from "../store/rows.ts";
import { actOnEach, bulkError, type BulkFailure } from "./bulk_failures.ts";
import { checkFilter } from "./check_filter.ts";
import { Matching } from "./matching.ts";
import type { RecordAccess } from "./task_record.ts";

/** The most tasks that one statement of a bulk operation changes, so that its transactions are short. */
const BULK = 1000;
/** How many tasks a bulk operation lists at a time: a list may have to look at every record, however short it is. */
const LISTED = 10_000;
/** How often to read a task again that keeps changing before it can be changed. */
const TRIES = 10;

/** Options of bulk operations. */
export interface BulkOptions {
  /** Stops the operation between two batches and rejects with the signal's reason. Finished batches stay done. */
  signal?: AbortSignal;
  /** Receives the number of tasks done so far, after each batch. */
  onProgress?: (done: number) => void;
  /** Receives the matching tasks that were left as they are, after each batch that left any. */
  onLeft?: (left: readonly LeftTask[]) => void;
}

/** What a bulk operation does. */
export interface BulkAct {
  /** What it does, for its errors, as `retry tasks`. */
  readonly action: string;
  readonly filter: TaskFilter;
  readonly options: BulkOptions;
  /** Changes those of the tasks that have not changed since they were listed. */
  act(sql: Tag, chosen: Chosen[]): Promise<BulkResult>;
}

/** Reads the matching records, newest first, and changes them in batches, each in a short transaction. */
export async function inBulk(
  access: RecordAccess,
  { action, filter, options: { signal, onProgress, onLeft }, act }: BulkAct,
): Promise<number> {
  checkFilter(filter, action);
  const { records: sql } = await access.database();
  const matching = new Matching(sql, filter, { read: listFences });
  let done = 0;
  const failures: BulkFailure[] = [];
  for (let before: number | null = null;;) {
    signal?.throwIfAborted();
    const rows = await matching.list({ limit: LISTED, before });
    for (let start = 0; start < rows.length; start += BULK) {
      signal?.throwIfAborted();
      let batch = rows.slice(start, start + BULK);
      for (let tries = 0; batch.length > 0 && tries < TRIES; tries++) {
        const chosen = batch.map((row) => ({ id: toNumber(row.id), claimSeq: toNumber(row.claim_seq) }));
        const result = await actOnEach(chosen, (chosen) => act(sql, chosen), failures);
        const { changed, left } = result;
        done += result.done;
        if (left.length > 0) onLeft?.(left);
        batch = changed.length > 0
          ? await listFences(sql, { ...filter, ids: changed }, { limit: BULK, before: null })
          : [];
      }
      onProgress?.(done);
    }
    if (rows.length < LISTED) break;
    before = toNumber(rows.at(-1)!.id);
  }
  if (failures.length > 0) throw bulkError(action, { failures, done });
  return done;
}

/** The filter of an operation on tasks that have not started. Without ids it skips all others, of which there may be many. */
export function toWaiting(chosen: number[] | TaskFilter): TaskFilter {
  if (Array.isArray(chosen)) return { ids: chosen };
  return chosen.ids || chosen.status !== undefined ? chosen : { ...chosen, status: "created" };
}

/** Whether the filter can match running tasks. */
export function mayRun({ status }: TaskFilter): boolean {
  return status === undefined || [status].flat().includes("running");
}
