import type { Tag } from "../database/driver.ts";
import { DependencyFailed, FireflyFormatError } from "../errors.ts";
import { decodeParams, type KeyRing } from "../privacy/encryption.ts";
import { toTaskError } from "../records/task_record.ts";
import { readResults, type ResultRow } from "../store/dependencies.ts";
import { markAsFail } from "../task/context.ts";
import type { TaskError } from "../task/record.ts";
import type { Settled } from "../task/settled.ts";
import type { Incomplete } from "../wire/missing.ts";

/** The most tasks whose dependencies one statement reads. */
const MOST = 100;

/** A task, and how many of its dependencies are to be read. */
interface Wanted {
  readonly id: number;
  readonly count: number;
}

interface Call extends Wanted {
  resolve(rows: ResultRow[]): void;
  reject(error: unknown): void;
}

/** Reads how the dependencies of tasks ended: of those that start together, and of those that start meanwhile, at once. */
export class ResultReader {
  readonly #sql: Tag;
  #calls: Call[] = [];
  #isReading = false;

  constructor(sql: Tag) {
    this.#sql = sql;
  }

  /** Reads the first `count` dependencies of a task, in their order. */
  read({ id, count }: Wanted): Promise<ResultRow[]> {
    const { promise, resolve, reject } = Promise.withResolvers<ResultRow[]>();
    this.#calls.push({ id, count, resolve, reject });
    if (!this.#isReading) void this.#readAll();
    return promise;
  }

  async #readAll(): Promise<void> {
    this.#isReading = true;
    await undefined; // for the tasks that start in the same turn
    while (this.#calls.length > 0) {
      const calls = this.#calls.splice(0, MOST);
      try {
        const rows = Map.groupBy(await readResults(this.#sql, calls), ({ task_id }) => task_id);
        for (const { id, resolve } of calls) resolve(rows.get(id) ?? []);
      } catch (error) {
        for (const { reject } of calls) reject(error);
      }
    }
    this.#isReading = false;
  }
}

/**
 * Reads the results that are missing in the arguments of a task, and returns the arguments.
 *
 * @throws {DependencyFailed} If one is not there any more: the task fails without a retry.
 * @throws {FireflyFormatError | DecryptionFailed} If one cannot be decoded.
 */
export async function completeArguments(
  { id, attempt }: { readonly id: number; readonly attempt: number },
  incomplete: Incomplete,
  { results, keys }: { readonly results: ResultReader; readonly keys: KeyRing | undefined },
): Promise<unknown> {
  const count = Math.max(...incomplete.parts.map(({ ordinal }) => ordinal + 1));
  const rows = await results.read({ id, count });
  const ends = new Map<number, { row: ResultRow; result: unknown }>();
  const ordinals = new Set(incomplete.parts.map(({ ordinal }) => ordinal));
  for (const row of rows) {
    if (ordinals.has(row.ordinal)) ends.set(row.ordinal, { row, result: await decodeResult(row, keys) });
  }
  return incomplete.complete(({ ordinal, settled }) => {
    const end = ends.get(ordinal);
    if (!end) {
      throw new FireflyFormatError(
        `Cannot run task ${id} as its arguments name its dependency ${ordinal}, and it has none`,
      );
    }
    const { row, result } = end;
    if (settled) return toSettled(row, result, attempt);
    if (row.status === "completed") return result;
    throw markAsFail(
      new DependencyFailed(
        `Cannot run task ${id} as its argument is the result of task ${row.dependency_id}, which ` +
          (row.status === "deleted" ? "was deleted" : `has not completed: its status is "${row.status}"`),
        { dependency: row.dependency_id, root: row.dependency_id },
      ),
    );
  });
}

async function decodeResult(row: ResultRow, keys: KeyRing | undefined): Promise<unknown> {
  const { returned, func_name: funcName, queue } = row;
  if (returned === null || funcName === null || queue === null) return undefined;
  const text = keys ? await keys.decrypt(returned, { funcName, queue, column: "returned" }) : returned;
  try {
    return decodeParams(text, keys);
  } catch (error) {
    if (!(error instanceof FireflyFormatError)) throw error;
    throw new FireflyFormatError(
      `Cannot decode the result of task ${row.dependency_id} "${funcName}", which is an argument: ${error.message}`,
      { cause: error },
    );
  }
}

/** How a task ended, as `Promise.allSettled` says it of a promise. */
function toSettled(row: ResultRow, result: unknown, attempt: number): Settled<unknown> {
  return row.status === "completed"
    ? { status: "fulfilled", value: result }
    : { status: "rejected", reason: reasonOf(row, attempt) };
}

/** Why a task did not complete: its last error, unless it ended without one. */
function reasonOf({ dependency_id: id, func_name, status, error, ended }: ResultRow, attempt: number): TaskError {
  const at = ended ?? new Date();
  if (status === "deleted") return { name: "TaskNotFound", message: `Cannot find task ${id}`, at, attempt };
  // A task may have failed before it was cancelled: that is not why it ended.
  if (error && (status === "failed" || error.name === "DependencyFailed")) return toTaskError(error);
  const name = status === "cancelled" ? "TaskCancelled" : "Error";
  const how = status === "cancelled" ? "was cancelled" : "failed: its error is not stored";
  return { name, message: `Task ${id} "${func_name}" ${how}`, at, attempt: error?.attempt ?? 1 };
}
