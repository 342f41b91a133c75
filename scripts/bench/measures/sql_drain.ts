import postgres from "postgres";
import type { Metrics } from "../results.ts";
import type { Stage } from "../stage.ts";

/** Tasks that the procedure claims at a time. */
const BATCH = 500;

/** Drains Firefly's tables by procedures, one in each of `sessions`. */
export async function measureSqlDrain(stage: Stage, sessions: number): Promise<Metrics> {
  await stage.sql.unsafe(PROCEDURE);
  await stage.control.ask("fill", { count: stage.tasks, chunk: stage.peer.chunk });
  await stage.sql`ALTER TABLE firefly.task DISABLE TRIGGER USER`;
  await stage.settle();
  const connection = { plan_cache_mode: "force_generic_plan" };
  const clients = Array.from({ length: sessions }, () => postgres(stage.url, { max: 1, onnotice() {}, connection }));
  try {
    await Promise.all(clients.map((sql) => sql`SELECT 1`));
    return await stage.account([], async () => {
      const start = performance.now();
      await Promise.all(clients.map((sql) => sql.unsafe(`CALL drain(${BATCH})`)));
      const seconds = (performance.now() - start) / 1000;
      const [left] = await stage.sql`SELECT count(*)::integer AS tasks FROM firefly.task WHERE status <> 'completed'`;
      if (left!.tasks > 0) throw new Error(`${left!.tasks} tasks are left`);
      return { count: stage.tasks, metrics: { rate: stage.tasks / seconds } };
    });
  } finally {
    await Promise.all(clients.map((sql) => sql.end({ timeout: 1 })));
  }
}

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
        FROM firefly.ready
        WHERE queue = 'default'
        ORDER BY priority DESC, not_before, id
        LIMIT batch
        FOR UPDATE SKIP LOCKED
      ), taken AS (
        DELETE FROM firefly.ready WHERE ctid = ANY (ARRAY(SELECT place FROM due)) RETURNING id, claim_seq
      ), held AS (
        SELECT task.id, task.claim_seq
        FROM taken
        JOIN firefly.task ON task.id = taken.id AND task.claim_seq = taken.claim_seq AND task.status = 'created'
      ), leased AS (
        INSERT INTO firefly.claim_batch (id, consumer_id, ids, claim_seqs)
        SELECT batch_id, batch_id, array_agg(id), array_agg(claim_seq) FROM held HAVING count(*) > 0
      )
      SELECT array_agg(id) INTO claimed FROM held;
      COMMIT;
      EXIT WHEN claimed IS NULL;

      UPDATE firefly.task
      SET claim_seq = claim_seq + 1, status = 'completed', returned = 'W10=',
        started = clock_timestamp(), completed = clock_timestamp()
      WHERE id = ANY (claimed) AND status = 'created';
      DELETE FROM firefly.claim_batch WHERE id = batch_id;
      COMMIT;
    END LOOP;
  END
  $body$`;
