-- Firefly: what operators do with tasks and queues.

-- Cancels a task that has not ended, and returns whether it did. A running handler is fenced off at once, and its
-- consumer is asked to abort it. The slots of a limited task are free: consumers are asked to admit others.
CREATE FUNCTION "firefly".cancel(task_id bigint) RETURNS boolean
LANGUAGE plpgsql AS $body$
DECLARE
  limited boolean;
BEGIN
  UPDATE "firefly".task
  SET status = 'cancelled', cancelled = now(), claim_seq = claim_seq + 1
  WHERE id = task_id AND status = 'created'
  RETURNING concurrency_key IS NOT NULL OR rate_key IS NOT NULL INTO limited;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  IF NOT "firefly"._unplace(task_id) OR limited THEN
    PERFORM pg_notify("firefly".control_channel(), '');
  END IF;
  DELETE FROM "firefly".result_waiter WHERE result_waiter.task_id = cancel.task_id;
  IF FOUND THEN
    PERFORM pg_notify("firefly".ended_channel(), '');
  END IF;
  RETURN true;
END
$body$;

-- Schedules a failed or cancelled task again, now and with all of its retries, and returns whether it did: not if a
-- duplicate has its unique key by now, or is about to in a transaction that is still open. The history of its errors
-- stays, and claim_seq grows, so that no earlier attempt can end it, however it came to be failed.
CREATE FUNCTION "firefly".retry(task_id bigint) RETURNS boolean
LANGUAGE plpgsql AS $body$
DECLARE
  task record;
BEGIN
  SELECT func_name, unique_key INTO task
  FROM "firefly".task
  WHERE id = task_id AND status IN ('failed', 'cancelled')
  FOR UPDATE;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  IF task.unique_key IS NOT NULL
    AND "firefly"._try_unique_key(task.func_name, task.unique_key, task_id) IS DISTINCT FROM task_id
  THEN
    RETURN false;
  END IF;
  UPDATE "firefly".task
  SET status = 'created', claim_seq = claim_seq + 1, not_before = now(), retry_attempts = 0, rescues = 0,
    crash_count = 0, failed = NULL, cancelled = NULL, started = NULL, progress = NULL, progress_note = NULL
  WHERE id = task_id;
  PERFORM "firefly"._place(task_id);
  RETURN true;
END
$body$;

-- Stops the claiming of a queue's tasks until it is resumed; returns whether that is new. Running tasks go on, and
-- consumers are asked to release what they have claimed and not begun. It stores when this was, by whom, which is the
-- role unless it is given, and why. Of a queue that is paused already, it replaces the reason if one is given.
CREATE FUNCTION "firefly".pause(queue text, reason text DEFAULT NULL, by text DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql AS $body$
BEGIN
  INSERT INTO "firefly".queue (name, paused, paused_since, paused_by, paused_reason)
  VALUES (pause.queue, true, now(), COALESCE(pause.by, session_user), pause.reason)
  ON CONFLICT (name) DO UPDATE
  SET paused = true, paused_since = excluded.paused_since, paused_by = excluded.paused_by,
    paused_reason = excluded.paused_reason
  WHERE NOT "queue".paused;
  IF FOUND THEN
    PERFORM pg_notify("firefly".control_channel(), '');
    RETURN true;
  END IF;
  UPDATE "firefly".queue SET paused_reason = pause.reason WHERE name = pause.queue AND pause.reason IS NOT NULL;
  RETURN false;
END
$body$;

-- Resumes a paused queue, and notifies; returns whether it was paused.
CREATE FUNCTION "firefly".resume(queue text) RETURNS boolean
LANGUAGE plpgsql AS $body$
BEGIN
  UPDATE "firefly".queue
  SET paused = false, paused_since = NULL, paused_by = NULL, paused_reason = NULL
  WHERE name = resume.queue AND paused;
  IF FOUND THEN
    PERFORM pg_notify("firefly".channel(resume.queue), '');
    PERFORM pg_notify("firefly".control_channel(), '');
    RETURN true;
  END IF;
  RETURN false;
END
$body$;
