import type { Tag } from "../database/driver.ts";
import { TaskExists } from "../errors.ts";
import type { TaskStatus } from "../task/record.ts";
import type { NewTask } from "./new_task.ts";
import { type ErrorRow, toNumber } from "./rows.ts";
import { type NewStep, toStepJson } from "./steps.ts";

/** A call of a handler, which is to be stored and whose tasks are to be scheduled. */
export interface NewCall {
  readonly id: number;
  readonly claimSeq: number;
  /** Its step, of kind `call`, which waits. */
  readonly step: NewStep;
  /** What the handler has done before, and is not stored. */
  readonly steps: readonly NewStep[];
  readonly tasks: readonly NewTask[];
}

/**
 * Schedules the tasks that a handler calls, and stores that it waits for them, both or nothing. Resolves to their ids, in
 * their order, or to null if the attempt no longer holds its task, or another attempt has stored the call.
 *
 * @throws {TaskExists} If a duplicate of one of them forbids it: nothing is scheduled then.
 */
export async function callTasks(sql: Tag, { id, claimSeq, step, steps, tasks }: NewCall): Promise<number[] | null> {
  const facts = steps.map((each) => toStepJson(each, { id }));
  const [row] = await sql`
    SELECT to_json(callees) AS callees, refused_key, holder
    FROM ${sql.schema}._call(
      ${id}::bigint, ${claimSeq}::integer, ${JSON.stringify([toStepJson(step, { id })])}::text::json,
      ${JSON.stringify(facts)}::text::json, ${JSON.stringify(tasks)}::text::json
    )
  `;
  const { callees, refused_key: key, holder } = row!;
  if (key !== null) {
    const { func_name: funcName } = tasks[0]!;
    throw new TaskExists(`call task "${funcName}"`, { id: toNumber(holder), funcName, key });
  }
  return callees === null ? null : callees.map(toNumber);
}

/** How a callee stands. */
export interface CalleeRow {
  readonly id: number;
  readonly func_name: string;
  readonly queue: string;
  /** `created` while it has not ended. A deleted one has no row. */
  readonly status: Exclude<TaskStatus, "running">;
  readonly returned: string | null;
  /** Its last error; null if it completed or has not ended. */
  readonly error: ErrorRow | null;
  /** When it ended; null if it has not. */
  readonly ended: Date | null;
}

/** Reads how tasks stand that were called, in the order of their ids; those without a record are left out. */
export async function readCallees(sql: Tag, ids: readonly number[]): Promise<CalleeRow[]> {
  const rows = await sql`
    SELECT task.id, task.func_name, task.queue, task.status,
      CASE WHEN task.status = 'completed' THEN task.returned END AS returned,
      CASE WHEN task.status IN ('failed', 'cancelled') THEN task.errors -> -1 END AS error,
      COALESCE(task.completed, task.failed, task.cancelled) AS ended
    FROM ${sql.schema}.task
    WHERE task.id = ANY (${[...ids]}::bigint[])
    ORDER BY task.id
  `;
  return rows.map((row) => ({ ...row, id: toNumber(row.id) }) as CalleeRow);
}
