import type { Backoff } from "../task/backoff.ts";
import type { Tag } from "../database/driver.ts";
import { toNumber } from "./rows.ts";

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
}

/** A task that this consumer holds. */
export interface ClaimedTask {
  id: number;
  /** The fence: a statement that ends the claim must find it unchanged. */
  claimSeq: number;
  batchId: string;
  quarantined: boolean;
  funcName: string;
  queue: string;
  /** Null if they are long: then they stay in the database until the attempt starts, see {@linkcode readParams}. */
  params: string | null;
  attempt: number;
  retryAttempts: number;
  snoozes: number;
  maxRetries: number | null;
  retryDelay: number | null;
  backoff: Backoff | null;
  timeout: number | null;
  concurrencyKey: string | null;
  rateKey: string | null;
  /** Whether it holds a slot for each of its keys. */
  hasSlots: boolean;
}

/** A claimed task as the statement returns it: the columns of {@linkcode ClaimedTask} in the order of `claimed`. */
type ClaimedRow = [
  id: number,
  claimSeq: number,
  quarantined: boolean,
  funcName: string,
  queue: string,
  params: string | null,
  maxRetries: number | null,
  retryDelay: number | null,
  rest: Rest | null,
];

/** The columns that have defaults in most tasks: one NULL in their place costs less than eight. */
type Rest = Pick<
  ClaimedTask,
  "attempt" | "retryAttempts" | "snoozes" | "backoff" | "timeout" | "concurrencyKey" | "rateKey" | "hasSlots"
>;

const NOTHING_ELSE: Rest = {
  attempt: 1,
  retryAttempts: 0,
  snoozes: 0,
  backoff: null,
  timeout: null,
  concurrencyKey: null,
  rateKey: null,
  hasSlots: true,
};

/** The most bytes of params that a claim returns: a consumer may hold many tasks that have not started. */
const LONG_PARAMS = 8192;

/** The outcome of a claim. */
export interface Claim {
  /** False if the consumer's lease has expired or it was removed: it must register again. */
  alive: boolean;
  /** Most urgent first. */
  tasks: ClaimedTask[];
  /** How many rows it deleted from `ready`, stale ones included, whose records are deleted or not to run any more. */
  taken: number;
  /** Seconds until the next waiting task is due or may be admitted; null if there is none. */
  nextDue: number | null;
}

/**
 * Claims up to `limit` ready tasks of `queues`, most urgent first, and at most one quarantined task.
 *
 * The statement takes these steps, numbered in its text:
 *
 *  1. `lax`: does not wait for the disk. A claim that a crash of the server undoes leaves the task in `ready`, and its
 *     consumer finds the batch gone when it is connected again. Each settle is durable, and makes the claim durable.
 *  2. `served`: the queues to claim from: not paused, and none if the consumer's lease has expired.
 *  3. `due`: locks the tasks to take, one probe of the index a queue, in its order; `queue = ANY (…)` would sort
 *     all of `ready`. The subqueries that lock are materialized, since the planner may run one more than once and
 *     so claim more than `limit`. A row of `ready` that is visible and can be locked is current, edits by hand aside:
 *     every statement that takes a task out of `ready` deletes its row.
 *  4. `quarantined`: locks one quarantined task in the same way, if the consumer holds none.
 *  5. `taken`: deletes both from `ready`.
 *  6. `claimed`: joins their records. Only the record shows whether a task is still to run: a row whose record was
 *     deleted or edited by hand drops out. Slots are counted, and only for limited tasks: to answer an EXISTS, the
 *     planner would gather all slots.
 *  7. `batch`: stores which tasks this consumer holds, quarantined ones apart.
 *  8. `special`: the few tasks with a unique key or a rate key, looked up once for the next two steps.
 *  9. `unkeyed`: releases unique keys that are not for running tasks.
 * 10. `marked`: marks rate slots as taken by a claim; they expire some time after the attempt starts.
 * 11. `next_due`: reads when a waiting task is due, or may be admitted.
 *
 * The reply is one row with one JSON text: a row of as many columns as a task has costs the driver three times as much.
 */
export async function claimTasks(sql: Tag, request: ClaimRequest): Promise<Claim> {
  const { consumerId, batchId, quarantinedBatchId, queues, names, limit, processId = null } = request;
  const [row] = await sql`
    WITH lax AS MATERIALIZED ( -- 1
      SELECT set_config('synchronous_commit', 'off', true)
    ), served AS MATERIALIZED ( -- 2
      SELECT served.name
      FROM lax, unnest(${queues}::text[]) AS served (name)
      WHERE NOT EXISTS (SELECT FROM ${sql.schema}.queue WHERE queue.name = served.name AND queue.paused)
        AND EXISTS (SELECT FROM ${sql.schema}.consumer WHERE id = ${consumerId}::uuid AND lease_until > now())
    ), due AS MATERIALIZED ( -- 3
      SELECT next.place
      FROM served, LATERAL (
        SELECT ready.ctid AS place, ready.priority, ready.not_before, ready.id
        FROM ${sql.schema}.ready
        WHERE ready.queue = served.name AND ready.func_name = ANY (${names}::text[]) AND NOT ready.quarantined
        ORDER BY ready.priority DESC, ready.not_before, ready.id
        LIMIT ${limit}::bigint
        FOR UPDATE SKIP LOCKED
      ) AS next
      ORDER BY next.priority DESC, next.not_before, next.id
      LIMIT ${limit}::bigint
    ), quarantined AS MATERIALIZED ( -- 4
      SELECT next.place
      FROM served, LATERAL (
        SELECT ready.ctid AS place, ready.priority, ready.not_before, ready.id
        FROM ${sql.schema}.ready
        WHERE ready.queue = served.name AND ready.func_name = ANY (${names}::text[]) AND ready.quarantined
        ORDER BY ready.priority DESC, ready.not_before, ready.id
        LIMIT 1
        FOR UPDATE SKIP LOCKED
      ) AS next
      WHERE ${quarantinedBatchId}::uuid IS NOT NULL
      ORDER BY next.priority DESC, next.not_before, next.id
      LIMIT 1
    ), taken AS ( -- 5
      DELETE FROM ${sql.schema}.ready
      WHERE ctid = ANY (ARRAY(SELECT place FROM due UNION ALL SELECT place FROM quarantined))
      RETURNING id, claim_seq, quarantined
    ), claimed AS ( -- 6
      SELECT task.id, task.claim_seq, taken.quarantined, task.func_name, task.priority, task.not_before,
        task.unique_key, task.unique_among, task.concurrency_key, task.rate_key,
        json_build_array(
          task.id, task.claim_seq, taken.quarantined, task.func_name, task.queue,
          CASE WHEN octet_length(task.params) <= ${LONG_PARAMS}::integer THEN task.params END,
          task.max_retries, task.retry_delay,
          CASE WHEN task.retry_attempts + task.rescues + task.snoozes > 0 OR task.backoff IS NOT NULL
            OR task.timeout IS NOT NULL OR task.concurrency_key IS NOT NULL OR task.rate_key IS NOT NULL
          THEN json_build_object(
            'attempt', task.retry_attempts + task.rescues + 1, 'retryAttempts', task.retry_attempts,
            'snoozes', task.snoozes, 'backoff', task.backoff, 'timeout', task.timeout,
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
          ) END
        )::text AS task
      FROM taken
      JOIN ${sql.schema}.task ON task.id = taken.id AND task.claim_seq = taken.claim_seq AND task.status = 'created'
    ), batch AS ( -- 7
      INSERT INTO ${sql.schema}.claim_batch (id, consumer_id, quarantined, ids, claim_seqs, attempted_by)
      SELECT CASE WHEN quarantined THEN ${quarantinedBatchId}::uuid ELSE ${batchId}::uuid END, ${consumerId}::uuid, quarantined,
        array_agg(id), array_agg(claim_seq), ${processId}::integer
      FROM claimed
      GROUP BY quarantined
    ), special AS MATERIALIZED ( -- 8
      SELECT id, func_name, unique_key, unique_among, rate_key
      FROM claimed
      WHERE unique_key IS NOT NULL OR rate_key IS NOT NULL
    ), unkeyed AS ( -- 9
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
    ), marked AS ( -- 10
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
    ), next_due AS ( -- 11
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
    SELECT (SELECT string_agg(task, ',' ORDER BY priority DESC, not_before, id) FROM claimed) AS tasks,
      (SELECT count(*)::integer FROM taken) AS taken,
      -- Not of infinity, which PostgreSQL 15 and 16 cannot subtract from: such a task is never due.
      CASE WHEN isfinite(next_due.due) THEN EXTRACT(epoch FROM next_due.due - now())::double precision END AS next_due,
      EXISTS (SELECT FROM ${sql.schema}.consumer WHERE id = ${consumerId}::uuid AND lease_until > now()) AS alive
    FROM next_due
  `;
  const { alive, tasks, taken, next_due: nextDue } = row!;
  const claimed: ClaimedRow[] = tasks === null ? [] : JSON.parse(`[${tasks}]`);
  return {
    alive,
    tasks: claimed.map((row) => claimedTask(row, row[2] ? quarantinedBatchId! : batchId)),
    taken,
    nextDue,
  };
}

/** Reads a row by index: to destructure it would cost more than everything else here. */
function claimedTask(row: ClaimedRow, batchId: string): ClaimedTask {
  const rest = row[8] ?? NOTHING_ELSE;
  return {
    id: toNumber(row[0]),
    claimSeq: row[1],
    batchId,
    quarantined: row[2],
    funcName: row[3],
    queue: row[4],
    params: row[5],
    maxRetries: row[6],
    // JSON has infinity only as a text.
    retryDelay: row[7] && Number(row[7]),
    attempt: rest.attempt,
    retryAttempts: rest.retryAttempts,
    snoozes: rest.snoozes,
    backoff: rest.backoff,
    timeout: rest.timeout && Number(rest.timeout),
    concurrencyKey: rest.concurrencyKey,
    rateKey: rest.rateKey,
    hasSlots: rest.hasSlots,
  };
}

/** Reads the params of a task; undefined if the claim that read `claimSeq` no longer holds it. */
export async function readParams(
  sql: Tag,
  { id, claimSeq }: Pick<ClaimedTask, "id" | "claimSeq">,
): Promise<string | undefined> {
  const [row] = await sql`
    SELECT params
    FROM ${sql.schema}.task
    WHERE id = ${id}::bigint AND claim_seq = ${claimSeq}::bigint AND status = 'created'
  `;
  return row?.params;
}
