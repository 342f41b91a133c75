import type { Tag } from "../database/driver.ts";
import { toNumber } from "./rows.ts";

/** The kinds of errors whose name and message have one of these texts in them; the case does not matter. */
export async function findErrorGroups(sql: Tag, texts: readonly string[]): Promise<string[]> {
  const rows = await sql`
    SELECT fingerprint
    FROM ${sql.schema}.error_group
    WHERE EXISTS (
      SELECT FROM unnest(${texts}::text[]) AS word
      WHERE strpos(lower(error_group.name || ': ' || error_group.message), lower(word)) > 0
        OR word = '#' || error_group.fingerprint
    )
    ORDER BY last DESC
    LIMIT 1000
  `;
  return rows.map(({ fingerprint }) => String(fingerprint));
}

/** A kind of errors. */
export interface ErrorGroup {
  fingerprint: string;
  func_name: string;
  name: string;
  message: string;
  first: Date;
  last: Date;
}

/** Reads the kind of error with which a task failed, and how many other tasks failed alike, counted up to 10,000. */
export async function readAlike(
  sql: Tag,
  id: number,
): Promise<(ErrorGroup & { others: number }) | undefined> {
  const [row] = await sql<ErrorGroup & { others: number }>`
    SELECT error_group.fingerprint::text, error_group.func_name, error_group.name, error_group.message,
      error_group.first, error_group.last, (
        SELECT count(*)::integer
        FROM (
          SELECT FROM ${sql.schema}.failed_task AS other
          WHERE other.fingerprint = failed_task.fingerprint AND other.task_id <> failed_task.task_id
          LIMIT 10001
        ) AS counted
      ) AS others
    FROM ${sql.schema}.failed_task
    JOIN ${sql.schema}.error_group USING (fingerprint)
    WHERE failed_task.task_id = ${id}::bigint
  `;
  return row;
}

/** Reads kinds of errors, to name them. */
export async function readErrorGroups(sql: Tag, fingerprints: readonly string[]): Promise<ErrorGroup[]> {
  return await sql<ErrorGroup>`
    SELECT fingerprint::text, func_name, name, message, first, last
    FROM ${sql.schema}.error_group
    WHERE fingerprint = ANY (${fingerprints}::bigint[])
  `;
}

/**
 * Finds the next failed tasks below `before`, newest first: of all, of these names, or with these kinds of errors. For
 * several names or kinds, it reads the newest of each by the index and merges them.
 */
export async function nextFailed(
  sql: Tag,
  { names, fingerprints, before, limit }: {
    names?: readonly string[] | undefined;
    fingerprints?: readonly string[] | undefined;
    before: number | null;
    limit: number;
  },
): Promise<number[]> {
  const below = sql.fragment`(${before}::bigint IS NULL OR failed_task.task_id < ${before}::bigint)`;
  const newest = sql.fragment`ORDER BY failed_task.task_id DESC LIMIT ${limit}::bigint`;
  const from = fingerprints
    ? sql.fragment`unnest(${fingerprints}::bigint[]) AS given (fingerprint)
      CROSS JOIN LATERAL (
        SELECT failed_task.task_id FROM ${sql.schema}.failed_task
        WHERE failed_task.fingerprint = given.fingerprint AND ${below} ${newest}
      ) AS failed_task`
    : names
    ? sql.fragment`unnest(${names}::text[]) AS given (func_name)
      CROSS JOIN LATERAL (
        SELECT failed_task.task_id FROM ${sql.schema}.failed_task
        WHERE failed_task.func_name = given.func_name AND ${below} ${newest}
      ) AS failed_task`
    : sql.fragment`(SELECT failed_task.task_id FROM ${sql.schema}.failed_task WHERE ${below} ${newest}) AS failed_task`;
  const rows = await sql`
    SELECT failed_task.task_id AS id
    FROM ${from}
    ORDER BY failed_task.task_id DESC
    LIMIT ${limit}::bigint
  `;
  return rows.map(({ id }) => toNumber(id));
}
