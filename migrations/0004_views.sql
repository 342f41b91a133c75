-- Firefly: the views.

CREATE VIEW "firefly".task_record AS
SELECT task.id, task.func_name, task.queue,
  CASE WHEN task.status = 'created' AND leased.id IS NOT NULL THEN 'running' ELSE task.status END AS status,
  -- One subquery after the other, each by an index, and none where the task has ended, or where
  -- the column is not read. No function, as the role viewer may call none.
  CASE
    WHEN task.status <> 'created' THEN task.status
    WHEN leased.id IS NOT NULL THEN 'running'
    ELSE COALESCE(
      (
        SELECT 'ready'
        FROM "firefly".ready
        WHERE ready.queue = task.queue AND ready.priority = task.priority AND ready.not_before = task.not_before
          AND ready.id = task.id AND ready.claim_seq = task.claim_seq
        LIMIT 1
      ),
      (
        -- A task whose time has come is not delayed any more, although a consumer has yet to move it.
        SELECT CASE
          WHEN waiting.reason = 'unknown' THEN 'unknown'
          WHEN waiting.reason <> 'time' THEN 'limited'
          WHEN waiting.not_before > statement_timestamp() AND task.started IS NULL THEN 'delayed'
          WHEN waiting.not_before > statement_timestamp() THEN 'retrying'
          WHEN waiting.concurrency_key IS NULL AND waiting.rate_key IS NULL THEN 'ready'
          ELSE 'limited'
        END
        FROM "firefly".waiting
        WHERE waiting.id = task.id AND waiting.claim_seq = task.claim_seq
        LIMIT 1
      ),
      'unplaced'
    )
  END AS state,
  task.priority, task.created, task.not_before,
  CASE WHEN task.status = 'created' THEN COALESCE(leased.claimed, task.started) ELSE task.started END AS started,
  task.completed, task.failed, task.cancelled, task.params, task.returned,
  task.retry_attempts + task.rescues + 1 AS attempt,
  task.retry_attempts, task.max_retries, task.retry_delay, task.backoff, task.timeout, task.rescues, task.snoozes,
  task.progress, task.progress_note, task.errors, task.tags, task.unique_key, task.concurrency_key, task.rate_key,
  CASE
    WHEN by.id IS NOT NULL THEN jsonb_build_object('host', by.host, 'pid', by.pid, 'release', by.release)
  END AS attempted_by
FROM "firefly".task
LEFT JOIN (
  SELECT u.id, u.claim_seq, claim_batch.claimed, claim_batch.attempted_by
  FROM "firefly".claim_batch, unnest(claim_batch.ids, claim_batch.claim_seqs) AS u (id, claim_seq)
) AS leased ON leased.id = task.id AND leased.claim_seq = task.claim_seq
LEFT JOIN "firefly".consumer_process AS by ON by.id = COALESCE(leased.attempted_by, task.attempted_by);
COMMENT ON VIEW "firefly".task_record IS
  'A task as users see it: with running as a status, and the number of its current or next attempt. state tells apart '
  'what created is one word for: ready, delayed, retrying, limited, unknown or, after an edit by hand, unplaced. '
  'attempted_by is the host, process id and release of the consumer that runs it, else of the last one that ran it.';

CREATE VIEW "firefly".task_json AS
SELECT id, func_name, queue, status, state, priority, created, not_before, started, completed, failed, cancelled,
  "firefly".try_decode(params) AS params, "firefly".try_decode(returned) AS returned,
  attempt, retry_attempts, max_retries, retry_delay, backoff, timeout, rescues, snoozes, progress,
  progress_note, errors, tags, unique_key, concurrency_key, rate_key, attempted_by
FROM "firefly".task_record;
COMMENT ON VIEW "firefly".task_json IS
  'task_record with params and returned as jsonb, NULL where they cannot be decoded.';

CREATE VIEW "firefly".task_overview AS
SELECT id, func_name, queue, status, state, priority, created, not_before, started, completed, failed, cancelled,
  attempt, retry_attempts, max_retries, retry_delay, timeout, rescues, snoozes, progress,
  errors -> -1 ->> 'name' AS error, tags, attempted_by
FROM "firefly".task_record;
COMMENT ON VIEW "firefly".task_overview IS
  'task_record without anything that arguments, handlers or errors may have left in it, for the role viewer: '
  'no params and results, no keys, of the last error only its name, and no note of the progress.';

CREATE VIEW "firefly".cron_record AS
SELECT cron.name, cron.expression, cron.timezone, cron.missed, cron.task ->> 'queue' AS queue,
  CASE
    WHEN cron.removed IS NOT NULL
      OR NOT EXISTS (SELECT FROM "firefly".consumer WHERE lease_until > now() AND cron.name = ANY (consumer.tasks))
      THEN 'orphaned'
    WHEN cron.paused THEN 'paused'
    ELSE 'active'
  END AS state,
  cron.paused_since, cron.since, cron.defined, last.slot AS last_slot, last.fired AS last_fired, last.task_id AS last_task_id,
  CASE
    WHEN task.status = 'created' AND EXISTS (SELECT FROM "firefly".claim_batch WHERE task.id = ANY (claim_batch.ids))
      THEN 'running'
    ELSE task.status
  END AS last_status
FROM "firefly".cron
LEFT JOIN LATERAL (
  SELECT slot, fired, task_id FROM "firefly".cron_slot WHERE cron_slot.cron = cron.name ORDER BY slot DESC LIMIT 1
) AS last ON true
LEFT JOIN "firefly".task ON task.id = last.task_id;
COMMENT ON VIEW "firefly".cron_record IS
  'A cron and its state: orphaned (no live consumer knows the task, or its cron was removed from the code), paused or '
  'active. The next slot is missing, as the database does not read cron expressions.';

CREATE VIEW "firefly".consumer_record AS
SELECT consumer.id, consumer.host, consumer.pid, consumer.release, consumer.version,
  CASE WHEN consumer.lease_until > now() THEN 'live' ELSE 'crashed' END AS state,
  consumer.queues, consumer.tasks, consumer.concurrency, consumer.memory,
  consumer.started, consumer.seen, consumer.lease_until,
  held.running, held.running_since, held.running_tasks
FROM "firefly".consumer
CROSS JOIN LATERAL (
  SELECT count(*)::integer AS running, min(claim.since) AS running_since,
    COALESCE(
      jsonb_agg(
        jsonb_build_object('id', claim.id, 'func_name', claim.func_name, 'since', claim.since) ORDER BY claim.rank
      ) FILTER (WHERE claim.rank <= 20),
      '[]'
    ) AS running_tasks
  FROM (
    SELECT task.id, task.func_name, claim_batch.claimed AS since,
      row_number() OVER (ORDER BY claim_batch.claimed, task.id) AS rank
    FROM "firefly".claim_batch
    CROSS JOIN unnest(claim_batch.ids, claim_batch.claim_seqs) AS u (id, claim_seq)
    JOIN "firefly".task ON task.id = u.id AND task.claim_seq = u.claim_seq AND task.status = 'created'
    WHERE claim_batch.consumer_id = consumer.id
  ) AS claim
) AS held;
COMMENT ON VIEW "firefly".consumer_record IS
  'A consumer and what it runs: crashed if its lease has expired, until another consumer removes it; running_tasks has '
  'the 20 that it has held longest.';
