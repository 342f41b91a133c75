import type { Tag } from "../database/driver.ts";

/** A claim that holds a task. */
export interface CompensationClaim {
  readonly id: number;
  readonly claimSeq: number;
}

/**
 * Notes in the record of a task that a step of it which can be compensated has begun: from now on its steps are read
 * before its handler is called. The number of snoozes is for the claim, which reads rare columns where one like that is
 * set.
 */
export async function noteCompensates(sql: Tag, { id, claimSeq }: CompensationClaim): Promise<void> {
  await sql`
    UPDATE ${sql.schema}.task
    SET compensates = true, snoozes = COALESCE(snoozes, 0)
    WHERE id = ${id}::bigint AND claim_seq = ${claimSeq}::integer AND status = 'created' AND compensates IS NULL
  `;
}

/**
 * Ends the compensation of a task: adds the error for which it failed to those of its record, and behind it those of
 * compensations that failed. Does nothing where that is done, or another attempt holds the task. The task is settled as
 * failed by what follows.
 *
 * The process that an error comes from is stored in it as `by`.
 */
export async function endCompensation(sql: Tag, { id, claimSeq }: CompensationClaim): Promise<void> {
  await sql`
    WITH held AS MATERIALIZED (
      SELECT id
      FROM ${sql.schema}.task
      WHERE id = ${id}::bigint AND claim_seq = ${claimSeq}::integer AND status = 'created'
      FOR NO KEY UPDATE
    ), own AS MATERIALIZED (
      SELECT step.*
      FROM held
      JOIN ${sql.schema}.step ON step.task_id = held.id AND step.kind = 'compensation'
    ), marker AS (
      UPDATE ${sql.schema}.step
      SET status = CASE
          WHEN EXISTS (SELECT FROM own WHERE own.name <> 'compensate' AND own.status = 'failed') THEN 'failed'
          ELSE 'completed'
        END,
        seq = (SELECT max(other.seq) + 1 FROM ${sql.schema}.step AS other WHERE other.task_id = ${id}::bigint),
        ended = clock_timestamp()
      FROM held
      WHERE step.task_id = held.id AND step.name = 'compensate' AND step.key = '' AND step.kind = 'compensation'
        AND step.status = 'waiting'
      RETURNING step.task_id
    )
    UPDATE ${sql.schema}.task
    SET errors = (
      -- The latest 100 are kept, as of any task.
      SELECT jsonb_path_query_array(COALESCE(task.errors, '[]') || jsonb_agg(entry.error), '$[last - 99 to last]')
      FROM (
        SELECT (own.error - 'plan' - 'by') || jsonb_build_object(
          'at', CASE own.name WHEN 'compensate' THEN own.began ELSE own.ended END, 'attempt', own.attempt,
          'message', CASE own.name WHEN 'compensate' THEN own.error ->> 'message' ELSE format(
            'Cannot compensate step "%s"%s: %s', substr(own.name, length('compensate ') + 1),
            CASE WHEN own.key <> '' THEN format(' with the key "%s"', own.key) ELSE '' END, own.error ->> 'message'
          ) END
        ) || COALESCE((
          SELECT jsonb_build_object('host', host, 'pid', pid, 'release', release)
          FROM ${sql.schema}.consumer_process
          WHERE consumer_process.id = (own.error ->> 'by')::integer
        ), '{}') AS error
        FROM own
        WHERE own.name = 'compensate' OR own.status = 'failed'
        ORDER BY own.name <> 'compensate', own.seq
      ) AS entry
    )
    FROM marker
    WHERE task.id = marker.task_id
  `;
}
