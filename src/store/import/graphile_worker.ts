import type { Tag } from "../../database/driver.ts";

/** The cursor of the statement that reads the jobs. */
export const GRAPHILE_CURSOR = "firefly_graphile_worker_jobs";

/** A job of graphile-worker that waits. */
export interface GraphileJob {
  id: string;
  name: string;
  /** The queue whose jobs run one by one; null for most. */
  queue: string | null;
  /** Whether a job of that queue runs now. */
  is_queue_locked: boolean;
  payload: string;
  priority: number;
  attempts: number;
  max_attempts: number;
  key: string | null;
  flags: string[];
  /** When it is due, in milliseconds since 1970. */
  due: number;
  is_delayed: boolean;
}

/** Reads the number of the last migration; undefined if there is none. */
export async function readGraphileVersion(sql: Tag, schema: string): Promise<number | undefined> {
  const [row] = await sql`SELECT max(id) AS version FROM ${sql.identifier(schema)}.migrations`;
  return row?.version ?? undefined;
}

/**
 * Declares a cursor over the jobs that wait, in the order in which graphile-worker takes them. With `lock`, FETCH locks
 * them, and leaves out those that a worker takes at that moment: graphile-worker takes jobs with SKIP LOCKED, too, so that
 * of a worker and this transaction exactly one gets a job. A job that a worker has taken since the cursor was opened fails
 * the condition, which is checked again when its row is locked.
 */
export async function openGraphileJobs(
  sql: Tag,
  { schema, names, queues, lock }: {
    schema: string;
    names: readonly string[] | null;
    queues: readonly string[] | null;
    lock: boolean;
  },
): Promise<void> {
  const ours = sql.identifier(schema);
  await sql`
    DECLARE ${sql.identifier(GRAPHILE_CURSOR)} NO SCROLL CURSOR FOR
    SELECT job.id::text AS id, task.identifier AS name, queue.queue_name AS queue,
      queue.locked_at IS NOT NULL AS is_queue_locked,
      job.payload::text AS payload, job.priority::integer AS priority, job.attempts::integer AS attempts,
      job.max_attempts::integer AS max_attempts, job.key,
      ARRAY(SELECT jsonb_object_keys(COALESCE(job.flags, '{}'))) AS flags,
      floor(extract(epoch FROM job.run_at) * 1000)::double precision AS due,
      job.run_at > now() AS is_delayed
    FROM ${ours}._private_jobs AS job
    JOIN ${ours}._private_tasks AS task ON task.id = job.task_id
    LEFT JOIN ${ours}._private_job_queues AS queue ON queue.id = job.job_queue_id
    WHERE job.is_available
      AND (${names}::text[] IS NULL OR task.identifier = ANY (${names}::text[]))
      AND (${queues}::text[] IS NULL OR queue.queue_name = ANY (${queues}::text[]))
    ORDER BY job.priority, job.run_at, job.id
    ${sql.raw(lock ? "FOR UPDATE OF job SKIP LOCKED" : "")}
  `;
}

/** Deletes jobs that this transaction has locked. Returns how many. */
export async function deleteGraphileJobs(sql: Tag, schema: string, ids: readonly string[]): Promise<number> {
  const { count } = await sql`
    DELETE FROM ${sql.identifier(schema)}._private_jobs WHERE id = ANY (${ids}::text[]::bigint[])
  `;
  return count;
}

/** Counts the jobs by task and by whether they wait, run or have failed for good, with the ids of a few that run. */
export async function countGraphileJobs(
  sql: Tag,
  { schema, names, queues }: { schema: string; names: readonly string[] | null; queues: readonly string[] | null },
): Promise<{ name: string; state: string; count: number; ids: string[] }[]> {
  const ours = sql.identifier(schema);
  return await sql<{ name: string; state: string; count: number; ids: string[] }>`
    SELECT task.identifier AS name, given.state, count(*)::integer AS count,
      COALESCE((array_agg(job.id::text) FILTER (WHERE given.state = 'running'))[1:5], '{}') AS ids
    FROM ${ours}._private_jobs AS job
    JOIN ${ours}._private_tasks AS task ON task.id = job.task_id
    LEFT JOIN ${ours}._private_job_queues AS queue ON queue.id = job.job_queue_id
    CROSS JOIN LATERAL (
      SELECT CASE WHEN job.is_available THEN 'waiting' WHEN job.locked_at IS NULL THEN 'ended' ELSE 'running' END
    ) AS given (state)
    WHERE (${names}::text[] IS NULL OR task.identifier = ANY (${names}::text[]))
      AND (${queues}::text[] IS NULL OR queue.queue_name = ANY (${queues}::text[]))
    GROUP BY task.identifier, given.state
    ORDER BY task.identifier, given.state
  `;
}

/** Lists the crontab items that workers have run: the table has their names, not their patterns. */
export async function listGraphileCrontabs(sql: Tag, schema: string): Promise<string[]> {
  const rows = await sql`
    SELECT identifier FROM ${sql.identifier(schema)}._private_known_crontabs ORDER BY identifier
  `;
  return rows.map(({ identifier }) => identifier);
}
