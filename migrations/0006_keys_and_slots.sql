-- Firefly: taking unique keys, and releasing unique keys and slots.

-- Takes a unique key for a task, and returns which task holds it then: this one or its duplicate. Waits for a
-- transaction that is about to take or release the key, and locks no key of another task.
CREATE FUNCTION "firefly"._take_unique_key(func_name text, key text, task_id bigint) RETURNS bigint
LANGUAGE plpgsql AS $body$
DECLARE
  holder bigint;
BEGIN
  -- The holder may be gone between the INSERT that met it and the SELECT that reads it: then the key is free.
  LOOP
    INSERT INTO "firefly".unique_key (func_name, key, task_id)
    VALUES (_take_unique_key.func_name, _take_unique_key.key, _take_unique_key.task_id)
    ON CONFLICT DO NOTHING;
    IF FOUND THEN
      RETURN _take_unique_key.task_id;
    END IF;
    UPDATE "firefly".unique_key AS held
    SET task_id = _take_unique_key.task_id, until = NULL
    WHERE held.func_name = _take_unique_key.func_name AND held.key = _take_unique_key.key
      AND (held.until <= clock_timestamp() OR held.until IS NOT NULL AND held.task_id = _take_unique_key.task_id);
    IF FOUND THEN
      RETURN _take_unique_key.task_id;
    END IF;
    SELECT held.task_id INTO holder
    FROM "firefly".unique_key AS held
    WHERE held.func_name = _take_unique_key.func_name AND held.key = _take_unique_key.key;
    IF FOUND THEN
      RETURN holder;
    END IF;
  END LOOP;
END
$body$;

-- The same for a task that goes back to `created`, or has ended: NULL if an open transaction is about to take or
-- release the key. One transaction must not hold up the many tasks that are settled together: all waits of one
-- statement share half a second, which is also less than the server waits before it looks for a deadlock.
CREATE FUNCTION "firefly"._try_unique_key(func_name text, key text, task_id bigint) RETURNS bigint
LANGUAGE plpgsql SET lock_timeout = '500ms' AS $body$
BEGIN
  PERFORM set_config('lock_timeout', GREATEST(
    500 - 1000 * EXTRACT(epoch FROM clock_timestamp() - statement_timestamp()), 10
  )::integer::text, true);
  RETURN "firefly"._take_unique_key(func_name, key, task_id);
EXCEPTION WHEN lock_not_available THEN
  RETURN NULL;
END
$body$;

-- Encrypted values are bound to the name and the queue of their task: moved, they could never be read again. Arguments
-- that were scheduled with on_conflict "replace" are bound to the name alone. A value is taken for encrypted by how its
-- Base64 begins: isEncrypted() in src/privacy/encryption.ts.
CREATE FUNCTION "firefly"._refuse_move(it "firefly".task, func_name text, queue text) RETURNS void
LANGUAGE plpgsql AS $body$
DECLARE
  value text;
BEGIN
  FOREACH value IN ARRAY ARRAY[it.params, it.returned] LOOP
    IF value LIKE 'eyIkIjoiRW5jcnlwdGVkIiwia2V5Ijoi%' AND (
      it.func_name <> _refuse_move.func_name
      OR it.queue <> _refuse_move.queue AND NOT "firefly".decode(value) @> '{"anyQueue": true}'
    ) THEN
      RAISE EXCEPTION 'Cannot move task % from "%" in queue "%" to "%" in queue "%" as its values are encrypted for the former',
        it.id, it.func_name, it.queue, _refuse_move.func_name, _refuse_move.queue
        USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Cancel it and schedule it again';
    END IF;
  END LOOP;
END
$body$;

-- Whether a task that goes back to `created` keeps its unique key, or takes it again, where it rejects duplicates then; if
-- not, a duplicate has it, or is about to, and the caller ends the task as `failed`, with _duplicate_error().
CREATE FUNCTION "firefly"._keeps_unique_key(
  task_id bigint, func_name text, key text, among text[]
) RETURNS boolean
LANGUAGE plpgsql AS $body$
BEGIN
  IF key IS NULL OR 'created' <> ALL (COALESCE(among, '{created}')) THEN
    RETURN true;
  END IF;
  PERFORM FROM "firefly".unique_key AS held
  WHERE held.func_name = _keeps_unique_key.func_name AND held.key = _keeps_unique_key.key
    AND held.task_id = _keeps_unique_key.task_id AND held.until IS NULL;
  RETURN FOUND
    OR "firefly"._try_unique_key(func_name, key, task_id) IS NOT DISTINCT FROM _keeps_unique_key.task_id;
END
$body$;

-- The error of a task that cannot run again, for its record.
CREATE FUNCTION "firefly"._duplicate_error(task_id bigint, func_name text, key text, attempt integer) RETURNS jsonb
LANGUAGE plpgsql AS $body$
DECLARE
  holder bigint := (
    SELECT held.task_id
    FROM "firefly".unique_key AS held
    WHERE held.func_name = _duplicate_error.func_name AND held.key = _duplicate_error.key
      AND held.task_id <> _duplicate_error.task_id
  );
BEGIN
  RETURN jsonb_build_array(jsonb_build_object(
    'name', 'TaskExists',
    'message', format('Cannot run this task again as %s its unique key "%s"',
      COALESCE('task ' || holder || ' has', 'a task that is being scheduled takes'), key),
    'at', statement_timestamp(), 'attempt', attempt
  ));
END
$body$;

-- Makes an UPDATE by hand take effect at once: `was` is the record before, `it` as the statement has stored it. A created
-- task loses its place, and gets another; a running one keeps its claim, and what was edited counts where the task is
-- placed next. What it has of its status is as firefly.cancel() and firefly.retry() leave it. It increments claim_seq
-- wherever a place or a claim must not count any more.
CREATE FUNCTION "firefly"._edit(was "firefly".task, it "firefly".task) RETURNS void
LANGUAGE plpgsql AS $body$
DECLARE
  held boolean;
  keeps boolean := true;
BEGIN
  IF (was.func_name, was.queue) IS DISTINCT FROM (it.func_name, it.queue) THEN
    PERFORM "firefly"._refuse_move(was, it.func_name, it.queue);
  END IF;
  IF was.status = 'failed' AND it.status <> 'failed' THEN
    DELETE FROM "firefly".failed_task WHERE failed_task.task_id = was.id;
  ELSIF it.status = 'failed' AND was.status <> 'created' THEN
    PERFORM "firefly"._note_failure(it);
  END IF;
  IF was.status <> 'created' AND it.status <> 'created' OR was.status = it.status AND
    (was.queue, was.priority, was.not_before, was.func_name, was.unique_key, was.concurrency_key, was.rate_key)
    IS NOT DISTINCT FROM
    (it.queue, it.priority, it.not_before, it.func_name, it.unique_key, it.concurrency_key, it.rate_key)
  THEN
    RETURN;
  END IF;
  IF was.status = it.status AND (
    was.unique_key IS DISTINCT FROM it.unique_key OR was.unique_key IS NOT NULL AND was.func_name <> it.func_name
  ) THEN
    RAISE EXCEPTION 'Cannot change the unique key of task % "%" as it has not ended', was.id, was.func_name
      USING ERRCODE = 'object_not_in_prerequisite_state',
        HINT = 'Cancel it with firefly.cancel() and schedule it again';
  END IF;

  IF was.status = 'created' THEN
    held := NOT "firefly"._take_place(was.id, was.queue, was.priority, was.not_before, was.claim_seq);
    IF held AND it.status = 'created' THEN
      IF it.concurrency_key IS NULL AND it.rate_key IS NULL THEN
        DELETE FROM "firefly".slot WHERE slot.task_id = was.id; -- the end of its claim has no reason to look for them
      END IF;
      RETURN;
    END IF;
    IF held OR was.concurrency_key IS NOT NULL OR was.rate_key IS NOT NULL THEN
      PERFORM pg_notify("firefly".control_channel(), '');
    END IF;
    -- Also where it has no limit any more, so that the trigger has none to look for.
    DELETE FROM "firefly".slot WHERE slot.task_id = was.id AND slot.until IS NULL;
  END IF;
  IF it.status = 'created' THEN
    keeps := "firefly"._keeps_unique_key(it.id, it.func_name, it.unique_key, it.unique_among);
    IF NOT keeps THEN
      it.errors := COALESCE(it.errors, '[]') || "firefly"._duplicate_error(
        it.id, it.func_name, it.unique_key, COALESCE(it.retry_attempts, 0) + COALESCE(it.rescues, 0) + 1
      );
      it.status := 'failed';
      it.failed := statement_timestamp();
    ELSE
      it.failed := NULL;
    END IF;
    it.completed := NULL;
    it.cancelled := NULL;
  ELSE
    it.completed := CASE WHEN it.status = 'completed' THEN COALESCE(it.completed, now()) END;
    it.failed := CASE WHEN it.status = 'failed' THEN COALESCE(it.failed, now()) END;
    it.cancelled := CASE WHEN it.status = 'cancelled' THEN COALESCE(it.cancelled, now()) END;
    DELETE FROM "firefly".result_waiter WHERE result_waiter.task_id = was.id;
    IF FOUND THEN
      PERFORM pg_notify("firefly".ended_channel(), '');
    END IF;
  END IF;
  UPDATE "firefly".task
  SET claim_seq = task.claim_seq + 1, status = it.status, completed = it.completed, failed = it.failed,
    cancelled = it.cancelled, errors = it.errors
  WHERE task.id = it.id;
  IF it.status = 'failed' THEN
    PERFORM "firefly"._note_failure(it);
  END IF;
  PERFORM "firefly"._place(it.id);
  IF was.status <> 'created' AND it.status = 'created' AND it.dependants THEN
    PERFORM "firefly"._revive_dependants(it.id);
  END IF;
END
$body$;

-- The end of a claim or of a task releases what the task holds: its slots, and its unique key where the new status does
-- not reject duplicates. It is one trigger for settling, rescue, cancel, retry, statements that ignore keys, and edits
-- by hand. An attempt that began, or may have begun, counts for its rate: that slot stays until its time is over. The
-- end of a task on which others depend is noted in `ended`, by the same transaction.
--
-- Every statement of Firefly that sets a column which this trigger names increments claim_seq: one that does not is an
-- edit by hand. Such a task gets its new place from _edit().
CREATE FUNCTION "firefly"._release() RETURNS trigger
LANGUAGE plpgsql AS $body$
DECLARE
  keeps boolean;
  outlasts boolean;
BEGIN
  IF NEW.dependants AND NEW.status <> 'created' AND OLD.status = 'created' THEN
    INSERT INTO "firefly".ended (task_id) VALUES (NEW.id);
  END IF;
  IF NEW.claim_seq = OLD.claim_seq THEN
    PERFORM "firefly"._edit(OLD, NEW);
    -- That has seen to the rest, by an UPDATE of its own, except where a task that has ended was given another end.
    IF NEW.status = OLD.status OR 'created' IN (OLD.status, NEW.status) THEN
      RETURN NULL;
    END IF;
  END IF;

  IF NEW.concurrency_key IS NOT NULL OR NEW.rate_key IS NOT NULL THEN
    IF NEW.status <> 'created' OR NEW.rescues IS DISTINCT FROM OLD.rescues OR NEW.started IS DISTINCT FROM OLD.started THEN
      UPDATE "firefly".slot
      SET until = clock_timestamp() + make_interval(secs => slot.per)
      WHERE slot.task_id = NEW.id AND slot.until = 'infinity';
    END IF;
    DELETE FROM "firefly".slot WHERE slot.task_id = NEW.id AND (slot.until IS NULL OR slot.until = 'infinity');
  END IF;

  IF NEW.unique_key IS NOT NULL THEN
    keeps := NEW.status = ANY (COALESCE(NEW.unique_among, '{created,running}'));
    outlasts := NEW.status = 'completed' AND NEW.unique_for IS NOT NULL AND NOT keeps;
    IF NOT keeps AND NOT outlasts THEN
      DELETE FROM "firefly".unique_key AS held
      WHERE held.func_name = NEW.func_name AND held.key = NEW.unique_key AND held.task_id = NEW.id;
    ELSIF NEW.status <> 'created' THEN
      -- The statement that made it `created` has seen to its key.
      PERFORM FROM "firefly".unique_key AS held
      WHERE held.func_name = NEW.func_name AND held.key = NEW.unique_key AND held.task_id = NEW.id
        AND held.until IS NULL;
      IF NOT FOUND AND "firefly"._try_unique_key(NEW.func_name, NEW.unique_key, NEW.id) IS DISTINCT FROM NEW.id THEN
        RETURN NULL;
      END IF;
      IF outlasts THEN
        UPDATE "firefly".unique_key AS held
        SET until = statement_timestamp() + make_interval(secs => NEW.unique_for)
        WHERE held.func_name = NEW.func_name AND held.key = NEW.unique_key AND held.task_id = NEW.id;
      END IF;
    END IF;
  END IF;
  RETURN NULL;
END
$body$;

-- One trigger for both. AFTER, since the server locks each row for a trigger BEFORE, whatever its condition is.
CREATE TRIGGER release AFTER UPDATE OF
  status, claim_seq, queue, priority, not_before, func_name, unique_key, concurrency_key, rate_key
ON "firefly".task
FOR EACH ROW
WHEN (
  NEW.unique_key IS NOT NULL OR NEW.concurrency_key IS NOT NULL OR NEW.rate_key IS NOT NULL OR NEW.dependants
  OR NEW.claim_seq = OLD.claim_seq
)
EXECUTE FUNCTION "firefly"._release();

-- A key that outlasts its holder outlasts the record too, and so does the slot of a rate. A limited task leaves its
-- limit queue.
CREATE FUNCTION "firefly"._release_deleted() RETURNS trigger
LANGUAGE plpgsql AS $body$
BEGIN
  UPDATE "firefly".slot
  SET until = clock_timestamp() + make_interval(secs => slot.per)
  WHERE slot.task_id = OLD.id AND slot.until = 'infinity';
  DELETE FROM "firefly".slot WHERE slot.task_id = OLD.id AND (slot.until IS NULL OR slot.until = 'infinity');
  DELETE FROM "firefly".waiting WHERE waiting.id = OLD.id;
  DELETE FROM "firefly".unique_key WHERE unique_key.task_id = OLD.id AND unique_key.until IS NULL;
  RETURN NULL;
END
$body$;

CREATE TRIGGER release_deleted AFTER DELETE ON "firefly".task
FOR EACH ROW
WHEN (OLD.unique_key IS NOT NULL OR OLD.concurrency_key IS NOT NULL OR OLD.rate_key IS NOT NULL)
EXECUTE FUNCTION "firefly"._release_deleted();

CREATE FUNCTION "firefly"._release_all() RETURNS trigger
LANGUAGE plpgsql AS $body$
BEGIN
  DELETE FROM "firefly".slot;
  DELETE FROM "firefly".unique_key;
  DELETE FROM "firefly".failed_task;
  DELETE FROM "firefly".waiting WHERE waiting.reason IN ('dependencies', 'suspended');
  DELETE FROM "firefly".dependency;
  DELETE FROM "firefly".ended;
  RETURN NULL;
END
$body$;

CREATE TRIGGER release_all AFTER TRUNCATE ON "firefly".task
FOR EACH STATEMENT EXECUTE FUNCTION "firefly"._release_all();
