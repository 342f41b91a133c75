import type postgres from "postgres";

/**
 * Fills the tables with tasks whose handlers were suspended, in four queues: a quarter of them sleeps, a quarter waits for
 * a signal for a week at most, a quarter for one without an end, and a quarter for tasks that it called.
 */
export async function fillSuspended(sql: postgres.Sql, tasks: number): Promise<void> {
  await sql`
    INSERT INTO firefly.task (func_name, queue, created, not_before, started, params)
    SELECT 'app.order', (ARRAY['default', 'mail', 'media', 'reports'])[1 + n % 4], now() - interval '1 day',
      now() + interval '2 days' + interval '1 s' * n, now() - interval '1 day', 'WzFd'
    FROM generate_series(1::bigint, ${tasks}) AS n
  `;
  await sql`
    UPDATE firefly.waiting
    SET suspended = true, signals = CASE WHEN id / 4 % 4 IN (1, 2) THEN ARRAY['approved'] END,
      pending = CASE WHEN id / 4 % 4 = 3 THEN 1 END, reason = CASE WHEN id / 4 % 4 IN (0, 1) THEN 'time' ELSE 'suspended' END
  `;
  await sql`
    INSERT INTO firefly.step (task_id, name, kind, status, attempt, began, due)
    SELECT id, 'wait', CASE WHEN signals IS NOT NULL THEN 'signal' WHEN pending IS NOT NULL THEN 'call' ELSE 'sleep' END,
      'waiting', 1, now() - interval '1 day', CASE WHEN reason = 'time' THEN not_before END
    FROM firefly.waiting
  `;
  await sql`VACUUM ANALYZE`;
}
