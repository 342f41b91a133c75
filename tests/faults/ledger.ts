import postgres from "postgres";
import { migrate } from "../../src/schema/migrator.ts";
import { resolveConnection } from "../../src/database/settings.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { until } from "../support/waiting.ts";
import type { Figures } from "./fault.ts";

/** A database in which it shows how often an effect happened, and who claimed what when. */
export interface Ledger extends AsyncDisposable {
  readonly url: string;
  readonly sql: postgres.Sql;
}

/** A ledger in a database of its own, on the server that all tests use. */
export async function ledgerDatabase(): Promise<TestDatabase> {
  const db = await testDatabase();
  await prepare(db.sql);
  return db;
}

/** A ledger in a server's only database. */
export async function ledgerOn(url: string): Promise<Ledger> {
  await migrate(await resolveConnection(url), "firefly");
  const sql = postgres(url, { max: 2, onnotice() {}, fetch_types: false, backoff: () => 0.05 });
  await prepare(sql);
  return { url, sql, [Symbol.asyncDispose]: () => sql.end({ timeout: 1 }) };
}

/** Nothing in these tables is unique, so that whatever happens twice can. */
async function prepare(sql: postgres.Sql): Promise<void> {
  await sql.unsafe(`
    CREATE TABLE ledger (n int, task_id bigint, attempt int, pid int);
    CREATE TABLE claim (task_id bigint, pid int, at timestamptz);
    CREATE TABLE interruption (pid int, at timestamptz);
    CREATE FUNCTION note_claim() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      INSERT INTO claim
      SELECT id, (SELECT pid FROM firefly.consumer WHERE consumer.id = NEW.consumer_id), clock_timestamp()
      FROM unnest(NEW.ids) AS id;
      RETURN NULL;
    END $$;
    CREATE TRIGGER note_claim AFTER INSERT ON firefly.claim_batch FOR EACH ROW EXECUTE FUNCTION note_claim();
  `);
}

/** Schedules tasks that each write one row, numbered from `from`. */
export async function scheduleMarks({ sql }: Ledger, count: number, { from = 1, ms = 5 } = {}): Promise<void> {
  await sql`
    INSERT INTO firefly.task (func_name, params)
    SELECT 'process.mark', firefly.encode(jsonb_build_array(n, ${ms}::int))
    FROM generate_series(${from}::int, ${from + count - 1}::int) AS n
  `;
}

/** How many tasks have a status. */
export async function countOf({ sql }: Ledger, status: string): Promise<number> {
  const [row] = await sql`SELECT count(*)::int AS n FROM firefly.task WHERE status = ${status}`;
  return row!.n;
}

/** Waits until no task is left to run, or for `timeout` milliseconds: what is left then is a figure. */
export async function untilDone(ledger: Ledger, timeout: number): Promise<void> {
  await until(async () => await countOf(ledger, "created") === 0, timeout).catch(() => {});
}

/** The effects that are missing, and those that are there more than once. */
export async function effectsOf({ sql }: Ledger): Promise<{ lost: number; twice: number }> {
  const [row] = await sql`
    SELECT (SELECT count(*)::int FROM firefly.task WHERE id NOT IN (SELECT task_id FROM ledger)) AS lost,
      (SELECT count(*)::int FROM (SELECT FROM ledger GROUP BY n HAVING count(*) > 1) AS again) AS twice
  `;
  return row as { lost: number; twice: number };
}

/** Writes down whether all of `count` tasks ended well, and each effect happened once. */
export async function checkEffects(figures: Figures, ledger: Ledger, count: number): Promise<void> {
  const { lost, twice } = await effectsOf(ledger);
  figures.is("tasks completed", await countOf(ledger, "completed"), count);
  figures.is("effects lost", lost, 0);
  figures.is("effects twice", twice, 0);
}

/** For each claim that an interrupted consumer held: the milliseconds from the interruption to the next claim. */
export async function reclaimTimes({ sql }: Ledger): Promise<number[]> {
  const rows = await sql`
    WITH followed AS (
      SELECT pid, at, lead(at) OVER (PARTITION BY task_id ORDER BY at) AS next_at FROM claim
    )
    SELECT EXTRACT(epoch FROM followed.next_at - interruption.at)::float8 * 1000 AS ms
    FROM interruption
    -- The server may end a claim that the consumer was at for a moment after the interruption.
    JOIN followed ON followed.pid = interruption.pid AND followed.at < interruption.at + interval '0.5 s'
      AND followed.next_at > interruption.at
  `;
  return rows.map(({ ms }) => ms);
}
