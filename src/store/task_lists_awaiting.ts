import type { Tag } from "../database/driver.ts";
import { toNumber } from "./rows.ts";
import type { Placed, TimeCursor } from "./task_lists_places.ts";
import { awaitedSteps, isSuspended, matchesWait, type WaitedFor } from "./waits.ts";

/**
 * Finds the next tasks that wait for one of these, those that have waited longest first. A task that waits for several of
 * them is found once, by the first.
 */
export async function nextAwaiting(
  sql: Tag,
  { waits, after, limit }: { waits: readonly WaitedFor[]; after: TimeCursor | null; limit: number },
): Promise<Placed[]> {
  const { time, id } = after ?? { time: "-infinity", id: -1 };
  const isAwaited = (step: string) => matchesWait(sql, waits, step);
  const rows = await sql`
    WITH RECURSIVE ${awaitedSteps(sql)}
    SELECT row.task_id AS id, row.began::text AS time
    FROM awaited
    CROSS JOIN LATERAL (
      SELECT step.task_id, step.began
      FROM ${sql.schema}.step
      WHERE step.status = 'waiting' AND step.kind = awaited.kind AND step.name = awaited.name
        AND (step.began, step.task_id) > (${time}::text::timestamptz, ${id}::bigint)
        AND ${isSuspended(sql)}
        AND NOT EXISTS (
          SELECT FROM ${sql.schema}.step AS other
          WHERE other.task_id = step.task_id AND other.status = 'waiting'
            AND (other.began, other.name, other.key) < (step.began, step.name, step.key) AND ${isAwaited("other")}
        )
      ORDER BY step.began, step.task_id
      LIMIT ${limit}::bigint
    ) AS row
    WHERE ${isAwaited("awaited")}
    ORDER BY row.began, row.task_id
    LIMIT ${limit}::bigint
  `;
  return rows.map(({ id, time }) => ({ id: toNumber(id), cursor: { priority: 0, time, id: toNumber(id) } }));
}
