import { addTasks, type ClaimedGroup, type ClaimedTask, type Spans, type TakenRun } from "./claimed_task.ts";
import { spansOf } from "./claimed_spans.ts";
import type { Tag } from "../database/driver.ts";

/** The parameters of a claim. */
export interface ClaimRequest {
  consumerId: string;
  /** The id of the claim batch. The consumer generates it, so that it knows the batch even if the reply is lost. */
  batchId: string;
  /** The id of a quarantined task's batch; null if the consumer holds a quarantined task already. */
  quarantinedBatchId: string | null;
  queues: string[];
  /** The names of the tasks that the consumer knows. */
  names: string[];
  limit: number;
  /** The id of the consumer's process. */
  processId?: number | null;
  /** Of how many tasks, the most urgent ones, to read the span that scheduled them. */
  traced?: number;
}

/** The most bytes of params that a claim returns: a consumer may hold many tasks that have not started. */
const LONG_PARAMS = 8192;
/** The rows of `ready` that a claim looks at first: each may be a run of many tasks. */
const FEW = 16;
/** The outcome of a claim. */
export interface Claim {
  /** False if the consumer's lease has expired or it was removed: it must register again. */
  alive: boolean;
  /** Most urgent first. */
  tasks: ClaimedTask[];
  /** How many tasks it took out of `ready`, stale ones included, whose records are deleted or not to run any more. */
  taken: number;
  /** How many rows of `ready` these were. */
  rows: number;
  /** Whether tasks are ready that other transactions keep locked: there may be work, but not to be had right now. */
  contended: boolean;
  /** The spans that scheduled the first tasks, if they were to be read. */
  spans: Spans | undefined;
  /** Seconds until the next waiting task is due or may be admitted; null if there is none. */
  nextDue: number | null;
}

/**
 * Claims up to `limit` ready tasks of `queues`, most urgent first, and at most one quarantined task.
 *
 * A row of `ready` is a run of alike tasks with consecutive ids. The statement takes these steps, numbered in its text:
 *
 *  1. `lax`: does not wait for the disk. A claim that a crash of the server undoes leaves the task in `ready`, and its
 *     consumer finds the batch gone when it is connected again. Each settle is durable, and makes the claim durable.
 *  2. `served`: the queues to claim from: not paused, and none if the consumer's lease has expired.
 *  3. `seen`: counts how many rows make `limit` tasks, without locks: to lock more would keep them from other consumers.
 *     Usually a few rows do; only if they do not, it looks at as many as could be needed.
 *  4. `due`: locks that many rows, one probe of the index a queue, in its order; `queue = ANY (…)` would sort all of
 *     `ready`. The subqueries that lock are materialized, since the planner may run one more than once and so claim more
 *     than `limit`. A row of `ready` that is visible and can be locked is current, edits by hand aside: every statement
 *     that takes a task out of `ready` cuts it out of its run.
 *  5. `quarantined`: locks one quarantined task in the same way, if the consumer holds none.
 *  6. `taken`: what it takes of each run: all, or the first tasks of the last one.
 *  7. `deleted` and `left_over`: deletes the runs, and puts back what it leaves of the last one.
 *  8. `claimed` and `alike`: joins their records, and gathers those of a run that differ in arguments alone. Only the record shows whether a task is still to run: one whose record was deleted
 *     or edited by hand drops out. Slots are counted, and only for limited tasks: to answer an EXISTS, the planner would
 *     gather all slots. Params that are long, or no Base64, stay in the database until the attempt starts.
 *  9. `batch`: stores which runs this consumer holds, quarantined ones apart.
 * 10. `special`: the few tasks with a unique key or a rate key, looked up once for the next two steps.
 * 11. `unkeyed`: releases unique keys that are not for running tasks.
 * 12. `marked`: marks rate slots as taken by a claim; they expire some time after the attempt starts.
 * 13. `next_due`: reads when a waiting task is due, or may be admitted.
 *
 * The reply is one row with one JSON text, in which the tasks of a run share what is common to them: a row of as many
 * columns as a task has costs the driver ten times as much.
 */
export async function claimTasks(sql: Tag, request: ClaimRequest): Promise<Claim> {
  const { consumerId, batchId, quarantinedBatchId, queues, names, limit, processId = null, traced = 0 } = request;
  const [row] = await sql`
    WITH lax AS MATERIALIZED ( -- 1
      SELECT set_config('synchronous_commit', 'off', true)
    ), served AS MATERIALIZED ( -- 2
      SELECT served.name
      FROM lax, unnest(${queues}::text[]) AS served (name)
      WHERE NOT EXISTS (SELECT FROM ${sql.schema}.queue WHERE queue.name = served.name AND queue.paused)
        AND EXISTS (SELECT FROM ${sql.schema}.consumer WHERE id = ${consumerId}::uuid AND lease_until > now())
    ), head AS MATERIALIZED ( -- 3
      ${firstRuns(sql, names, sql.raw(String(FEW)))}
    ), seen AS MATERIALIZED (
      SELECT count(*) FILTER (WHERE before < ${limit}::bigint) AS rows, COALESCE(sum(length), 0) AS tasks
      FROM (
        SELECT length, sum(length) OVER (ORDER BY priority DESC, not_before, id) - length AS before
        FROM (
          SELECT * FROM head WHERE (SELECT sum(length) >= ${limit}::bigint OR count(*) < ${FEW}::bigint FROM head)
          UNION ALL
          SELECT *
          FROM (${firstRuns(sql, names, sql.fragment`${limit}::bigint`)}) AS further
          WHERE (SELECT sum(length) < ${limit}::bigint AND count(*) >= ${FEW}::bigint FROM head)
        ) AS first
      ) AS first
    ), due AS MATERIALIZED ( -- 4
      SELECT next.*, sum(next.length) OVER (ORDER BY next.priority DESC, next.not_before, next.id) - next.length AS before
      FROM served, LATERAL (
        SELECT ready.ctid AS place, ready.*
        FROM ${sql.schema}.ready
        WHERE ready.queue = served.name AND ready.func_name = ANY (${names}::text[]) AND NOT ready.quarantined
        ORDER BY ready.priority DESC, ready.not_before, ready.id
        LIMIT (SELECT rows FROM seen)
        FOR UPDATE SKIP LOCKED
      ) AS next
    ), quarantined AS MATERIALIZED ( -- 5
      SELECT next.*
      FROM served, LATERAL (
        SELECT ready.ctid AS place, ready.*
        FROM ${sql.schema}.ready
        WHERE ready.queue = served.name AND ready.func_name = ANY (${names}::text[]) AND ready.quarantined
        ORDER BY ready.priority DESC, ready.not_before, ready.id
        LIMIT 1
        FOR UPDATE SKIP LOCKED
      ) AS next
      WHERE ${quarantinedBatchId}::uuid IS NOT NULL
      ORDER BY next.priority DESC, next.not_before, next.id
      LIMIT 1
    ), taken AS MATERIALIZED ( -- 6
      SELECT *, row_number() OVER (ORDER BY priority DESC, not_before, id) AS ordinal
      FROM (
        SELECT place, id, length, claim_seq, not_before, priority, quarantined, queue, func_name,
          LEAST(length, ${limit}::bigint - before)::integer AS count
        FROM due
        WHERE before < ${limit}::bigint
        UNION ALL
        SELECT place, id, length, claim_seq, not_before, priority, quarantined, queue, func_name, length FROM quarantined
      ) AS run
    ), deleted AS ( -- 7
      DELETE FROM ${sql.schema}.ready WHERE ctid = ANY (ARRAY(SELECT place FROM taken))
    ), left_over AS (
      INSERT INTO ${sql.schema}.ready (id, length, claim_seq, not_before, priority, quarantined, queue, func_name)
      SELECT id + count, length - count, claim_seq, not_before, priority, quarantined, queue, func_name
      FROM taken
      WHERE count < length
    ), claimed AS ( -- 8
      SELECT taken.ordinal, taken.claim_seq, taken.quarantined, task.*
      FROM taken
      CROSS JOIN LATERAL (
        SELECT task.id, task.max_retries, task.retry_delay,
          CASE WHEN octet_length(task.params) <= ${LONG_PARAMS}::integer AND strpos(task.params, ',') = 0
            THEN task.params ELSE '' END AS params,
          task.unique_key IS NOT NULL OR task.rate_key IS NOT NULL AS is_special,
          CASE WHEN task.retry_attempts IS NOT NULL OR task.rescues IS NOT NULL OR task.snoozes IS NOT NULL
            OR task.backoff IS NOT NULL OR task.timeout IS NOT NULL OR task.concurrency_key IS NOT NULL
            OR task.rate_key IS NOT NULL
          THEN json_build_object(
            'attempt', COALESCE(task.retry_attempts, 0) + COALESCE(task.rescues, 0) + 1,
            'retryAttempts', COALESCE(task.retry_attempts, 0), 'snoozes', COALESCE(task.snoozes, 0),
            'backoff', task.backoff, 'timeout', task.timeout, 'compensates', task.compensates,
            'concurrencyKey', task.concurrency_key, 'rateKey', task.rate_key,
            'hasSlots', (task.concurrency_key IS NULL OR (
              SELECT count(*)
              FROM ${sql.schema}.slot
              WHERE slot.task_id = task.id AND slot.kind = 'concurrency' AND slot.until IS NULL
            ) > 0) AND (task.rate_key IS NULL OR (
              SELECT count(*)
              FROM ${sql.schema}.slot
              WHERE slot.task_id = task.id AND slot.kind = 'rate' AND slot.until IS NULL
            ) > 0)
          )::text END AS rest
        FROM ${sql.schema}.task
        WHERE task.id >= taken.id AND task.id < taken.id + taken.count AND task.claim_seq = taken.claim_seq
          AND task.status = 'created'
        -- This has the records of a run looked up by their ids, however many the planner expects: it would rather join
        -- all records by their fences.
        OFFSET 0
      ) AS task
    ), alike AS MATERIALIZED (
      -- By as few columns as possible: to compare those of the run for each task would cost half as much as all else.
      SELECT ordinal, min(claim_seq) AS claim_seq, bool_or(quarantined) AS quarantined, bool_or(is_special) AS is_special,
        max_retries, retry_delay, rest, count(*)::integer AS count,
        min(id) AS first, max(id) - min(id) >= count(*) AS has_gaps, array_agg(id) AS ids,
        string_agg(params, ',' ORDER BY id) AS params
      FROM claimed
      GROUP BY ordinal, max_retries, retry_delay, rest
    ), batch AS ( -- 9
      INSERT INTO ${sql.schema}.claim_batch (id, consumer_id, quarantined, ids, lengths, claim_seqs, attempted_by)
      SELECT CASE WHEN quarantined THEN ${quarantinedBatchId}::uuid ELSE ${batchId}::uuid END, ${consumerId}::uuid,
        quarantined, array_agg(first), array_agg(count), array_agg(claim_seq), ${processId}::integer
      FROM (
        SELECT quarantined, first, count, claim_seq FROM alike WHERE NOT has_gaps
        UNION ALL
        SELECT quarantined, unnest(ids), 1, claim_seq FROM alike WHERE has_gaps
      ) AS run
      GROUP BY quarantined
    ), special AS MATERIALIZED ( -- 10
      SELECT task.id, task.func_name, task.unique_key, task.unique_among, task.rate_key
      FROM alike, unnest(alike.ids) AS own (id)
      CROSS JOIN LATERAL (SELECT * FROM ${sql.schema}.task WHERE task.id = own.id OFFSET 0) AS task
      WHERE alike.is_special AND (task.unique_key IS NOT NULL OR task.rate_key IS NOT NULL)
    ), unkeyed AS ( -- 11
      -- A key that another transaction has locked stays until the task ends.
      DELETE FROM ${sql.schema}.unique_key
      WHERE ctid = ANY (ARRAY(
        SELECT held.place
        FROM special, LATERAL (
          SELECT ctid AS place
          FROM ${sql.schema}.unique_key
          WHERE unique_key.func_name = special.func_name AND unique_key.key = special.unique_key
            AND unique_key.task_id = special.id
          FOR UPDATE SKIP LOCKED
        ) AS held
        WHERE NOT 'running' = ANY (special.unique_among)
      ))
    ), marked AS ( -- 12
      -- Not a locked slot: its task is being cancelled, by a transaction that waits for the row of ready locked here.
      UPDATE ${sql.schema}.slot
      SET until = 'infinity'
      WHERE ctid = ANY (ARRAY(
        SELECT held.place
        FROM special, LATERAL (
          SELECT ctid AS place
          FROM ${sql.schema}.slot
          WHERE slot.task_id = special.id AND per IS NOT NULL AND until IS NULL
          FOR UPDATE SKIP LOCKED
        ) AS held
        WHERE special.rate_key IS NOT NULL
      ))
    ), next_due AS ( -- 13
      SELECT min(LEAST(
        (
          SELECT waiting.not_before
          FROM ${sql.schema}.waiting
          WHERE waiting.queue = served.name AND waiting.reason = 'time'
          ORDER BY waiting.not_before
          LIMIT 1
        ),
        (
          SELECT waiting.admit_at
          FROM ${sql.schema}.waiting
          WHERE waiting.queue = served.name AND waiting.admit_at IS NOT NULL
          ORDER BY waiting.admit_at
          LIMIT 1
        )
      )) AS due
      FROM unnest(${queues}::text[]) AS served (name)
    )
    SELECT (
        SELECT json_agg(
          json_build_array(
            ordinal, max_retries, retry_delay, rest::json, count, first,
            CASE WHEN has_gaps THEN ARRAY(SELECT unnest(ids) ORDER BY 1) END, params
          )
          ORDER BY ordinal, first
        )
        FROM alike
      )::text AS groups,
      (
        -- By the ordinal: row_number() has sorted them. The last column says for how many milliseconds each has been due;
        -- not by EXTRACT, whose result is numeric: 0.08 instead of 0.25 µs a run.
        SELECT json_agg(
          json_build_array(
            claim_seq, quarantined, func_name, queue,
            CASE WHEN isfinite(not_before)
              THEN (date_part('epoch', statement_timestamp() - not_before) * 1000)::bigint
              ELSE 0
            END
          )
        )
        FROM taken
      )::text AS runs,${traced > 0 ? spansOf(sql, traced) : sql.raw("")}
      (SELECT COALESCE(sum(count), 0)::integer FROM taken) AS taken, (SELECT count(*)::integer FROM taken) AS rows,
      LEAST(seen.tasks, ${limit}::bigint) > (SELECT COALESCE(sum(length), 0) FROM due) AS contended,
      -- Not of infinity, which PostgreSQL 15 and 16 cannot subtract from: such a task is never due.
      CASE WHEN isfinite(next_due.due) THEN EXTRACT(epoch FROM next_due.due - now())::double precision END AS next_due,
      EXISTS (SELECT FROM ${sql.schema}.consumer WHERE id = ${consumerId}::uuid AND lease_until > now()) AS alive
    FROM next_due, seen
  `;
  const { alive, groups, runs, spans: read, taken, rows, contended, next_due: nextDue } = row!;
  const tasks: ClaimedTask[] = [];
  const spans = read ? JSON.parse(read) as Spans : undefined;
  const batches = { batchId, quarantinedBatchId, spans, now: performance.now() };
  const ofRuns = runs === null ? [] : JSON.parse(runs) as TakenRun[];
  for (const group of groups === null ? [] : JSON.parse(groups) as ClaimedGroup[]) {
    addTasks(tasks, group, { run: ofRuns[group[0] - 1]!, ...batches });
  }
  return { alive, tasks, taken, rows, contended, spans, nextDue };
}

/** A query of the first runs of the served queues that are to be claimed, up to a number of rows. */
function firstRuns(sql: Tag, names: string[], most: unknown): unknown {
  return sql.fragment`SELECT next.*
      FROM served, LATERAL (
        SELECT ready.length, ready.priority, ready.not_before, ready.id
        FROM ${sql.schema}.ready
        WHERE ready.queue = served.name AND ready.func_name = ANY (${names}::text[]) AND NOT ready.quarantined
        ORDER BY ready.priority DESC, ready.not_before, ready.id
        LIMIT ${most}
      ) AS next
      ORDER BY next.priority DESC, next.not_before, next.id
      LIMIT ${most}`;
}
