import type { Tag } from "../../database/driver.ts";

/** The cursor of the statement that reads the jobs. */
export const PG_BOSS_CURSOR = "firefly_pg_boss_jobs";

/** A job of pg-boss that waits. */
export interface PgBossJob {
  id: string;
  name: string;
  state: "created" | "retry";
  data: string | null;
  priority: number;
  retry_limit: number;
  retry_count: number;
  retry_delay: number;
  retry_backoff: boolean;
  retry_delay_max: number | null;
  /** Whether an attempt has begun: the next one then counts as a retry. */
  was_started: boolean;
  expire_seconds: number | null;
  singleton_key: string | null;
  is_throttled: boolean;
  is_upserted: boolean;
  policy: string | null;
  dead_letter: string | null;
  group_id: string | null;
  /** Whether it waits for other jobs. */
  blocked: boolean;
  /** Whether other jobs wait for it. */
  blocking: boolean;
  traceparent: string | null;
  /** When it is due, in milliseconds since 1970. */
  due: number;
  is_delayed: boolean;
  /** Whether pg-boss would delete it at its next maintenance. */
  is_expired: boolean;
}

/** Reads the version of the schema; undefined if the row is missing. */
export async function readPgBossVersion(sql: Tag, schema: string): Promise<number | undefined> {
  const [row] = await sql`SELECT version FROM ${sql.identifier(schema)}.version`;
  return row?.version;
}

/**
 * Declares a cursor over the jobs that wait, in the order in which pg-boss takes them. With `lock`, FETCH locks them, and
 * leaves out those that a worker takes at that moment: pg-boss takes jobs with SKIP LOCKED, too, so that of a worker and
 * this transaction exactly one gets a job. A job that a worker has taken since the cursor was opened fails the condition
 * on its state, which is checked again when its row is locked.
 */
export async function openPgBossJobs(
  sql: Tag,
  { schema, columns, names, lock }: {
    schema: string;
    columns: readonly string[];
    names: readonly string[] | null;
    lock: boolean;
  },
): Promise<void> {
  // Each major version has added columns: what a version does not have, its jobs do not use.
  const optional = (name: string, otherwise: string, expression = `job.${name}`) =>
    sql.raw(columns.includes(name) ? expression : otherwise);
  await sql`
    DECLARE ${sql.identifier(PG_BOSS_CURSOR)} NO SCROLL CURSOR FOR
    SELECT job.id::text AS id, job.name, job.state::text AS state, job.data::text AS data, job.priority,
      job.retry_limit, job.retry_count, job.retry_delay::double precision AS retry_delay, job.retry_backoff,
      ${optional("retry_delay_max", "NULL::double precision", "job.retry_delay_max::double precision")}
        AS retry_delay_max,
      job.started_on IS NOT NULL AS was_started,
      ${
    optional(
      "expire_seconds",
      "extract(epoch FROM job.expire_in)::double precision",
      "job.expire_seconds::double precision",
    )
  } AS expire_seconds,
      job.singleton_key, job.singleton_on IS NOT NULL AS is_throttled,
      ${optional("upsert_by_key", "false", "COALESCE(job.upsert_by_key, false)")} AS is_upserted,
      job.policy, job.dead_letter,
      ${optional("group_id", "NULL::text")} AS group_id,
      ${optional("blocked", "false")} AS blocked,
      ${optional("blocking", "false")} AS blocking,
      ${optional("trace_context", "NULL::text", "job.trace_context ->> 'traceparent'")} AS traceparent,
      floor(extract(epoch FROM job.start_after) * 1000)::double precision AS due,
      job.start_after > now() AS is_delayed,
      job.keep_until < now() AS is_expired
    FROM ${sql.identifier(schema)}.job
    WHERE job.state < 'active' AND (${names}::text[] IS NULL OR job.name = ANY (${names}::text[]))
    ORDER BY job.priority DESC, job.created_on, job.id
    ${sql.raw(lock ? "FOR UPDATE OF job SKIP LOCKED" : "")}
  `;
}

/** Deletes jobs that this transaction has locked. Returns how many. */
export async function deletePgBossJobs(
  sql: Tag,
  schema: string,
  jobs: readonly { id: string; name: string }[],
): Promise<number> {
  const { count } = await sql`
    DELETE FROM ${sql.identifier(schema)}.job
    USING unnest(${jobs.map(({ name }) => name)}::text[], ${jobs.map(({ id }) => id)}::text[]) AS moved (name, id)
    WHERE job.name = moved.name AND job.id = moved.id::uuid
  `;
  return count;
}

/** Counts the jobs by name and state, with the ids of a few that run. */
export async function countPgBossJobs(
  sql: Tag,
  schema: string,
  names: readonly string[] | null,
): Promise<{ name: string; state: string; count: number; ids: string[] }[]> {
  return await sql<{ name: string; state: string; count: number; ids: string[] }>`
    SELECT job.name, job.state::text AS state, count(*)::integer AS count,
      COALESCE((array_agg(job.id::text) FILTER (WHERE job.state = 'active'))[1:5], '{}') AS ids
    FROM ${sql.identifier(schema)}.job
    WHERE ${names}::text[] IS NULL OR job.name = ANY (${names}::text[])
    GROUP BY job.name, job.state
    ORDER BY job.name, job.state
  `;
}

/** Lists the schedules. */
export async function listPgBossSchedules(
  sql: Tag,
  schema: string,
): Promise<{ name: string; key: string | null; cron: string; timezone: string | null; data: string | null }[]> {
  return await sql<{ name: string; key: string | null; cron: string; timezone: string | null; data: string | null }>`
    SELECT name, to_jsonb(schedule) ->> 'key' AS key, cron, timezone, data::text AS data
    FROM ${sql.identifier(schema)}.schedule
    ORDER BY name, 2
  `;
}
