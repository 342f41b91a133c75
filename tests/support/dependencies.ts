import type postgres from "postgres";
import type { Tag } from "../../src/database/driver.ts";
import type { Dependency, NewTask } from "../../src/store/new_task.ts";
import { makeTag } from "../../src/database/driver.ts";
import { releaseTasks } from "../../src/store/dependencies.ts";
import { scheduleUnique } from "../../src/store/schedule.ts";
import type { TestDatabase } from "./database.ts";
import { newTask } from "./new_task.ts";

/** The tag of one client, for statements of the store that are to run in its transaction. */
export function tagOfClient(sql: postgres.Sql | postgres.TransactionSql): Tag {
  return makeTag((build) => build(sql as never) as never, "firefly");
}

/** Schedules tasks in one call, each with its dependencies; resolves to their ids. */
export async function scheduleGraph(
  sql: Tag,
  tasks: readonly (readonly Dependency[])[],
  columns: Partial<NewTask> = {},
): Promise<number[]> {
  const scheduled = await scheduleUnique(
    sql,
    tasks.map((depends) => newTask(depends.length > 0 ? { ...columns, depends } : columns)),
  );
  return scheduled.map(({ id }) => Number(id));
}

/** Ends tasks, wherever they stand, by the statement that any consumer's is like. */
export async function end(
  sql: postgres.Sql | postgres.TransactionSql,
  ids: readonly number[],
  status: "completed" | "failed" = "completed",
): Promise<void> {
  await sql`
    WITH ended AS (
      UPDATE firefly.task SET status = ${status}, claim_seq = claim_seq + 1, completed = now(), returned = 'MQ=='
      WHERE id = ANY (${ids as number[]}) AND status = 'created'
      RETURNING id, queue, priority, not_before
    )
    SELECT firefly._unplace(id, queue, priority, not_before) FROM ended
  `;
}

/** Releases until nothing is left to do that no other transaction holds up; resolves to how many tasks that were. */
export async function releaseAll(sql: Tag): Promise<{ released: number; cancelled: number }> {
  const sum = { released: 0, cancelled: 0 };
  for (let again = true, fruitless = 0; again && fruitless < 50;) {
    const each = await releaseTasks(sql, null);
    again = each.again;
    fruitless = each.released + each.cancelled > 0 ? 0 : fruitless + 1;
    sum.released += each.released;
    sum.cancelled += each.cancelled;
  }
  return sum;
}

/** The states of tasks by the view, in the order of `ids`; a deleted one is `gone`. */
export async function statesOf(db: TestDatabase, ids: readonly number[]): Promise<string[]> {
  const rows = await db.sql`SELECT id::int, state FROM firefly.task_record WHERE id = ANY (${ids as number[]})`;
  const states = new Map(rows.map(({ id, state }) => [id, state]));
  return ids.map((id) => states.get(id) ?? "gone");
}

/** How many ends are noted, and how many dependencies are open: what nothing may be left of when all has ended. */
export async function leftOver(db: TestDatabase): Promise<{ ended: number; open: number; pending: number }> {
  const [row] = await db.sql`
    SELECT (SELECT count(*)::int FROM firefly.ended) AS ended,
      (SELECT count(*)::int FROM firefly.dependency WHERE status IS NULL) AS open,
      (SELECT count(*)::int FROM firefly.waiting WHERE pending IS NOT NULL) AS pending
  `;
  return row as { ended: number; open: number; pending: number };
}
