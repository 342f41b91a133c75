-- Firefly: what operators do with tasks and queues.

-- Cancels a task that has not ended, and returns whether it did. A running handler is fenced off at once, and its
-- consumer is asked to abort it. The slots of a limited task are free: consumers are asked to admit others, and to
-- cancel the tasks that depend on it.
CREATE FUNCTION "firefly".cancel(task_id bigint) RETURNS boolean
LANGUAGE plpgsql AS $body$
DECLARE
  it record;
  was_placed boolean;
BEGIN
  UPDATE "firefly".task
  SET status = 'cancelled', cancelled = now(), claim_seq = claim_seq + 1
  WHERE id = task_id AND status = 'created'
  RETURNING queue, priority, not_before, claim_seq,
    concurrency_key IS NOT NULL OR rate_key IS NOT NULL OR dependants IS NOT NULL AS matters
  INTO it;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  was_placed := "firefly"._unplace(task_id, it.queue, it.priority, it.not_before);
  IF NOT was_placed THEN
    -- It ran: only its claim knows since when, and where.
    UPDATE "firefly".task
    SET started = run.claimed, attempted_by = run.attempted_by
    FROM "firefly"._claimed_run AS run
    WHERE task.id = task_id AND task_id >= run.id AND task_id < run.id + run.length
      AND run.claim_seq = it.claim_seq - 1;
  END IF;
  IF NOT was_placed OR it.matters THEN
    PERFORM pg_notify("firefly".control_channel(), '');
  END IF;
  DELETE FROM "firefly".result_waiter WHERE result_waiter.task_id = cancel.task_id;
  IF FOUND THEN
    PERFORM pg_notify("firefly".ended_channel(), '');
  END IF;
  RETURN true;
END
$body$;

-- Schedules a failed or cancelled task again, now and with all of its retries. Returns `done`, or what keeps it from that:
-- it is missing, its status if it is another one, `dependencies` if a task that it depends on has not completed and will
-- not, `compensated` if it has undone its steps, or `duplicate` if a duplicate has its unique key by now, or is about to in
-- a transaction that is still open. The history of its errors stays, and claim_seq grows, so that no earlier attempt can end it, however it came to be failed.
CREATE FUNCTION "firefly"._retry_record(task_id bigint) RETURNS text
LANGUAGE plpgsql AS $body$
DECLARE
  it record;
BEGIN
  SELECT status, func_name, unique_key, dependencies, dependants, compensates, false AS undoes INTO it
  FROM "firefly".task WHERE id = task_id FOR UPDATE;
  IF NOT FOUND THEN
    RETURN 'missing';
  ELSIF it.status NOT IN ('failed', 'cancelled') THEN
    RETURN it.status;
  ELSIF it.dependencies IS NOT NULL AND NOT "firefly"._may_depend_again(task_id) THEN
    RETURN 'dependencies';
  ELSIF it.compensates AND NOT "firefly"._may_compensate_again(task_id) THEN
    RETURN 'compensated';
  ELSIF it.unique_key IS NOT NULL
    AND "firefly"._try_unique_key(it.func_name, it.unique_key, task_id) IS DISTINCT FROM task_id
  THEN
    RETURN 'duplicate';
  END IF;
  UPDATE "firefly".task
  SET status = 'created', claim_seq = claim_seq + 1, not_before = now(), retry_attempts = NULL, rescues = NULL,
    crash_count = NULL, failed = NULL, cancelled = NULL, started = NULL, attempted_by = NULL, progress = NULL, progress_note = NULL
  WHERE id = task_id;
  DELETE FROM "firefly".failed_task WHERE failed_task.task_id = _retry_record.task_id;
  IF it.compensates THEN
    it.undoes := "firefly"._compensate_again(task_id);
  END IF;
  IF it.dependants AND NOT it.undoes THEN
    PERFORM "firefly"._retry_callees(task_id);
  END IF;
  IF it.dependencies IS NOT NULL OR it.dependants THEN
    PERFORM "firefly"._depend_again(task_id);
  END IF;
  PERFORM "firefly"._place(task_id);
  RETURN 'done';
END
$body$;

-- The same, and those that were cancelled because it did not complete wait for it again.
CREATE FUNCTION "firefly"._retry(task_id bigint) RETURNS text
LANGUAGE plpgsql AS $body$
DECLARE
  outcome text := "firefly"._retry_record(task_id);
BEGIN
  IF outcome = 'done' THEN
    PERFORM "firefly"._revive_dependants(task_id);
  END IF;
  RETURN outcome;
END
$body$;

-- Schedules a failed or cancelled task again, and returns whether it did: not if a duplicate has its unique key, nor if a
-- task that it depends on did not complete, which is the one to retry: those that were cancelled because of that are
-- scheduled again with it.
CREATE FUNCTION "firefly".retry(task_id bigint) RETURNS boolean
LANGUAGE plpgsql AS $body$
BEGIN
  RETURN "firefly"._retry(task_id) = 'done';
END
$body$;

-- Makes a task that waits for its time due now, with the attempts that it has left. Returns `done`, or what keeps it from
-- that: it is missing, its status if it has ended, `running`, `ready` if it is due already, the limit for which it waits
-- (`concurrency`, `rate`), `dependencies` if it waits for other tasks, `suspended` if its handler waits, or `unknown` if no
-- live consumer of its queue knows its name. It locks the record in any case.
CREATE FUNCTION "firefly"._run(task_id bigint) RETURNS text
LANGUAGE plpgsql AS $body$
DECLARE
  it "firefly".task;
  place text;
BEGIN
  SELECT * INTO it FROM "firefly".task WHERE id = task_id FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RETURN 'missing';
  ELSIF it.status <> 'created' THEN
    RETURN it.status;
  END IF;
  SELECT CASE WHEN waiting.suspended THEN 'suspended' ELSE waiting.reason END INTO place
  FROM "firefly".waiting
  WHERE waiting.id = it.id AND waiting.claim_seq = it.claim_seq AND (waiting.reason <> 'time' OR waiting.suspended);
  IF NOT FOUND THEN
    SELECT 'ready' INTO place
    FROM "firefly".ready
    WHERE ready.queue = it.queue AND ready.priority = it.priority AND ready.not_before = it.not_before
      AND ready.id BETWEEN it.id - 999 AND it.id AND ready.id + ready.length > it.id AND ready.claim_seq = it.claim_seq;
  END IF;
  IF FOUND THEN
    RETURN place;
  ELSIF NOT "firefly"._take_place(it.id, it.queue, it.priority, it.not_before, it.claim_seq) THEN
    RETURN 'running';
  END IF;
  UPDATE "firefly".task
  SET not_before = LEAST(not_before, now()), claim_seq = claim_seq + 1
  WHERE id = it.id;
  PERFORM "firefly"._place(it.id);
  RETURN 'done';
END
$body$;

-- Makes a task that waits for its time due now, and returns whether it did. It keeps its attempts, and waits for its
-- limits as any other. A task that is due already, runs or has ended is left as it is.
CREATE FUNCTION "firefly".run(task_id bigint) RETURNS boolean
LANGUAGE plpgsql AS $body$
BEGIN
  IF "firefly"._run(task_id) <> 'done' THEN
    -- Rolled back to the beginning, so that the record of a running task is not locked until the caller's transaction
    -- ends: its consumer could not settle it.
    RAISE SQLSTATE 'FFRUN';
  END IF;
  RETURN true;
EXCEPTION WHEN SQLSTATE 'FFRUN' THEN
  RETURN false;
END
$body$;

-- Gives a task that waits to run another time, queue or priority; NULL keeps what it has. Returns `done`, or what keeps
-- it from that: it is missing, its status if it has ended, or `running`. It locks the record in any case.
CREATE FUNCTION "firefly"._reschedule(
  task_id bigint, new_not_before timestamptz, new_queue text, new_priority integer
) RETURNS text
LANGUAGE plpgsql AS $body$
DECLARE
  it "firefly".task;
BEGIN
  SELECT * INTO it FROM "firefly".task WHERE id = task_id FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RETURN 'missing';
  ELSIF it.status <> 'created' THEN
    RETURN it.status;
  END IF;
  PERFORM "firefly"._refuse_move(it, it.func_name, COALESCE(new_queue, it.queue));
  IF NOT "firefly"._take_place(it.id, it.queue, it.priority, it.not_before, it.claim_seq) THEN
    RETURN 'running';
  END IF;
  UPDATE "firefly".task
  SET not_before = COALESCE(new_not_before, not_before), queue = COALESCE(new_queue, queue),
    priority = COALESCE(new_priority, priority), claim_seq = claim_seq + 1
  WHERE id = it.id;
  PERFORM "firefly"._place(it.id);
  IF it.concurrency_key IS NOT NULL OR it.rate_key IS NOT NULL THEN
    PERFORM pg_notify("firefly".control_channel(), ''); -- a slot that it had is free
  END IF;
  RETURN 'done';
END
$body$;

-- Gives a task that waits to run another time, queue or priority, and returns whether it did: not if the task runs or
-- has ended. NULL keeps what it has. It keeps its attempts and its unique key.
CREATE FUNCTION "firefly".reschedule(
  task_id bigint, not_before timestamptz DEFAULT NULL, queue text DEFAULT NULL, priority integer DEFAULT NULL
) RETURNS boolean
LANGUAGE plpgsql AS $body$
BEGIN
  IF num_nonnulls(not_before, queue, priority) = 0 THEN
    RAISE EXCEPTION 'Cannot reschedule task % as not_before, queue or priority must be given', task_id
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
  IF "firefly"._reschedule(task_id, not_before, queue, priority) <> 'done' THEN
    RAISE SQLSTATE 'FFRUN'; -- as in run()
  END IF;
  RETURN true;
EXCEPTION WHEN SQLSTATE 'FFRUN' THEN
  RETURN false;
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
