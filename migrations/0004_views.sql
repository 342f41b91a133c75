-- Firefly: the views.

CREATE VIEW "firefly".task_record AS
SELECT task.id, task.func_name, task.queue,
  CASE WHEN task.status = 'created' AND leased.id IS NOT NULL THEN 'running' ELSE task.status END AS status,
  task.priority, task.created, task.not_before,
  CASE WHEN task.status = 'created' THEN COALESCE(leased.claimed, task.started) ELSE task.started END AS started,
  task.completed, task.failed, task.cancelled, task.params, task.returned,
  task.retry_attempts + task.rescues + 1 AS attempt,
  task.retry_attempts, task.max_retries, task.retry_delay, task.backoff, task.timeout, task.rescues, task.snoozes,
  task.progress, task.progress_note, task.errors, task.tags, task.unique_key, task.concurrency_key, task.rate_key
FROM "firefly".task
LEFT JOIN (
  SELECT u.id, u.claim_seq, claim_batch.claimed
  FROM "firefly".claim_batch, unnest(claim_batch.ids, claim_batch.claim_seqs) AS u (id, claim_seq)
) AS leased ON leased.id = task.id AND leased.claim_seq = task.claim_seq;
COMMENT ON VIEW "firefly".task_record IS
  'A task as users see it: with running as a status, and the number of its current or next attempt.';

CREATE VIEW "firefly".task_json AS
SELECT id, func_name, queue, status, priority, created, not_before, started, completed, failed, cancelled,
  "firefly".try_decode(params) AS params, "firefly".try_decode(returned) AS returned,
  attempt, retry_attempts, max_retries, retry_delay, backoff, timeout, rescues, snoozes, progress,
  progress_note, errors, tags, unique_key, concurrency_key, rate_key
FROM "firefly".task_record;
COMMENT ON VIEW "firefly".task_json IS
  'task_record with params and returned as jsonb, NULL where they cannot be decoded.';

CREATE VIEW "firefly".task_overview AS
SELECT id, func_name, queue, status, priority, created, not_before, started, completed, failed, cancelled,
  attempt, retry_attempts, max_retries, retry_delay, timeout, rescues, snoozes, progress,
  errors -> -1 ->> 'name' AS error, tags
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
