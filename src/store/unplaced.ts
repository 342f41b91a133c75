import type { Tag } from "../database/driver.ts";
import { lastError, noteFailures } from "./failed_tasks.ts";
import { isUnplaced } from "./placement.ts";
import { toNumber } from "./rows.ts";
import { failDuplicates, findDuplicates } from "./unique.ts";

/**
 * Moves unplaced tasks with ids above `after` to `waiting`: records that are `created` and stand neither in `ready`, nor
 * in `waiting`, nor in a claim batch, as an edit of `claim_seq` or of those tables leaves them. Examines up to 5,000
 * records a call; resolves to the last id examined, or 0 at the end.
 */
export async function requeueUnplaced(sql: Tag, after: number): Promise<{ last: number; placed: number }> {
  const [row] = await sql`
    WITH seen AS MATERIALIZED (
      SELECT id, status, claim_seq, queue, priority, not_before, dependencies
      FROM ${sql.schema}.task
      WHERE id > ${after}
      ORDER BY id
      LIMIT 5000
    ), unplaced AS MATERIALIZED (
      SELECT seen.id, seen.dependencies
      FROM seen
      WHERE ${isUnplaced(sql)}
    ), held AS MATERIALIZED (
      SELECT id
      FROM ${sql.schema}.task
      WHERE id = ANY (ARRAY(SELECT id FROM unplaced WHERE dependencies IS NULL)) AND status = 'created'
      ORDER BY id
      FOR UPDATE SKIP LOCKED
    ), ${findDuplicates(sql, sql.raw("held"))}, fenced AS (
      -- This makes any place stale that the record got since the snapshot.
      UPDATE ${sql.schema}.task
      SET claim_seq = task.claim_seq + 1, ${failDuplicates(sql)}
      FROM held
      LEFT JOIN duplicate ON duplicate.id = held.id
      WHERE task.id = held.id
      RETURNING task.id, task.claim_seq, task.status, task.not_before, task.priority, task.queue, task.func_name,
        task.concurrency_key, task.rate_key, COALESCE(task.crash_count >= 2, false) AS quarantined, task.failed,
        ${lastError(sql)}
    ), noted AS (
      ${noteFailures(sql, sql.raw("fenced"))}
    ), placed AS (
      INSERT INTO ${sql.schema}.waiting (
        id, claim_seq, not_before, priority, quarantined, queue, func_name, concurrency_key, rate_key, reason
      )
      SELECT id, claim_seq, not_before, priority, quarantined, queue, func_name, concurrency_key, rate_key, 'time'
      FROM fenced
      WHERE status = 'created'
      RETURNING id
    )
    SELECT
      CASE WHEN (SELECT count(*) FROM seen) < 5000 THEN 0 ELSE (SELECT max(id) FROM seen) END AS last,
      (SELECT count(*) FROM placed)::integer + (
        -- Their dependencies are counted under the lock of the record, with a snapshot of the function's own.
        SELECT count(*) FILTER (WHERE ${sql.schema}._requeue_dependant(id))
        FROM unplaced
        WHERE dependencies IS NOT NULL
      )::integer AS placed
  `;
  return { last: toNumber(row!.last), placed: row!.placed };
}
