import type { Tag } from "../database/driver.ts";
import type { RetentionSeconds } from "../task/retention.ts";
import { forgetFailures } from "./failed_tasks.ts";
import { toNumber } from "./rows.ts";

/** The parameters of pruning a batch of records. */
export interface PruneRequest {
  /** Examines records after this id; null continues the walk that all consumers share, unless another does so now. */
  after: number | null;
  /** The default retention, in place of the stored one; null keeps the stored one. */
  retention?: RetentionSeconds;
  /** Counts expired records, and deletes none. */
  dryRun?: boolean;
}

/** The outcome of one batch. */
export interface PrunedBatch {
  /** How many records were deleted, or would have been. */
  pruned: number;
  /** Whether the batch was full, so that there may be more to delete. */
  full: boolean;
  /** The id of the last record examined; null at the end of the walk. */
  last: number | null;
}

/** An expired record that cannot be deleted, with the server's reason. */
export interface KeptRecord {
  id: number;
  code: string;
  message: string;
}

/**
 * As {@linkcode pruneTasks}, but deletes each record in a subtransaction, so that one that cannot be deleted does not
 * keep the others: a foreign key of the user's may refer to it.
 */
export async function pruneEach(sql: Tag, request: PruneRequest): Promise<PrunedBatch & { kept: KeptRecord[] }> {
  const { pruned, kept, ...batch } = await pruneBatch(
    sql,
    request,
    sql.fragment`kept AS MATERIALIZED (
      SELECT * FROM ${sql.schema}._delete_each(ARRAY(SELECT id FROM held))
    ), deleted AS (
      SELECT id FROM held WHERE id NOT IN (SELECT id FROM kept)
    )`,
  );
  return { pruned, kept, ...batch };
}

/**
 * Deletes up to 1,000 expired records among the next 5,000, by id: a short statement that waits for no lock. Records
 * that another transaction has locked are left to the next walk, and so are those that were retried since the statement
 * began: their status is checked again under the lock.
 *
 * A record whose dependants have not ended is kept, and so is that of a callee whose caller has not completed.
 *
 * The walk ends at the first records that are younger than the shortest of all retentions, since no later record can
 * have expired. Then, or if it found little, it rests, so that many consumers do not walk in parallel for nothing.
 *
 * LIMIT 1 shows the planner that the settings are one row: guessing 1,330, as for any table without statistics, it would
 * spend a second on compiling where a pooler drops the setting that forbids that.
 */
export async function pruneTasks(sql: Tag, request: PruneRequest): Promise<PrunedBatch> {
  const { kept: _, ...batch } = await pruneBatch(
    sql,
    request,
    sql.fragment`kept (id, code, message) AS (
      SELECT 0, '', '' WHERE false
    ), deleted AS (
      DELETE FROM ${sql.schema}.task
      USING held
      WHERE task.ctid = held.place
      RETURNING task.id
    )`,
  );
  return batch;
}

/** `deletes` are the CTEs `deleted`, of the records in `held`, and `kept`, of those that cannot be. */
async function pruneBatch(
  sql: Tag,
  { after, retention, dryRun = false }: PruneRequest,
  deletes: unknown,
): Promise<PrunedBatch & { kept: KeptRecord[] }> {
  const [row] = await sql`
    WITH walk AS MATERIALIZED (
      SELECT prune_cursor
      FROM ${sql.schema}.retention
      WHERE ${after}::bigint IS NULL AND next_prune <= now()
      LIMIT 1
      FOR UPDATE SKIP LOCKED
    ), fallback AS MATERIALIZED (
      SELECT COALESCE(${retention?.completed ?? null}::double precision, retain_completed) AS completed,
        COALESCE(${retention?.failed ?? null}::double precision, retain_failed) AS failed
      FROM ${sql.schema}.retention
      LIMIT 1
    ), shortest AS MATERIALIZED (
      -- LEAST and min ignore NULL.
      SELECT LEAST(
        fallback.completed, fallback.failed,
        (SELECT min(LEAST(retain_completed, retain_failed)) FROM ${sql.schema}.definition),
        (SELECT min(LEAST(retain_completed, retain_failed)) FROM ${sql.schema}.queue)
      ) AS seconds
      FROM fallback
    ), seen AS MATERIALIZED (
      SELECT id, func_name, queue, status, created, dependants, COALESCE(completed, failed, cancelled) AS ended
      FROM ${sql.schema}.task
      WHERE id > COALESCE(${after}::bigint, (SELECT prune_cursor FROM walk))
      ORDER BY id
      LIMIT 5000
    ), expired AS MATERIALIZED (
      SELECT seen.id, seen.status, seen.ended
      FROM seen
      CROSS JOIN fallback
      LEFT JOIN ${sql.schema}.definition ON definition.func_name = seen.func_name
      LEFT JOIN ${sql.schema}.queue ON queue.name = seen.queue
      WHERE seen.status <> 'created' AND (${secondsSince(sql, "seen.ended")}) > CASE
        WHEN seen.status = 'completed'
        THEN COALESCE(definition.retain_completed, queue.retain_completed, fallback.completed)
        ELSE COALESCE(definition.retain_failed, queue.retain_failed, fallback.failed)
      END AND NOT (
        -- Its dependants may still read its result, and so may a caller that is retried.
        -- Not EXISTS, for which the planner might read all of them, nor a join, for which it might read all records.
        seen.dependants IS NOT NULL AND COALESCE((
          SELECT true
          FROM ${sql.schema}.dependency
          CROSS JOIN LATERAL (
            SELECT task.status FROM ${sql.schema}.task WHERE task.id = dependency.task_id OFFSET 0
          ) AS dependant
          WHERE dependency.dependency_id = seen.id
            AND (dependant.status = 'created' OR dependency.called AND dependant.status <> 'completed')
          LIMIT 1
        ), false)
      )
      ORDER BY seen.id
      LIMIT 1000
    ), held AS MATERIALIZED (
      SELECT task.id, task.place
      FROM (
        -- By the ids alone, so that the planner joins what is found, and not all records.
        SELECT id, ctid AS place, status, COALESCE(completed, failed, cancelled) AS ended
        FROM ${sql.schema}.task
        WHERE id = ANY (ARRAY(SELECT id FROM expired WHERE NOT ${dryRun}::boolean))
        ORDER BY id
        FOR UPDATE SKIP LOCKED
      ) AS task
      JOIN expired ON expired.id = task.id AND expired.status = task.status AND expired.ended = task.ended
    ), ${deletes}, forgotten AS (
      ${
    forgetFailures(
      sql,
      sql.raw("SELECT deleted.id FROM deleted JOIN expired USING (id) WHERE expired.status = 'failed'"),
    )
  }
    ), batch AS MATERIALIZED (
      SELECT count(*) = 1000 AS is_full, count(*)::integer AS expired, max(id) AS last FROM expired
    ), step AS MATERIALIZED (
      SELECT batch.is_full, batch.expired, CASE
        WHEN batch.is_full THEN batch.last
        WHEN (SELECT count(*) FROM seen) < 5000 THEN NULL
        WHEN (
          SELECT ${secondsSince(sql, "created")} FROM seen ORDER BY id DESC LIMIT 1
        ) <= shortest.seconds THEN NULL
        ELSE (SELECT max(id) FROM seen)
      END AS last
      FROM batch, shortest
    ), walked AS (
      UPDATE ${sql.schema}.retention
      SET prune_cursor = COALESCE(step.last, 0),
        next_prune = now() + make_interval(secs => CASE WHEN step.is_full THEN 0 WHEN step.last IS NULL THEN 10 ELSE 1 END)
      FROM step, walk
    )
    SELECT CASE WHEN ${dryRun}::boolean THEN step.expired ELSE (SELECT count(*) FROM deleted)::integer END AS pruned,
      step.is_full, step.last, COALESCE((SELECT json_agg(kept ORDER BY id) FROM kept), '[]') AS kept
    FROM step
  `;
  const { pruned, is_full: full, last, kept } = row!;
  return { pruned, full, last: last === null ? null : toNumber(last), kept };
}

/** Not of the difference: PostgreSQL 15 and 16 cannot subtract an infinite time, which an edit by hand may store. */
function secondsSince(sql: Tag, time: string): unknown {
  return sql.raw(`EXTRACT(epoch FROM now())::double precision - EXTRACT(epoch FROM ${time})::double precision`);
}

/** Reads the ids of the first and the last record; null if there is none. */
export async function readBounds(sql: Tag): Promise<{ first: number; last: number } | null> {
  const [row] = await sql`
    SELECT (SELECT min(id) FROM ${sql.schema}.task) AS first, (SELECT max(id) FROM ${sql.schema}.task) AS last
  `;
  const { first, last } = row!;
  return first === null || last === null ? null : { first: toNumber(first), last: toNumber(last) };
}

/** Stores the default retention. A null stays as it is. */
export async function storeRetention(sql: Tag, { completed, failed }: RetentionSeconds): Promise<void> {
  await sql`
    UPDATE ${sql.schema}.retention
    SET retain_completed = COALESCE(${completed}::double precision, retain_completed),
      retain_failed = COALESCE(${failed}::double precision, retain_failed)
    WHERE retain_completed <> ${completed}::double precision OR retain_failed <> ${failed}::double precision
  `;
}
