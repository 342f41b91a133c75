import { ask } from "./database.ts";

/**
 * The soak's own ledger of what became of each task, kept by triggers, so that it knows of each record that was ever
 * committed, whoever inserted it, and of pruned ones too.
 */
export async function openLedger(url: string): Promise<void> {
  await ask(url, (sql) =>
    sql.unsafe(`
    CREATE SCHEMA soak;
    CREATE TABLE soak.effect (n bigint NOT NULL, task_id bigint NOT NULL, attempt integer NOT NULL);
    -- What the scheduling process was told: that a task is there, that it was cancelled.
    CREATE TABLE soak.told (id bigint NOT NULL, what text NOT NULL);
    CREATE TABLE soak.life (
      id bigint PRIMARY KEY,
      func_name text NOT NULL,
      status text NOT NULL DEFAULT 'created',
      created timestamptz NOT NULL DEFAULT clock_timestamp(),
      started timestamptz,
      ended timestamptz,
      deleted timestamptz,
      rescues integer NOT NULL DEFAULT 0,
      error text
    ) WITH (fillfactor = 60);

    CREATE FUNCTION soak.note() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF TG_OP = 'INSERT' THEN
        INSERT INTO soak.life (id, func_name) VALUES (NEW.id, NEW.func_name);
      ELSIF TG_OP = 'UPDATE' THEN
        UPDATE soak.life
        SET status = NEW.status, started = NEW.started, ended = clock_timestamp(), rescues = COALESCE(NEW.rescues, 0),
          error = NEW.errors -> -1 ->> 'message'
        WHERE id = NEW.id;
      ELSE
        UPDATE soak.life SET status = OLD.status, deleted = clock_timestamp() WHERE id = OLD.id;
      END IF;
      RETURN NULL;
    END
    $$;
    CREATE TRIGGER soak_note_new AFTER INSERT OR DELETE ON firefly.task FOR EACH ROW EXECUTE FUNCTION soak.note();
    CREATE TRIGGER soak_note_end AFTER UPDATE OF status ON firefly.task FOR EACH ROW
      WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION soak.note();
  `));
}

/** Writes down what the scheduling process was told of tasks. */
export async function noteTold(url: string, what: "scheduled" | "cancelled", ids: readonly number[]): Promise<void> {
  await ask(url, (sql) =>
    sql`
      INSERT INTO soak.told (id, what)
      SELECT id::bigint, ${what}::text FROM jsonb_array_elements_text(${sql.json([...ids])}::jsonb) AS told (id)
    `);
}

/** How tasks may end, by name; all others must complete. */
const OTHER_ENDS: Record<string, string> = {
  "soak.hopeless": "failed",
  "soak.waiting": "cancelled",
  "soak.running": "cancelled",
};

/** What the ledger holds in the end; each list is of a few examples. */
export interface Account {
  readonly tasks: number;
  readonly pruned: number;
  readonly rescues: number;
  /** Tasks that did not end as they should have. */
  readonly lost: number;
  /** Tasks of which the scheduling process was told that they are there, and that never were. */
  readonly vanished: number;
  /** Tasks that were cancelled, and ended otherwise. */
  readonly uncancelled: number;
  readonly effects: number;
  /** Rows of the ledger that are there twice. */
  readonly twice: number;
  /** Completed tasks without their row, and rows without a completed task. */
  readonly unmatched: number;
  readonly examples: readonly string[];
}

/** Adds up the ledger. */
export async function readAccount(url: string): Promise<Account> {
  return await ask(url, async (sql) => {
    const [row] = await sql`
      WITH wrong AS MATERIALIZED (
        SELECT id, func_name, status, CASE WHEN deleted IS NOT NULL THEN 'deleted' END AS gone, error
        FROM soak.life
        WHERE CASE
          WHEN func_name = 'soak.doomed' THEN deleted IS NULL
          ELSE status <> COALESCE(${sql.json(OTHER_ENDS)}::jsonb ->> func_name, 'completed')
        END
      )
      SELECT
        (SELECT count(*)::int FROM soak.life) AS tasks,
        (SELECT count(*)::int FROM soak.life WHERE deleted IS NOT NULL AND func_name <> 'soak.doomed') AS pruned,
        (SELECT COALESCE(sum(rescues), 0)::int FROM soak.life) AS rescues,
        (SELECT count(*)::int FROM wrong) AS lost,
        (SELECT count(*)::int FROM soak.told LEFT JOIN soak.life USING (id) WHERE life.id IS NULL) AS vanished,
        (
          SELECT count(*)::int FROM soak.told JOIN soak.life USING (id)
          WHERE what = 'cancelled' AND status <> 'cancelled'
        ) AS uncancelled,
        (SELECT count(*)::int FROM soak.effect) AS effects,
        (SELECT COALESCE(sum(rows - 1), 0)::int FROM (
          SELECT count(*) AS rows FROM soak.effect GROUP BY task_id
        ) AS each) AS twice,
        (
          SELECT count(*)::int
          FROM (SELECT * FROM soak.life WHERE func_name = 'soak.effect' AND status = 'completed') AS done
          FULL JOIN soak.effect ON effect.task_id = done.id
          WHERE done.id IS NULL OR effect.task_id IS NULL
        ) AS unmatched,
        (
          SELECT COALESCE(json_agg(concat_ws(' ', id, func_name, status, gone, error)), '[]')
          FROM (SELECT * FROM wrong ORDER BY id LIMIT 10) AS few
        )::text AS examples
    `;
    return { ...row, examples: JSON.parse(row!.examples) } as unknown as Account;
  });
}

/** Milliseconds that tasks took that were scheduled within a span and might start at once. */
export interface Latencies {
  readonly started: number;
  readonly ended: number;
  /** From scheduling to the start: the 50th, the 95th and the 99th percentile. */
  readonly start: readonly [number, number, number];
  /** From scheduling to the end. */
  readonly end: readonly [number, number, number];
}

const AT_ONCE = ["soak.plain", "soak.effect", "soak.awaited"];

/** How long tasks took that were scheduled from `from` to `to`, in milliseconds since 1970. */
export async function readLatencies(url: string, from: number, to: number): Promise<Latencies> {
  return await ask(url, async (sql) => {
    const [row] = await sql`
      WITH seen AS (
        SELECT EXTRACT(epoch FROM started - created)::float8 * 1000 AS start,
          EXTRACT(epoch FROM ended - created)::float8 * 1000 AS "end"
        FROM soak.life
        WHERE func_name IN (SELECT jsonb_array_elements_text(${sql.json(AT_ONCE)}::jsonb)) AND status = 'completed'
          AND created >= to_timestamp(${from}::float8 / 1000) AND created < to_timestamp(${to}::float8 / 1000)
      )
      SELECT
        to_json(percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY start))::text AS start,
        to_json(percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY "end"))::text AS "end",
        (
          SELECT count(*)::int FROM soak.life
          WHERE created >= to_timestamp(${from}::float8 / 1000) AND created < to_timestamp(${to}::float8 / 1000)
        ) AS started,
        (
          SELECT count(*)::int FROM soak.life
          WHERE ended >= to_timestamp(${from}::float8 / 1000) AND ended < to_timestamp(${to}::float8 / 1000)
        ) AS ended
      FROM seen
    `;
    const read = (text: string | null) => (text ? JSON.parse(text) : [NaN, NaN, NaN]) as [number, number, number];
    return { started: row!.started, ended: row!.ended, start: read(row!.start), end: read(row!.end) };
  });
}
