-- Firefly: what consumers did by the minute, and what failed.
--
-- `task` cannot answer either: an index that mentions what completion sets would keep it from being HOT. Consumers count
-- in memory and write every few seconds, so that a task costs no statement here, and a crash loses a few seconds of
-- counts. Only a failed task has a row of its own.

-- A histogram has four buckets for each factor of ten. The first is for less than 1 ms, the second ends at 10^0.25 ms,
-- the fifth at 10 ms; the array ends with its last bucket that is not 0.
CREATE TABLE "firefly".queue_minute (
  minute timestamptz NOT NULL,
  queue text NOT NULL,
  -- Attempts that ended in this minute: failed is for good, snoozed used up no retry.
  completed integer NOT NULL DEFAULT 0,
  failed integer NOT NULL DEFAULT 0,
  retried integer NOT NULL DEFAULT 0,
  snoozed integer NOT NULL DEFAULT 0,
  -- From when the tasks were due to the starts of their attempts.
  wait integer[] NOT NULL DEFAULT '{}',
  -- As one consumer found them in this minute; NULL if none did. Of tasks due, 100,000 runs are counted at most. places
  -- are the tasks that the live consumers of the queue can run at a time; oldest is for how many seconds one has been due.
  due integer,
  waiting integer,
  running integer,
  places integer,
  oldest real,
  -- Of those waiting, how many wait for other tasks (`dependencies`), and how many are suspended: until a `signal` comes,
  -- until a `call` has ended, or for a time alone (`sleep`). NULL for none of either.
  waits jsonb,
  PRIMARY KEY (minute, queue)
) WITH (fillfactor = 70);
COMMENT ON TABLE "firefly".queue_minute IS
  'What a queue did in a minute, and what was in it. Added to by each consumer every few seconds, and by one of them a '
  'minute for what was in it; deleted by consumers after 30 days.';

CREATE TABLE "firefly".task_minute (
  minute timestamptz NOT NULL,
  queue text NOT NULL,
  func_name text NOT NULL,
  completed integer NOT NULL DEFAULT 0,
  failed integer NOT NULL DEFAULT 0,
  retried integer NOT NULL DEFAULT 0,
  -- How long attempts ran.
  run integer[] NOT NULL DEFAULT '{}',
  PRIMARY KEY (minute, queue, func_name)
) WITH (fillfactor = 70);
COMMENT ON TABLE "firefly".task_minute IS
  'What the tasks of a name did in a minute, in a queue. Added to by each consumer every few seconds; deleted by '
  'consumers after 48 hours.';

CREATE TABLE "firefly".failed_task (
  task_id bigint PRIMARY KEY,
  failed timestamptz NOT NULL,
  queue text NOT NULL,
  func_name text NOT NULL,
  fingerprint bigint NOT NULL
);
CREATE INDEX failed_task_name ON "firefly".failed_task (func_name, task_id);
CREATE INDEX failed_task_fingerprint ON "firefly".failed_task (fingerprint, task_id);
CREATE INDEX failed_task_failed ON "firefly".failed_task (failed);
COMMENT ON TABLE "firefly".failed_task IS
  'A task that failed, for lists and counts of them. Inserted by every statement that sets the status failed; deleted '
  'when the task is retried, edited, deleted or pruned. A row whose task has not failed is stale: maintenance deletes it.';

CREATE TABLE "firefly".error_group (
  fingerprint bigint PRIMARY KEY,
  queue text NOT NULL,
  func_name text NOT NULL,
  name text NOT NULL,
  -- That of the last one, redacted as in task.errors, and cut off.
  message text NOT NULL,
  first timestamptz NOT NULL,
  last timestamptz NOT NULL,
  -- How many attempts ended with it, those that were retried included.
  attempts bigint NOT NULL,
  last_task_id bigint NOT NULL
) WITH (fillfactor = 70);
COMMENT ON TABLE "firefly".error_group IS
  'Errors of a task that differ in numbers and quoted words alone: see _fingerprint(). Added to by each consumer every '
  'few seconds; deleted by consumers 48 hours after the last one, once no failed task has it.';

CREATE VIEW "firefly".error_overview AS
SELECT fingerprint, queue, func_name, name, first, last, attempts, last_task_id
FROM "firefly".error_group;
COMMENT ON VIEW "firefly".error_overview IS
  'error_group without the message, which may have data of arguments in it, for the role viewer.';

-- Returns what the errors of a task have in common that differ in what they were about: quoted words, UUIDs, and words
-- with a digit or of eight and more hexadecimal digits. The beginning of the message is enough.
CREATE FUNCTION "firefly"._fingerprint(func_name text, name text, message text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN hashtextextended(
  func_name || E'\n' || COALESCE(name, '') || E'\n' || regexp_replace(
    left(COALESCE(message, ''), 300),
    '"[^"]*"|`[^`]*`|(?<!\w)''[^'']*''|[[:xdigit:]]{8}(-[[:xdigit:]]{4}){3}-[[:xdigit:]]{12}|\w*\d\w*([.,:-]\w*\d\w*)*'
      || '|\m[[:xdigit:]]{8,}\M',
    '?', 'g'
  ),
  0
);

-- Adds a failed task to failed_task.
CREATE FUNCTION "firefly"._note_failure(it "firefly".task) RETURNS void
LANGUAGE sql AS $body$
  INSERT INTO "firefly".failed_task (task_id, failed, queue, func_name, fingerprint)
  VALUES (
    it.id, COALESCE(it.failed, now()), it.queue, it.func_name,
    "firefly"._fingerprint(it.func_name, it.errors -> -1 ->> 'name', it.errors -> -1 ->> 'message')
  )
  ON CONFLICT (task_id) DO UPDATE
  SET failed = excluded.failed, queue = excluded.queue, func_name = excluded.func_name,
    fingerprint = excluded.fingerprint
$body$;
