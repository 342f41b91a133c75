-- Firefly: the views.

CREATE VIEW "firefly"._ready_task AS
SELECT task.id, run.claim_seq, run.not_before, run.priority, run.quarantined, run.queue, run.func_name
FROM "firefly".ready AS run
CROSS JOIN generate_series(run.id, run.id + run.length - 1) AS task (id);
COMMENT ON VIEW "firefly"._ready_task IS
  'A task of a run of ready: a row for each.';

-- A claim holds runs, as `ready` does: to find a task by its id, look for the run that reaches over it.
CREATE VIEW "firefly"._claimed_run AS
SELECT batch.id AS batch_id, batch.consumer_id, batch.claimed, batch.quarantined, batch.attempted_by,
  run.id, run.length, run.claim_seq
FROM "firefly".claim_batch AS batch
CROSS JOIN unnest(batch.ids, batch.lengths, batch.claim_seqs) AS run (id, length, claim_seq);
COMMENT ON VIEW "firefly"._claimed_run IS
  'A run of tasks that a consumer took: length tasks from id on. One whose record has another claim_seq, or has ended, '
  'is not held any more, or never was.';

CREATE VIEW "firefly"._claimed_task AS
SELECT run.batch_id, run.consumer_id, run.claimed, run.quarantined, run.attempted_by, claim.id, run.claim_seq
FROM "firefly"._claimed_run AS run
CROSS JOIN generate_series(run.id, run.id + run.length - 1) AS claim (id);
COMMENT ON VIEW "firefly"._claimed_task IS
  'A task of a run of _claimed_run: a row for each.';

CREATE VIEW "firefly".task_record AS
SELECT task.id, task.func_name::text, task.queue::text,
  CASE WHEN task.status = 'created' AND leased.id IS NOT NULL THEN 'running' ELSE task.status END AS status,
  -- One subquery after the other, each by an index, and none where the task has ended, or where
  -- the column is not read. No function, as the role viewer may call none.
  CASE
    WHEN task.status <> 'created' THEN task.status
    WHEN leased.id IS NOT NULL THEN 'running'
    ELSE COALESCE(
      (
        -- The run that begins last before the task reaches over it, or none does.
        SELECT CASE WHEN ready.id + ready.length > task.id THEN 'ready' END
        FROM "firefly".ready
        WHERE ready.queue = task.queue AND ready.priority = task.priority AND ready.not_before = task.not_before
          AND ready.id <= task.id AND ready.claim_seq = task.claim_seq
        ORDER BY ready.id DESC
        LIMIT 1
      ),
      (
        -- A task whose time has come is not delayed any more, although a consumer has yet to move it.
        SELECT CASE
          WHEN waiting.reason = 'unknown' THEN 'unknown'
          WHEN waiting.reason = 'dependencies' THEN 'dependent'
          WHEN waiting.reason = 'suspended' THEN 'suspended'
          WHEN waiting.reason <> 'time' THEN 'limited'
          WHEN waiting.not_before > statement_timestamp() AND waiting.suspended THEN 'suspended'
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
  COALESCE(task.retry_attempts, 0) + COALESCE(task.rescues, 0) + 1 AS attempt,
  COALESCE(task.retry_attempts, 0) AS retry_attempts, task.max_retries::integer, task.retry_delay::double precision,
  task.backoff, task.timeout::double precision, COALESCE(task.rescues, 0) AS rescues,
  COALESCE(task.snoozes, 0) AS snoozes, task.progress, task.progress_note,
  COALESCE(task.errors, '[]')::jsonb AS errors, COALESCE(task.tags, '{}') AS tags, task.unique_key,
  task.concurrency_key, task.rate_key,
  CASE
    WHEN octet_length(task.traceparent) = 25
      THEN '00-' || regexp_replace(encode(task.traceparent, 'hex'), '^(.{32})(.{16})', '\1-\2-')
  END AS traceparent, COALESCE(task.dependencies, 0) AS dependencies,
  task.forked_from,
  CASE
    WHEN by.id IS NOT NULL THEN jsonb_build_object('host', by.host, 'pid', by.pid, 'release', by.release)
  END AS attempted_by
FROM "firefly".task
LEFT JOIN "firefly"._claimed_task AS leased ON leased.id = task.id AND leased.claim_seq = task.claim_seq
LEFT JOIN "firefly".consumer_process AS by ON by.id = COALESCE(leased.attempted_by, task.attempted_by);
COMMENT ON VIEW "firefly".task_record IS
  'A task as users see it: with running as a status, and the number of its current or next attempt. state tells apart '
  'what created is one word for: ready, delayed, retrying, limited, dependent, suspended, unknown or, after an edit '
  'by hand, unplaced. '
  'attempted_by is the host, process id and release of the consumer that runs it, else of the last one that ran it.';

CREATE VIEW "firefly".task_json AS
SELECT id, func_name, queue, status, state, priority, created, not_before, started, completed, failed, cancelled,
  "firefly".try_decode(params) AS params, "firefly".try_decode(returned) AS returned,
  attempt, retry_attempts, max_retries, retry_delay, backoff, timeout, rescues, snoozes, progress,
  progress_note, errors, tags, unique_key, concurrency_key, rate_key, traceparent, dependencies,
  forked_from, attempted_by
FROM "firefly".task_record;
COMMENT ON VIEW "firefly".task_json IS
  'task_record with params and returned as jsonb, NULL where they cannot be decoded.';

CREATE VIEW "firefly".task_overview AS
SELECT id, func_name, queue, status, state, priority, created, not_before, started, completed, failed, cancelled,
  attempt, retry_attempts, max_retries, retry_delay, timeout, rescues, snoozes, progress,
  errors -> -1 ->> 'name' AS error, tags, dependencies, forked_from, attempted_by
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
    WHEN task.status = 'created' AND EXISTS (
      SELECT FROM "firefly"._claimed_run AS run
      WHERE task.id >= run.id AND task.id < run.id + run.length AND run.claim_seq = task.claim_seq
    ) THEN 'running'
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
SELECT consumer.id, consumer.consumer_name AS name, consumer.host, consumer.pid, consumer.release, consumer.version,
  CASE WHEN consumer.lease_until > now() THEN 'live' ELSE 'crashed' END AS state,
  consumer.queues, consumer.tasks, consumer.concurrency, consumer.wanted_concurrency, consumer.memory,
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
    SELECT task.id, task.func_name, held.claimed AS since, row_number() OVER (ORDER BY held.claimed, task.id) AS rank
    FROM "firefly"._claimed_task AS held
    JOIN "firefly".task ON task.id = held.id AND task.claim_seq = held.claim_seq AND task.status = 'created'
    WHERE held.consumer_id = consumer.id
  ) AS claim
) AS held;
COMMENT ON VIEW "firefly".consumer_record IS
  'A consumer and what it runs: crashed if its lease has expired, until another consumer removes it; running_tasks has '
  'the 20 that it has held longest.';
