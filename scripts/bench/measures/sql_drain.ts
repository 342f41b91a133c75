import postgres from "postgres";
import type { Metrics } from "../results.ts";
import type { Stage } from "../stage.ts";

/** Tasks that the procedure claims at a time. */
const BATCH = 500;

/**
 * Drains tables by procedures, one in each of `sessions`. The tables are those that Firefly had when this yardstick was
 * first measured, a row of `ready` for each task: it stays the same whatever Firefly's own tables become.
 */
export async function measureSqlDrain(stage: Stage, sessions: number): Promise<Metrics> {
  await stage.sql.unsafe(TABLES);
  await stage.sql.unsafe(PROCEDURE);
  await stage.sql`
    WITH inserted AS (
      INSERT INTO yardstick.task (func_name, params)
      SELECT 'noop', 'W10=' FROM generate_series(1, ${stage.tasks}::integer)
      RETURNING *
    )
    INSERT INTO yardstick.ready (id, claim_seq, not_before, priority, queue, func_name)
    SELECT id, claim_seq, not_before, priority, queue, func_name FROM inserted
  `;
  await stage.settle();
  const connection = { plan_cache_mode: "force_generic_plan" };
  const clients = Array.from({ length: sessions }, () => postgres(stage.url, { max: 1, onnotice() {}, connection }));
  try {
    await Promise.all(clients.map((sql) => sql`SELECT 1`));
    return await stage.account([], async () => {
      const start = performance.now();
      await Promise.all(clients.map((sql) => sql.unsafe(`CALL drain(${BATCH})`)));
      const seconds = (performance.now() - start) / 1000;
      const [left] = await stage.sql`SELECT count(*)::integer AS tasks FROM yardstick.task WHERE status <> 'completed'`;
      if (left!.tasks > 0) throw new Error(`${left!.tasks} tasks are left`);
      return { count: stage.tasks, metrics: { rate: stage.tasks / seconds } };
    });
  } finally {
    await Promise.all(clients.map((sql) => sql.end({ timeout: 1 })));
  }
}

const TABLES = `
  CREATE SCHEMA yardstick;
  CREATE TABLE yardstick.task (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    claim_seq bigint NOT NULL DEFAULT 0,
    created timestamptz NOT NULL DEFAULT now(),
    not_before timestamptz NOT NULL DEFAULT now(),
    started timestamptz,
    completed timestamptz,
    failed timestamptz,
    cancelled timestamptz,
    retry_delay double precision CHECK (retry_delay >= 0),
    timeout double precision CHECK (timeout > 0 AND timeout <= 31557600000),
    backoff jsonb,
    progress double precision,
    priority integer NOT NULL DEFAULT 0,
    max_retries integer CHECK (max_retries >= 0),
    retry_attempts integer NOT NULL DEFAULT 0,
    rescues integer NOT NULL DEFAULT 0,
    snoozes integer NOT NULL DEFAULT 0,
    crash_count smallint NOT NULL DEFAULT 0,
    status text NOT NULL DEFAULT 'created' CHECK (status IN ('created', 'completed', 'failed', 'cancelled')),
    func_name text NOT NULL CHECK (func_name <> '' AND length(func_name) <= 200),
    queue text NOT NULL DEFAULT 'default'
      CHECK (queue ~ '^[a-z0-9][a-z0-9_.-]*$')
      CHECK (octet_length('firefly' || '_' || queue) <= 63),
    params text NOT NULL DEFAULT 'W10=',
    returned text,
    errors jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(errors) = 'array'),
    tags text[] NOT NULL DEFAULT '{}',
    progress_note text,
    unique_key text,
    unique_among text[],
    unique_for double precision CHECK (unique_for BETWEEN 0 AND 31557600000),
    concurrency_key text,
    rate_key text
  ) WITH (fillfactor = 45);
  CREATE TABLE yardstick.ready (
    id bigint NOT NULL,
    claim_seq bigint NOT NULL,
    not_before timestamptz NOT NULL,
    priority integer NOT NULL,
    quarantined boolean NOT NULL DEFAULT false,
    queue text NOT NULL,
    func_name text NOT NULL
  ) WITH (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_cost_delay = 0
  );
  CREATE INDEX ready_order ON yardstick.ready (queue, priority DESC, not_before, id);
  CREATE INDEX ready_quarantined ON yardstick.ready (queue, priority DESC, not_before, id) WHERE quarantined;
  CREATE TABLE yardstick.claim_batch (
    id uuid PRIMARY KEY,
    consumer_id uuid NOT NULL,
    claimed timestamptz NOT NULL DEFAULT now(),
    quarantined boolean NOT NULL DEFAULT false,
    ids bigint[] NOT NULL,
    claim_seqs bigint[] NOT NULL
  );
`;

const PROCEDURE = `
  CREATE PROCEDURE drain(batch integer) LANGUAGE plpgsql AS $body$
  DECLARE
    batch_id uuid;
    claimed bigint[];
  BEGIN
    LOOP
      batch_id := gen_random_uuid();
      WITH due AS MATERIALIZED (
        SELECT ctid AS place
        FROM yardstick.ready
        WHERE queue = 'default'
        ORDER BY priority DESC, not_before, id
        LIMIT batch
        FOR UPDATE SKIP LOCKED
      ), taken AS (
        DELETE FROM yardstick.ready WHERE ctid = ANY (ARRAY(SELECT place FROM due)) RETURNING id, claim_seq
      ), held AS (
        SELECT task.id, task.claim_seq
        FROM taken
        JOIN yardstick.task ON task.id = taken.id AND task.claim_seq = taken.claim_seq AND task.status = 'created'
      ), leased AS (
        INSERT INTO yardstick.claim_batch (id, consumer_id, ids, claim_seqs)
        SELECT batch_id, batch_id, array_agg(id), array_agg(claim_seq) FROM held HAVING count(*) > 0
      )
      SELECT array_agg(id) INTO claimed FROM held;
      COMMIT;
      EXIT WHEN claimed IS NULL;

      UPDATE yardstick.task
      SET claim_seq = claim_seq + 1, status = 'completed', returned = 'W10=',
        started = clock_timestamp(), completed = clock_timestamp()
      WHERE id = ANY (claimed) AND status = 'created';
      DELETE FROM yardstick.claim_batch WHERE id = batch_id;
      COMMIT;
    END LOOP;
  END
  $body$`;
