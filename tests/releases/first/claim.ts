import type { Backoff } from "../../../src/task/backoff.ts";
import type { Tag } from "../../../src/database/driver.ts";
import { toNumber } from "./rows.ts";

export interface ClaimRequest {
  consumerId: string;
  batchId: string;
  quarantinedBatchId: string | null;
  queues: string[];
  names: string[];
  limit: number;
  processId?: number | null;
}

export interface ClaimedTask {
  id: number;
  claimSeq: number;
  batchId: string;
  quarantined: boolean;
  funcName: string;
  queue: string;
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
  hasSlots: boolean;
}

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

const LONG_PARAMS = 8192;

export interface Claim {
  alive: boolean;
  tasks: ClaimedTask[];
  taken: number;
  nextDue: number | null;
}

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
