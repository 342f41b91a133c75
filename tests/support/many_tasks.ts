import type { TestDatabase } from "./database.ts";
import { withoutTriggers } from "./records.ts";

/** How many tasks there are of each kind beside those that a statement is about. */
const MANY = 3_000;

/** Tasks that sleep, wait for signals, for calls and for others, that have ended, and that were called. */
export async function insertMany(db: TestDatabase): Promise<void> {
  await withoutTriggers(db, async (sql) => {
    const insert = async (columns: string, values: string): Promise<void> => {
      await sql.unsafe(`
        INSERT INTO firefly.task (func_name, ${columns}) SELECT 'many', ${values} FROM generate_series(1, ${MANY}) AS n
      `);
    };
    await insert("queue, not_before", "'naps', now() + interval '1 hour'");
    await insert("queue", "'signals'");
    await insert("queue, dependants", "'callers', true");
    await insert("queue, dependants", "'callees', true");
    await insert("queue, dependencies", "'dependants', 1");
    await insert("queue, status, completed", "'ended', 'completed', now()");
    await sql`
      INSERT INTO firefly.waiting (
        id, claim_seq, not_before, priority, queue, func_name, reason, pending, signals, suspended
      )
      SELECT id, 0, not_before, 0, queue, func_name,
        CASE queue WHEN 'naps' THEN 'time' WHEN 'dependants' THEN 'dependencies' ELSE 'suspended' END,
        CASE WHEN queue IN ('callers', 'dependants') THEN 1 END, CASE queue WHEN 'signals' THEN '{s}'::text[] END,
        CASE WHEN queue <> 'dependants' THEN true END
      FROM firefly.task
      WHERE queue IN ('naps', 'signals', 'callers', 'dependants')
    `;
    await sql`
      INSERT INTO firefly.ready (id, claim_seq, not_before, priority, queue, func_name)
      SELECT id, 0, not_before, 0, queue, func_name FROM firefly.task WHERE queue = 'callees'
    `;
    await sql`
      INSERT INTO firefly.dependency (task_id, ordinal, dependency_id, settled, called)
      SELECT id, 0, id + ${MANY}, true, true FROM firefly.task WHERE queue = 'callers'
      UNION ALL
      SELECT id, 0, id - ${MANY}, false, false FROM firefly.task WHERE queue = 'dependants'
    `;
    await sql`
      INSERT INTO firefly.step (task_id, name, kind, status, attempt, began, due, callees)
      SELECT id, 'a', CASE queue WHEN 'naps' THEN 'sleep' WHEN 'signals' THEN 'signal' ELSE 'call' END, 'waiting', 1, now(),
        CASE queue WHEN 'naps' THEN not_before END, CASE queue WHEN 'callers' THEN ARRAY[id + ${MANY}] END
      FROM firefly.task
      WHERE queue IN ('naps', 'signals', 'callers')
    `;
    await sql`
      INSERT INTO firefly.step (task_id, name, status, seq, attempt, began, ended)
      SELECT id, 'before', 'completed', 1, 1, now(), now() FROM firefly.task WHERE queue <> 'default'
    `;
    await sql`INSERT INTO firefly.signal (task_id, name) SELECT id, 'later' FROM firefly.task WHERE queue = 'naps'`;
  });
}
