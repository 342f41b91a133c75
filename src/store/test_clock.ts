import type { Tag } from "../database/driver.ts";
import { controlChannel } from "./listen.ts";

/**
 * A clock of a database's own: functions that stand in for those of the server, and add what the one row of `shift` has.
 * Statements call them without a schema, so `search_path` decides which they get; it must be set before the schema is
 * migrated, since the defaults of columns and views keep the function that they were made with. All three are needed:
 * with one left out, a retry would be due at once, or hours late.
 */
export const CLOCK_TEXT = `
CREATE SCHEMA firefly_clock;
GRANT USAGE ON SCHEMA firefly_clock TO PUBLIC;
CREATE TABLE firefly_clock.shift (by interval NOT NULL);
GRANT SELECT ON firefly_clock.shift TO PUBLIC;
INSERT INTO firefly_clock.shift VALUES ('0');
CREATE FUNCTION firefly_clock.now() RETURNS timestamptz LANGUAGE sql STABLE AS
  'SELECT pg_catalog.now() + by FROM firefly_clock.shift';
CREATE FUNCTION firefly_clock.statement_timestamp() RETURNS timestamptz LANGUAGE sql STABLE AS
  'SELECT pg_catalog.statement_timestamp() + by FROM firefly_clock.shift';
CREATE FUNCTION firefly_clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
  'SELECT pg_catalog.clock_timestamp() + by FROM firefly_clock.shift';
`;

/**
 * Makes all later connections to a database go by its own clock; a copy does not keep this. Names of tables without a
 * schema still mean those in the schema of the user's name, if there is one, and in `public`; not those of Firefly, where
 * the user's name is that of its `schema`. The role's own setting comes before the database's.
 */
export async function useClock(
  sql: Tag,
  database: string,
  { role, schema }: { role: string; schema: string },
): Promise<void> {
  const path = sql.raw(`${role === schema ? "" : '"$user", '}public, firefly_clock, pg_catalog`);
  const name = sql.identifier(database);
  await Promise.all([
    sql`ALTER DATABASE ${name} SET search_path = ${path}`,
    sql`ALTER ROLE CURRENT_USER IN DATABASE ${name} SET search_path = ${path}`,
  ]);
}

/** Starts the clock at `start`, before anything has a time by it. */
export async function startClock(sql: Tag, start: Date): Promise<void> {
  await sql`
    UPDATE firefly_clock.shift
    SET by = make_interval(secs =>
      EXTRACT(epoch FROM ${start.toISOString()}::text::timestamptz - pg_catalog.clock_timestamp())::double precision
    )
  `;
}

/**
 * Sets the clock forward to `target`, if that is not over, and asks running consumers to look again. Their leases, and
 * the rows of those that wait for results, go along: the processes behind them measure their time with clocks of their
 * own, and have not aged.
 */
export async function setClock(sql: Tag, target: Date): Promise<void> {
  await sql`
    WITH step AS MATERIALIZED (
      SELECT GREATEST('0', make_interval(secs =>
        EXTRACT(epoch FROM ${target.toISOString()}::text::timestamptz - clock_timestamp())::double precision
      )) AS span
    ), moved AS (
      UPDATE firefly_clock.shift SET by = by + (SELECT span FROM step)
    ), leased AS (
      UPDATE ${sql.schema}.consumer
      SET lease_until = lease_until + (SELECT span FROM step), seen = seen + (SELECT span FROM step)
      WHERE lease_until > now()
    ), waited AS (
      UPDATE ${sql.schema}.result_waiter
      SET until = until + (SELECT span FROM step)
    )
    SELECT pg_notify(${controlChannel(sql.schemaName)}, '')
  `;
}

/**
 * Reads when the next task that waits will be due, or may be admitted by its rate; null if none waits for a time. A task
 * that is due already is left out.
 */
export async function readNextDue(sql: Tag, queues: string[] | null): Promise<Date | null> {
  const [row] = await sql<{ due: Date | null }>`
    SELECT min(due) AS due
    FROM ${sql.schema}.waiting, LATERAL (
      SELECT CASE WHEN reason = 'time' THEN not_before ELSE admit_at END AS due
    ) AS its
    WHERE due > clock_timestamp() AND isfinite(due) AND (${queues}::text[] IS NULL OR queue = ANY (${queues}::text[]))
  `;
  return row!.due;
}
