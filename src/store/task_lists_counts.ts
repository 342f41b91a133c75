import type { Row, Tag } from "../database/driver.ts";
import { toNumber } from "./rows.ts";
import type { TaskConditions } from "./task_lists.ts";

/** A count of at most this many is exact. */
export const EXACT_COUNT = 10_000;

/** How many tasks there are in the places that are counted quickly; above {@linkcode EXACT_COUNT} there are more. */
export interface PlaceCounts {
  due: number;
  waiting: number;
  running: number;
}

/** Counts the tasks that are due, that wait and that run, of these queues and names; null is all. */
export async function countPlaces(
  sql: Tag,
  { queues, names }: { queues: readonly string[] | null; names: readonly string[] | null },
): Promise<PlaceCounts> {
  const most = EXACT_COUNT + 1;
  const [row] = await sql<{ due: string; waiting: string; running: string }>`
    SELECT
      (
        SELECT COALESCE(sum(counted.length), 0)
        FROM (
          SELECT length
          FROM ${sql.schema}.ready
          WHERE (${queues}::text[] IS NULL OR queue = ANY (${queues}::text[]))
            AND (${names}::text[] IS NULL OR func_name = ANY (${names}::text[]))
          LIMIT ${most}::integer
        ) AS counted
      ) AS due,
      (
        SELECT count(*)
        FROM (
          SELECT FROM ${sql.schema}.waiting
          WHERE (${queues}::text[] IS NULL OR queue = ANY (${queues}::text[]))
            AND (${names}::text[] IS NULL OR func_name = ANY (${names}::text[]))
          LIMIT ${most}::integer
        ) AS counted
      ) AS waiting,
      (
        SELECT count(*)
        FROM (
          SELECT FROM ${sql.schema}._claimed_task AS held
          CROSS JOIN LATERAL (
            SELECT task.queue, task.func_name
            FROM ${sql.schema}.task
            WHERE task.id = held.id AND task.claim_seq = held.claim_seq AND task.status = 'created'
            OFFSET 0
          ) AS task
          WHERE (${queues}::text[] IS NULL OR task.queue = ANY (${queues}::text[]))
            AND (${names}::text[] IS NULL OR task.func_name = ANY (${names}::text[]))
          LIMIT ${most}::integer
        ) AS counted
      ) AS running
  `;
  const { due, waiting, running } = row!;
  return { due: toNumber(due), waiting: toNumber(waiting), running: toNumber(running) };
}

/** Counts the failed tasks of these queues and names, of the newest 100,000; null is all. */
export async function countFailed(
  sql: Tag,
  { queues, names }: { queues: readonly string[] | null; names: readonly string[] | null },
): Promise<number> {
  const [row] = await sql`
    SELECT count(*) AS failed
    FROM (
      SELECT
      FROM (
        SELECT queue, func_name FROM ${sql.schema}.failed_task
        WHERE ${names}::text[] IS NULL OR func_name = ANY (${names}::text[])
        LIMIT 100000
      ) AS newest
      WHERE ${queues}::text[] IS NULL OR queue = ANY (${queues}::text[])
      LIMIT ${EXACT_COUNT + 1}::integer
    ) AS counted
  `;
  return toNumber(row!.failed);
}

/** About how many records there are, as the server counted them last, and how many tasks completed in the last week. */
export async function estimateTotals(sql: Tag): Promise<{ all: number; completed: number }> {
  const [row] = await sql<{ records: string; completed: string }>`
    SELECT
      (
        SELECT CASE WHEN relpages = 0 OR reltuples < 0 THEN -1 ELSE reltuples::bigint END
        FROM pg_class
        WHERE oid = format('%I.task', ${sql.schemaName}::text)::regclass
      ) AS records,
      (
        SELECT COALESCE(sum(completed), 0)
        FROM ${sql.schema}.queue_minute
        WHERE minute > now() - interval '7 days'
      ) AS completed
  `;
  return { all: toNumber(row!.records), completed: toNumber(row!.completed) };
}

/** What the tasks of one name have in common. */
export interface NameSummary {
  readonly name: string;
  readonly count: number;
  readonly oldest: Date;
  readonly newest: Date;
  /** The largest id. */
  readonly last: number;
}

function toSummary({ name, count, oldest, newest, last }: Row): NameSummary {
  return { name, count: toNumber(count), oldest, newest, last: toNumber(last) };
}

/** Counts these tasks by name. */
export async function summarize(sql: Tag, ids: readonly number[]): Promise<NameSummary[]> {
  const rows = await sql`
    SELECT func_name AS name, count(*) AS count, min(created) AS oldest, max(created) AS newest, max(id) AS last
    FROM ${sql.schema}.task
    WHERE id = ANY (${ids}::bigint[])
    GROUP BY func_name
  `;
  return rows.map(toSummary);
}

/** Which tasks of the small tables to count. */
export interface PlacedSelection {
  /** Whether those that are due. */
  readonly ready: boolean;
  /** Whether those that wait for their time. */
  readonly timed: boolean;
  /** The other reasons for which they wait. */
  readonly reasons: readonly string[];
  readonly conditions: Pick<TaskConditions, "queues" | "notQueues" | "names" | "notNames">;
}

/**
 * Counts tasks that are due or wait, by their names, from the small tables alone: `oldest` and `newest` are of those with
 * the smallest and the largest id.
 */
export async function summarizePlaced(
  sql: Tag,
  { ready, timed, reasons, conditions }: PlacedSelection,
): Promise<NameSummary[]> {
  const { queues = null, notQueues = null, names = null, notNames = null } = conditions;
  const meets = sql.fragment`(${queues}::text[] IS NULL OR queue = ANY (${queues}::text[]))
        AND (${notQueues}::text[] IS NULL OR queue <> ALL (${notQueues}::text[]))
        AND (${names}::text[] IS NULL OR func_name = ANY (${names}::text[]))
        AND (${notNames}::text[] IS NULL OR func_name <> ALL (${notNames}::text[]))`;
  const rows = await sql`
    WITH placed AS (
      SELECT func_name, sum(length) AS count, min(id) AS first, max(id + length - 1) AS last
      FROM ${sql.schema}.ready
      WHERE ${ready}::boolean AND ${meets}
      GROUP BY func_name
      UNION ALL
      SELECT func_name, count(*), min(id), max(id)
      FROM ${sql.schema}.waiting
      WHERE ${meets} AND CASE
        WHEN reason <> 'time' THEN reason = ANY (${reasons}::text[])
        -- A consumer is about to make it ready.
        WHEN not_before <= statement_timestamp() AND concurrency_key IS NULL AND rate_key IS NULL THEN ${ready}::boolean
        WHEN suspended AND not_before > statement_timestamp() THEN 'suspended' = ANY (${reasons}::text[])
        ELSE ${timed}::boolean
      END
      GROUP BY func_name
    ), named AS (
      SELECT func_name, sum(count) AS count, min(first) AS first, max(last) AS last FROM placed GROUP BY func_name
    )
    SELECT func_name AS name, count, last,
      COALESCE((SELECT created FROM ${sql.schema}.task WHERE task.id = named.first), now()) AS oldest,
      COALESCE((SELECT created FROM ${sql.schema}.task WHERE task.id = named.last), now()) AS newest
    FROM named
  `;
  return rows.map(toSummary);
}

/** How many attempts of these names ended in the last ten minutes, and how many of them failed. */
export async function readRecentAttempts(
  sql: Tag,
  names: readonly string[],
): Promise<{ ended: number; failed: number }> {
  const [row] = await sql`
    SELECT COALESCE(sum(completed + failed + retried), 0) AS ended, COALESCE(sum(failed + retried), 0) AS failed
    FROM ${sql.schema}.task_minute
    WHERE minute > now() - interval '10 minutes' AND func_name = ANY (${names}::text[])
  `;
  return { ended: toNumber(row!.ended), failed: toNumber(row!.failed) };
}

/** Reads the names and queues to suggest: none of it from the records. */
export async function readSuggestions(sql: Tag): Promise<{ names: string[]; queues: string[] }> {
  const [row] = await sql<{ names: string[]; queues: string[] }>`
    SELECT
      ARRAY(
        SELECT func_name FROM ${sql.schema}.definition
        UNION SELECT name FROM ${sql.schema}.cron
        UNION SELECT unnest(tasks) FROM ${sql.schema}.consumer
        ORDER BY 1
        LIMIT 1000
      ) AS names,
      ARRAY(
        SELECT name FROM ${sql.schema}.queue
        UNION SELECT COALESCE(queue, 'default') FROM ${sql.schema}.definition
        UNION SELECT unnest(queues) FROM ${sql.schema}.consumer
        ORDER BY 1
        LIMIT 1000
      ) AS queues
  `;
  return row!;
}

/** Returns those of these words that are tags of the newest 50,000 tasks. */
export async function findTags(sql: Tag, words: readonly string[]): Promise<string[]> {
  const rows = await sql`
    SELECT word
    FROM unnest(${words}::text[]) AS word
    WHERE EXISTS (
      SELECT FROM ${sql.schema}.task
      WHERE task.id > (SELECT max(id) - 50000 FROM ${sql.schema}.task) AND task.tags && ARRAY[word]
    )
  `;
  return rows.map(({ word }) => word);
}
