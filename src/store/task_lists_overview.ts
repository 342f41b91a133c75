import type { Tag } from "../database/driver.ts";
import type { AttemptedBy } from "../events.ts";
import type { TaskState } from "../task/record.ts";

/** Whether the role of the connection may read records; the role viewer may read `task_overview` alone. */
export async function mayReadRecords(sql: Tag): Promise<boolean> {
  const [row] = await sql`
    SELECT has_table_privilege(format('%I.task', ${sql.schemaName}::text), 'SELECT') AS may
  `;
  return row!.may;
}

/** A task as the role viewer may see it. */
export interface OverviewTask {
  id: string;
  func_name: string;
  queue: string;
  state: TaskState;
  priority: number;
  created: Date;
  not_before: Date;
  started: Date | null;
  completed: Date | null;
  failed: Date | null;
  cancelled: Date | null;
  attempt: number;
  retry_attempts: number;
  max_retries: number | null;
  progress: number | null;
  /** The name of the last error. */
  error: string | null;
  tags: string[];
  attempted_by: AttemptedBy | null;
}

/** The tasks of a range of ids: one of these states, queues and names; null is any. */
export interface OverviewFilter {
  readonly ids: readonly number[] | null;
  readonly states: readonly TaskState[] | null;
  readonly queues: readonly string[] | null;
  readonly names: readonly string[] | null;
}

/** Lists the newest tasks below `below` and from `from` on, as the role viewer may see them. */
export async function listOverview(
  sql: Tag,
  { ids, states, queues, names }: OverviewFilter,
  { from, below, limit }: { from: number; below: number; limit: number },
): Promise<OverviewTask[]> {
  return await sql<OverviewTask>`
    SELECT *
    FROM ${sql.schema}.task_overview
    WHERE id >= ${from}::bigint AND id < ${below}::bigint
      AND (${ids}::bigint[] IS NULL OR id = ANY (${ids}::bigint[]))
      AND (${queues}::text[] IS NULL OR queue = ANY (${queues}::text[]))
      AND (${names}::text[] IS NULL OR func_name = ANY (${names}::text[]))
      AND (${states}::text[] IS NULL OR state = ANY (${states}::text[]))
    ORDER BY id DESC
    LIMIT ${limit}::bigint
  `;
}

/** The smallest and the largest id, as the role viewer may see them. */
export async function readOverviewRange(sql: Tag): Promise<{ from: number; below: number }> {
  const [row] = await sql`
    SELECT COALESCE((SELECT id FROM ${sql.schema}.task_overview ORDER BY id LIMIT 1), 0) AS from,
      COALESCE((SELECT id + 1 FROM ${sql.schema}.task_overview ORDER BY id DESC LIMIT 1), 0) AS below
  `;
  return { from: Number(row!.from), below: Number(row!.below) };
}
