import type postgres from "postgres";

/** How many tasks of each kind a database of `tasks` has: 70% have ended, 2.8% are due, and all but 60 of the rest wait. */
export function sharesOf(tasks: number): { ended: number; due: number; running: number; waiting: number } {
  const [ended, due, running] = [Math.round(tasks * 0.7), Math.round(tasks * 0.028), Math.min(60, tasks)];
  return { ended, due, running, waiting: tasks - ended - due - running };
}

/**
 * Fills the tables of a busy service, as it looks after a week: six consumers, forty names of tasks in five queues, of
 * which no consumer serves the last, and statistics of every minute that is kept. Ids are in the order of time.
 */
export async function fillTables(sql: postgres.Sql, tasks: number): Promise<void> {
  const { ended, due, running, waiting } = sharesOf(tasks);
  await insertConsumers(sql);
  await insertEnded(sql, ended);
  await insertWaiting(sql, waiting);
  await insertDue(sql, due + running);
  await claimSome(sql, running);
  await insertCrons(sql);
  await insertStatistics(sql);
  await sql`VACUUM ANALYZE`;
}

async function insertConsumers(sql: postgres.Sql): Promise<void> {
  await sql`
    INSERT INTO firefly.consumer (
      id, host, pid, version, release, queues, tasks, concurrency, started, lease_until, memory
    )
    SELECT gen_random_uuid(), 'web-' || n, 4000 + n, '0.1.0', 'r' || n / 4, '{default,mail,media,reports}',
      ARRAY(SELECT 'app.task_' || k FROM generate_series(0, 39) AS k), 20, now() - interval '6 hours',
      now() + interval '10 days', 120e6
    FROM generate_series(1, 6) AS n
  `;
  await sql`
    INSERT INTO firefly.definition (func_name, rate_limit, rate_per)
    SELECT 'app.task_' || k, CASE WHEN k = 3 THEN 100 END, CASE WHEN k = 3 THEN 60 END FROM generate_series(0, 39) AS k
  `;
  await sql`
    INSERT INTO firefly.queue (name, paused, paused_since, paused_by)
    VALUES ('reports', true, now() - interval '3 hours', 'ana@shop.example')
  `;
}

/** Records of a week: one in 121 failed, one in 1,009 was cancelled. */
async function insertEnded(sql: postgres.Sql, count: number): Promise<void> {
  await sql`
    INSERT INTO firefly.task (
      func_name, queue, status, created, not_before, started, completed, failed, cancelled, params, returned, errors, tags,
      retry_attempts
    )
    SELECT 'app.task_' || n * 7919 % 40, (ARRAY['default', 'mail', 'media', 'reports', 'webhooks'])[1 + n % 5],
      status, at, at, at + interval '0.3 s' * (n % 7),
      CASE WHEN status = 'completed' THEN at + interval '1 s' * (1 + n % 9) END,
      CASE WHEN status = 'failed' THEN at + interval '1 s' * (1 + n % 9) END,
      CASE WHEN status = 'cancelled' THEN at + interval '1 s' END,
      encode(convert_to(json_build_array(n, 'user-' || n % 5000, json_build_object('order', n, 'plan', 'pro'))::text, 'UTF8'), 'base64'),
      CASE WHEN status = 'completed' THEN encode(convert_to(n::text, 'UTF8'), 'base64') END,
      CASE WHEN status = 'failed' THEN jsonb_build_array(jsonb_build_object(
        'name', (ARRAY['TypeError', 'TimeoutError', 'HttpError', 'DatabaseError'])[1 + n % 4],
        'message', 'connect ECONNREFUSED 10.0.3.17:587 for user-' || n % 5000, 'attempt', 1, 'at', at + interval '2 s',
        'stack', repeat('    at send (file:///app/tasks/mail.ts:41:13)' || chr(10), 12)
      )) END,
      CASE WHEN n % 10 = 0 THEN '{nightly}'::text[] END, CASE WHEN status = 'failed' THEN 3 END
    FROM (
      SELECT n, now() - interval '7 days' * (${count} - n) / ${count}::double precision AS at,
        CASE WHEN n % 121 = 0 THEN 'failed' WHEN n % 1009 = 0 THEN 'cancelled' ELSE 'completed' END AS status
      FROM generate_series(1::bigint, ${count}) AS n
    ) AS one
    ORDER BY n
  `;
  await sql`
    INSERT INTO firefly.error_group (fingerprint, queue, func_name, name, message, first, last, attempts, last_task_id)
    SELECT fingerprint, min(failed.queue), min(failed.func_name), min(errors -> 0 ->> 'name'),
      'connect ECONNREFUSED #.#.#.#:# for user-#', min(failed.failed), max(failed.failed), count(*) * 4, max(task_id)
    FROM firefly.failed_task AS failed
    JOIN firefly.task ON task.id = failed.task_id
    GROUP BY fingerprint
  `;
}

/** Most of them wait for their time, some to be tried again; the others for a limit, and a few for a consumer. */
async function insertWaiting(sql: postgres.Sql, count: number): Promise<void> {
  await sql`
    INSERT INTO firefly.task (func_name, queue, created, not_before, params, retry_attempts, errors, started, rate_key)
    SELECT CASE WHEN n % 12 = 0 THEN 'app.task_3' ELSE 'app.task_' || n % 40 END,
      (ARRAY['default', 'mail', 'media', 'reports'])[1 + n % 4], now() - interval '20 minutes',
      CASE WHEN n % 12 = 0 THEN now() - interval '10 minutes' ELSE now() + interval '1 s' * n END, 'WzFd',
      CASE WHEN n % 12 = 1 THEN 1 END,
      CASE WHEN n % 12 = 1 THEN jsonb_build_array(jsonb_build_object('name', 'HttpError', 'message', '503', 'attempt', 1, 'at', now())) END,
      CASE WHEN n % 12 = 1 THEN now() - interval '10 minutes' END, CASE WHEN n % 12 = 0 THEN 'smtp-relay' END
    FROM generate_series(1::bigint, ${count}) AS n
  `;
  await sql`
    UPDATE firefly.waiting SET reason = 'unknown', func_name = 'app.tsak_3', rate_key = NULL, admit_at = NULL
    WHERE id IN (SELECT id FROM firefly.waiting WHERE reason = 'rate' ORDER BY id LIMIT 40)
  `;
}

async function insertDue(sql: postgres.Sql, count: number): Promise<void> {
  await sql`
    INSERT INTO firefly.task (func_name, queue, created, not_before, params, priority)
    SELECT 'app.task_' || n % 40, (ARRAY['default', 'mail', 'media', 'reports', 'webhooks'])[1 + n % 5], at, at, 'WzFd', n % 3
    FROM (
      SELECT n, now() - interval '10 minutes' * (${count} - n) / ${count}::double precision AS at
      FROM generate_series(1::bigint, ${count}) AS n
    ) AS one
    ORDER BY n
  `;
}

/** Claims the oldest ones for the consumers, ten at a time. */
async function claimSome(sql: postgres.Sql, count: number): Promise<void> {
  await sql`
    WITH taken AS (
      DELETE FROM firefly.ready
      WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM firefly.ready WHERE queue <> 'reports' AND queue <> 'webhooks' AND length = 1 ORDER BY id LIMIT ${count}
      ))
      RETURNING id, length, claim_seq
    )
    INSERT INTO firefly.claim_batch (id, consumer_id, claimed, ids, lengths, claim_seqs)
    SELECT gen_random_uuid(), (SELECT id FROM firefly.consumer ORDER BY host OFFSET nth LIMIT 1), now() - interval '20 s',
      array_agg(id), array_agg(length), array_agg(claim_seq)
    FROM (SELECT *, (row_number() OVER (ORDER BY id) - 1) / 10 AS nth FROM taken) AS run
    GROUP BY nth
  `;
}

/** Twenty of them, each with the last hundred slots. */
async function insertCrons(sql: postgres.Sql): Promise<void> {
  await sql`
    INSERT INTO firefly.cron (name, names, expression, timezone, missed, task, definition, since)
    SELECT 'app.task_' || k, ARRAY['app.task_' || k], '*/15 * * * *', 'UTC', 'skip',
      jsonb_build_object('func_name', 'app.task_' || k, 'queue', 'default', 'params', 'W10='), '*/15', now() - interval '2 days'
    FROM generate_series(0, 19) AS k
  `;
  await sql`
    INSERT INTO firefly.cron_slot (cron, slot, fired, task_id)
    SELECT 'app.task_' || k, slot, slot, (SELECT min(id) FROM firefly.task) + k * 100 + nth
    FROM generate_series(0, 19) AS k, generate_series(1, 100) AS nth, LATERAL (
      SELECT date_bin('15 minutes', now(), '2000-01-01') - nth * interval '15 minutes' AS slot
    ) AS at
  `;
}

/** Every queue and name is active in every minute: as many rows as there can be. */
async function insertStatistics(sql: postgres.Sql): Promise<void> {
  const histogram = (share: string) =>
    sql.unsafe(`ARRAY(SELECT ((b * 7 + ago) % 20 * ${share})::integer FROM generate_series(1, 24) AS b)`);
  await sql`
    INSERT INTO firefly.queue_minute (
      minute, queue, completed, failed, retried, snoozed, wait, due, waiting, running, places, oldest
    )
    SELECT date_trunc('minute', now()) - ago * interval '1 minute', queue, 90 + ago % 17, ago % 3, ago % 5, 0,
      ${histogram("1")}, 5600 + ago % 100, 68000, 12, CASE queue WHEN 'webhooks' THEN 0 ELSE 120 END, 600
    FROM generate_series(0, 30 * 1440 - 1) AS ago, unnest(ARRAY['default', 'mail', 'media', 'reports', 'webhooks']) AS queue
    ORDER BY 1, 2
  `;
  await sql`
    INSERT INTO firefly.task_minute (minute, queue, func_name, completed, failed, retried, run)
    SELECT date_trunc('minute', now()) - ago * interval '1 minute',
      (ARRAY['default', 'mail', 'media', 'reports', 'webhooks'])[1 + k % 5], 'app.task_' || k, 11 + ago % 3,
      (ago + k) % 31 / 30, (ago + k) % 17 / 16, ${histogram("0.125")}
    FROM generate_series(0, 2 * 1440 - 1) AS ago, generate_series(0, 39) AS k
    ORDER BY 1, 2, 3
  `;
}
