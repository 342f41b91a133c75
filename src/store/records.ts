import type { Tag } from "../database/driver.ts";
import type { TaskFilter, TaskStatus } from "../task/record.ts";
import { type TaskRow, toNumber } from "./rows.ts";

/** Reads records by id; an id without a record is left out. */
export async function readRecords(sql: Tag, ids: number[]): Promise<TaskRow[]> {
  return await sql<TaskRow>`
    SELECT *
    FROM ${sql.schema}.task_record
    WHERE id = ANY (${ids}::bigint[])
  `;
}

/** A filter as the parameters of a statement: null means any. */
interface FilterParameters {
  statuses: TaskStatus[] | null;
  queues: string[] | null;
  names: string[] | null;
  ids: number[] | null;
  tags: string[] | null;
  createdBefore: Date | null;
  createdAfter: Date | null;
  finishedBefore: Date | null;
  params: string | null;
}

function toFilterParameters(filter: TaskFilter): FilterParameters {
  return {
    statuses: listOf(filter.status),
    queues: listOf(filter.queue),
    names: listOf(filter.funcName),
    ids: filter.ids ?? null,
    tags: filter.tags ?? null,
    createdBefore: filter.createdBefore ?? null,
    createdAfter: filter.createdAfter ?? null,
    finishedBefore: filter.finishedBefore ?? null,
    params: filter.params === undefined ? null : JSON.stringify(filter.params),
  };
}

function listOf<T>(value: T | T[] | undefined): T[] | null {
  return value === undefined ? null : Array.isArray(value) ? value : [value];
}

/** A record of a list, with its fence: every change of its status, except a claim, increments `claim_seq`. */
export interface ListedRow extends TaskRow {
  claim_seq: string;
}

/** Lists records with ids below `before`, newest first. */
export async function listRecords(
  sql: Tag,
  filter: TaskFilter,
  { limit, before }: { limit: number; before: number | null },
): Promise<ListedRow[]> {
  const { statuses, queues, names, ids, tags, createdBefore, createdAfter, finishedBefore, params } =
    toFilterParameters(
      filter,
    );
  return await sql<ListedRow>`
    SELECT *, (SELECT task.claim_seq FROM ${sql.schema}.task WHERE task.id = task_record.id) AS claim_seq
    FROM ${sql.schema}.task_record
    WHERE (${before}::bigint IS NULL OR id < ${before}::bigint)
      AND (${statuses}::text[] IS NULL OR status = ANY (${statuses}::text[]))
      AND (${queues}::text[] IS NULL OR queue = ANY (${queues}::text[]))
      AND (${names}::text[] IS NULL OR func_name = ANY (${names}::text[]))
      AND (${ids}::bigint[] IS NULL OR id = ANY (${ids}::bigint[]))
      AND (${tags}::text[] IS NULL OR tags @> ${tags}::text[])
      AND (${createdBefore}::timestamptz IS NULL OR created < ${createdBefore}::timestamptz)
      AND (${createdAfter}::timestamptz IS NULL OR created >= ${createdAfter}::timestamptz)
      AND (${finishedBefore}::timestamptz IS NULL
        OR COALESCE(completed, failed, cancelled) < ${finishedBefore}::timestamptz)
      AND (${params}::text IS NULL OR ${sql.schema}.try_decode(params) @> ${params}::text::jsonb)
    ORDER BY id DESC
    LIMIT ${limit}::bigint
  `;
}

/** Counts records by queue and status. */
export async function countRecords(sql: Tag): Promise<{ queue: string; status: TaskStatus; count: number }[]> {
  const rows = await sql`
    SELECT queue, status, count(*) AS count
    FROM ${sql.schema}.task_record
    GROUP BY queue, status
  `;
  return rows.map((row) => ({ queue: row.queue, status: row.status, count: toNumber(row.count) }));
}

/** Names of tasks, and queues. */
export interface Words {
  readonly names: string[];
  readonly queues: string[];
}

/** Finds those of these words that neither a record, nor a consumer, a definition, a cron or a setting has. */
export async function findUnknown(sql: Tag, { names, queues }: Words): Promise<Words> {
  const [row] = await sql`
    SELECT
      ARRAY(
        SELECT word
        FROM unnest(${names}::text[]) AS word
        WHERE NOT EXISTS (SELECT FROM ${sql.schema}.definition WHERE func_name = word)
          AND NOT EXISTS (SELECT FROM ${sql.schema}.cron WHERE word = ANY (names))
          AND NOT EXISTS (SELECT FROM ${sql.schema}.consumer WHERE word = ANY (tasks))
          AND NOT EXISTS (SELECT FROM ${sql.schema}.task WHERE func_name = word)
      ) AS names,
      ARRAY(
        SELECT word
        FROM unnest(${queues}::text[]) AS word
        WHERE NOT EXISTS (SELECT FROM ${sql.schema}.queue WHERE name = word)
          AND NOT EXISTS (SELECT FROM ${sql.schema}.definition WHERE queue = word)
          AND NOT EXISTS (SELECT FROM ${sql.schema}.consumer WHERE word = ANY (queues))
          AND NOT EXISTS (SELECT FROM ${sql.schema}.task WHERE queue = word)
      ) AS queues
  `;
  return row as Words;
}

/** Reads all names of tasks and all queues, in order, for a suggestion: it reads all records. */
export async function readWords(sql: Tag): Promise<Words> {
  const [row] = await sql`
    WITH used AS MATERIALIZED (
      SELECT DISTINCT func_name, queue FROM ${sql.schema}.task
    )
    SELECT
      ARRAY(
        SELECT func_name FROM used
        UNION SELECT func_name FROM ${sql.schema}.definition
        UNION SELECT name FROM ${sql.schema}.cron
        UNION SELECT unnest(tasks) FROM ${sql.schema}.consumer
        ORDER BY 1
      ) AS names,
      ARRAY(
        SELECT queue FROM used
        UNION SELECT name FROM ${sql.schema}.queue
        UNION SELECT queue FROM ${sql.schema}.definition WHERE queue IS NOT NULL
        UNION SELECT unnest(queues) FROM ${sql.schema}.consumer
        ORDER BY 1
      ) AS queues
  `;
  return row as Words;
}

/** Registers a waiter for those of these tasks that have not ended, so that settling them notifies. */
export async function registerWaiters(sql: Tag, ids: number[]): Promise<void> {
  await sql`
    INSERT INTO ${sql.schema}.result_waiter (task_id, until)
    SELECT id, now() + interval '1 hour'
    FROM ${sql.schema}.task
    WHERE id = ANY (${ids}::bigint[]) AND status = 'created'
    ORDER BY id
    ON CONFLICT (task_id) DO UPDATE SET until = excluded.until
  `;
}

/** Deletes the waiters of programs that have stopped waiting. */
export async function deleteExpiredWaiters(sql: Tag): Promise<void> {
  await sql`DELETE FROM ${sql.schema}.result_waiter WHERE until < now()`;
}
