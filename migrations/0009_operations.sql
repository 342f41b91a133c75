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
-- consumers are asked to release what they have claimed and not begun.
CREATE FUNCTION "firefly".pause(queue text) RETURNS boolean
LANGUAGE plpgsql AS $body$
BEGIN
  INSERT INTO "firefly".queue (name, paused) VALUES (pause.queue, true)
  ON CONFLICT (name) DO UPDATE SET paused = true WHERE NOT "queue".paused;
  IF FOUND THEN
    PERFORM pg_notify("firefly".control_channel(), '');
    RETURN true;
  END IF;
  RETURN false;
END
$body$;

-- Resumes a paused queue, and notifies; returns whether it was paused.
CREATE FUNCTION "firefly".resume(queue text) RETURNS boolean
LANGUAGE plpgsql AS $body$
BEGIN
  UPDATE "firefly".queue SET paused = false WHERE name = resume.queue AND paused;
  IF FOUND THEN
    PERFORM pg_notify("firefly".channel(resume.queue), '');
    PERFORM pg_notify("firefly".control_channel(), '');
    RETURN true;
  END IF;
  RETURN false;
END
$body$;

-- Deletes ended records one by one, and returns those that cannot be deleted, with the reason: a foreign key of the
-- user's refers to them, or a trigger of the user's raises. It waits for no lock of the user's tables for long.
CREATE FUNCTION "firefly"._delete_each(ids bigint[])
RETURNS TABLE (id bigint, code text, message text)
LANGUAGE plpgsql SET lock_timeout = '10ms' AS $body$
BEGIN
  -- A constraint that is deferred would fail at the end, for all of them.
  SET CONSTRAINTS ALL IMMEDIATE;
  FOREACH id IN ARRAY ids LOOP
    BEGIN
      DELETE FROM "firefly".task WHERE task.id = _delete_each.id;
    EXCEPTION WHEN OTHERS THEN
      code := SQLSTATE;
      message := SQLERRM;
      RETURN NEXT;
    END;
  END LOOP;
END
$body$;
