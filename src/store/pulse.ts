import type { Tag } from "../database/driver.ts";

/** Counting failed tasks stops here. */
export const MOST_FAILED = 10_000;

/** What every page of the dashboard shows around its content. */
export interface Pulse {
  /** The database's time. */
  readonly now: Date;
  /** Changes with every transaction that writes, in any database of the server. */
  readonly change: string;
  /** The version of PostgreSQL, such as `18.4`. */
  readonly server: string;
  /** The number of the last migration that was applied. */
  readonly schema: number;
  /** How many tasks failed within the last hour and have not been retried; one more than {@linkcode MOST_FAILED} at most. */
  readonly failed: number;
}

/** Reads what every page shows, in one statement. */
export async function readPulse(sql: Tag): Promise<Pulse> {
  const [row] = await sql`
    SELECT now() AS now, pg_snapshot_xmax(pg_current_snapshot())::text AS change,
      split_part(current_setting('server_version'), ' ', 1) AS server,
      (SELECT max(version) FROM ${sql.schema}.migration) AS schema,
      (
        SELECT count(*)::integer
        FROM (
          SELECT FROM ${sql.schema}.failed_task
          WHERE failed > now() - interval '1 hour'
          LIMIT ${MOST_FAILED + 1}::bigint
        ) AS recent
      ) AS failed
  `;
  return row as Pulse;
}
