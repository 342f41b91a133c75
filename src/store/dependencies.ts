import type { Tag } from "../database/driver.ts";
import type { TaskStatus } from "../task/record.ts";
import { type ErrorRow, toNumber } from "./rows.ts";

/** How a dependency ended, for the arguments of its dependant. */
export interface ResultRow {
  task_id: number;
  /** The place among the dependencies of the task, from 0. */
  ordinal: number;
  dependency_id: number;
  settled: boolean;
  /**
   * `deleted` if there is no record any more, and so no result. One that was retried after its dependant had been told
   * keeps what that was told.
   */
  status: Exclude<TaskStatus, "running"> | "deleted";
  /** The name and queue of the dependency; null if it was deleted. */
  func_name: string | null;
  queue: string | null;
  returned: string | null;
  /** The last error; null for a task that completed. */
  error: ErrorRow | null;
  /** When it ended; null if that is not known. */
  ended: Date | null;
}

/** Reads how the first `count` dependencies of each of these tasks ended, in the order of their places. */
export async function readResults(
  sql: Tag,
  tasks: readonly { readonly id: number; readonly count: number }[],
): Promise<ResultRow[]> {
  const [ids, counts] = [tasks.map(({ id }) => id), tasks.map(({ count }) => count)];
  const rows = await sql`
    SELECT dependency.task_id, dependency.ordinal, dependency.dependency_id, dependency.settled,
      CASE
        WHEN task.id IS NULL THEN 'deleted'
        WHEN task.status = 'created' THEN COALESCE(dependency.status, task.status)
        ELSE task.status
      END AS status,
      task.func_name, task.queue, COALESCE(task.completed, task.failed, task.cancelled) AS ended,
      CASE WHEN task.status = 'completed' THEN task.returned END AS returned,
      CASE WHEN task.status <> 'completed' THEN task.errors -> -1 END AS error
    FROM unnest(${ids}::bigint[], ${counts}::integer[]) AS given (id, count)
    JOIN ${sql.schema}.dependency ON dependency.task_id = given.id AND dependency.ordinal < given.count
    LEFT JOIN ${sql.schema}.task ON task.id = dependency.dependency_id
    ORDER BY dependency.task_id, dependency.ordinal
  `;
  return rows.map((row) => ({
    task_id: toNumber(row.task_id),
    ordinal: row.ordinal,
    dependency_id: toNumber(row.dependency_id),
    settled: row.settled,
    status: row.status,
    func_name: row.func_name,
    queue: row.queue,
    returned: row.returned,
    error: row.error,
    ended: row.ended,
  }));
}

/** What a call of {@linkcode releaseTasks} did. */
export interface Released {
  /** How many tasks may run now, or wait for their time or their limits alone. */
  released: number;
  /** How many were cancelled because a dependency did not complete. */
  cancelled: number;
  /** Whether there is more to do: call again, with null. */
  again: boolean;
}

/**
 * Tells the dependants of tasks that have ended: of those of `ids`, or of any for null. Call it after the commit that
 * ended them. It waits for no lock, and a call that is lost is made up for by any other with null.
 */
export async function releaseTasks(sql: Tag, ids: number[] | null): Promise<Released> {
  const [row] = await sql`
    SELECT released, cancelled, again FROM ${sql.schema}._release_dependants(${ids}::bigint[])
  `;
  return { released: row!.released, cancelled: row!.cancelled, again: row!.again };
}

/** Dependencies that no consumer has seen to. */
export interface LateDependencies {
  /** How many tasks ended more than a minute ago whose dependants have not been told. */
  untold: number;
  /** Tasks that wait for another number of tasks than have not ended, as an edit by hand leaves them. */
  miscounted: number[];
}

/** Reads dependencies that no consumer has seen to: of tasks that wait for others, up to 20,000. */
export async function readLateDependencies(sql: Tag): Promise<LateDependencies> {
  const [row] = await sql`
    SELECT (
      SELECT count(*)::integer
      FROM ${sql.schema}.ended
      JOIN ${sql.schema}.task ON task.id = ended.task_id
      WHERE COALESCE(task.completed, task.failed, task.cancelled) < now() - interval '1 minute'
    ) AS untold, ARRAY(
      SELECT place.id
      FROM (
        SELECT id, claim_seq, pending FROM ${sql.schema}.waiting WHERE reason = 'dependencies' LIMIT 20000
      ) AS place
      JOIN ${sql.schema}.task ON task.id = place.id AND task.claim_seq = place.claim_seq AND task.status = 'created'
      WHERE place.pending <> (
        SELECT count(*)
        FROM ${sql.schema}.dependency
        WHERE dependency.task_id = place.id AND dependency.status IS NULL AND NOT dependency.called
      )
      ORDER BY place.id
    ) AS miscounted
  `;
  return { untold: row!.untold, miscounted: row!.miscounted.map(toNumber) };
}

/** A task of a graph. */
export interface GraphRow {
  id: number;
  func_name: string;
  status: TaskStatus;
  /** In the order in which the task was scheduled with them; a deleted one is among them. */
  dependencies: number[];
  /** The task that called it; null if none did. */
  called_by: number | null;
}

/** Reads the tasks that hang together with one by their dependencies and calls, up to 10,000, in the order of their ids. */
export async function readGraph(sql: Tag, id: number): Promise<GraphRow[]> {
  const rows = await sql`
    SELECT id, func_name, status, to_json(dependencies) AS dependencies, called_by FROM ${sql.schema}.graph(${id})
  `;
  return rows.map((row) => ({
    id: toNumber(row.id),
    func_name: row.func_name,
    status: row.status,
    dependencies: row.dependencies.map(toNumber),
    called_by: row.called_by === null ? null : toNumber(row.called_by),
  }));
}

/** Cancels those of a graph that have not ended, and notifies; resolves to their ids. */
export async function cancelGraph(sql: Tag, id: number): Promise<number[]> {
  const rows = await sql`
    SELECT member.id
    FROM (
      SELECT id FROM ${sql.schema}.graph(${id}) WHERE status IN ('created', 'running') ORDER BY id
    ) AS member
    WHERE ${sql.schema}.cancel(member.id)
  `;
  return rows.map((row) => toNumber(row.id));
}

/** Returns the tasks that hang together with one as a flowchart for Mermaid. */
export async function readMermaid(sql: Tag, id: number): Promise<string> {
  const [row] = await sql`SELECT ${sql.schema}.mermaid(${id}) AS text`;
  return row!.text;
}

/** A task that another depends on or has called, or that depends on it or has called it. */
export interface RelatedRow {
  id: number;
  /** Null if its record was deleted, as is the status. */
  func_name: string | null;
  status: TaskStatus | null;
  /** Whether it depends on the other, or has called it. */
  isDependant: boolean;
  isCall: boolean;
}

/** Reads the first `limit` tasks that one depends on or has called, and as many that depend on it or have called it. */
export async function readRelated(sql: Tag, id: number, limit: number): Promise<RelatedRow[]> {
  const rows = await sql`
    SELECT related.id, record.func_name, record.status, related.is_dependant, related.called
    FROM (
      (
        SELECT dependency_id AS id, false AS is_dependant, called, ordinal
        FROM ${sql.schema}.dependency
        WHERE task_id = ${id}::bigint
        ORDER BY ordinal
        LIMIT ${limit}::integer
      ) UNION ALL (
        SELECT DISTINCT task_id, true, called, 0
        FROM ${sql.schema}.dependency
        WHERE dependency_id = ${id}::bigint
        ORDER BY task_id
        LIMIT ${limit}::integer
      )
    ) AS related
    LEFT JOIN ${sql.schema}.task_record AS record ON record.id = related.id
    ORDER BY related.is_dependant, related.ordinal, related.id
  `;
  return rows.map((row) => ({
    id: toNumber(row.id),
    func_name: row.func_name,
    status: row.status,
    isDependant: row.is_dependant,
    isCall: row.called,
  }));
}
