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

-- The end of a claim or of a task releases what the task holds: its slots, and its unique key where the new status does
-- not reject duplicates. It is one trigger for settling, rescue, cancel, retry, statements that ignore keys, and edits
-- by hand. An attempt that began, or may have begun, counts for its rate: that slot stays until its time is over. A task
-- that needs a key which a duplicate has taken meanwhile ends `failed`, and no other task of its batch fails with it. A
-- task that has ended keeps its status, and rejects no duplicates.
CREATE FUNCTION "firefly"._release() RETURNS trigger
LANGUAGE plpgsql AS $body$
DECLARE
  holder bigint;
  keeps boolean;
  outlasts boolean;
BEGIN
  IF NEW.concurrency_key IS NOT NULL OR NEW.rate_key IS NOT NULL THEN
    IF NEW.status <> 'created' OR NEW.rescues <> OLD.rescues OR NEW.started IS DISTINCT FROM OLD.started THEN
      UPDATE "firefly".slot
      SET until = clock_timestamp() + make_interval(secs => slot.per)
      WHERE slot.task_id = NEW.id AND slot.until = 'infinity';
    END IF;
    DELETE FROM "firefly".slot WHERE slot.task_id = NEW.id AND (slot.until IS NULL OR slot.until = 'infinity');
  END IF;
  IF NEW.unique_key IS NULL THEN
    RETURN NEW;
  END IF;
  keeps := NEW.status = ANY (COALESCE(NEW.unique_among, '{created,running}'));
  outlasts := NEW.status = 'completed' AND NEW.unique_for IS NOT NULL AND NOT keeps;
  IF NOT keeps AND NOT outlasts THEN
    DELETE FROM "firefly".unique_key AS held
    WHERE held.func_name = NEW.func_name AND held.key = NEW.unique_key AND held.task_id = NEW.id;
    RETURN NEW;
  END IF;
  PERFORM FROM "firefly".unique_key AS held
  WHERE held.func_name = NEW.func_name AND held.key = NEW.unique_key AND held.task_id = NEW.id AND held.until IS NULL;
  IF NOT FOUND THEN
    holder := "firefly"._try_unique_key(NEW.func_name, NEW.unique_key, NEW.id);
    IF holder IS DISTINCT FROM NEW.id THEN
      IF NEW.status = 'created' THEN
        NEW.failed := statement_timestamp();
        NEW.errors := NEW.errors || jsonb_build_array(jsonb_build_object(
          'name', 'TaskExists',
          'message', format('Cannot run this task again as %s its unique key "%s"',
            COALESCE('task ' || holder || ' has', 'a task that is being scheduled takes'), NEW.unique_key),
          'at', statement_timestamp(), 'attempt', OLD.retry_attempts + OLD.rescues + 1
        ));
        NEW.status := 'failed';
      END IF;
      RETURN NEW;
    END IF;
  END IF;
  IF outlasts THEN
    UPDATE "firefly".unique_key AS held
    SET until = statement_timestamp() + make_interval(secs => NEW.unique_for)
    WHERE held.func_name = NEW.func_name AND held.key = NEW.unique_key AND held.task_id = NEW.id;
  END IF;
  RETURN NEW;
END
$body$;

CREATE TRIGGER release BEFORE UPDATE OF status, claim_seq ON "firefly".task
FOR EACH ROW
WHEN (NEW.unique_key IS NOT NULL OR NEW.concurrency_key IS NOT NULL OR NEW.rate_key IS NOT NULL)
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
  RETURN NULL;
END
$body$;

CREATE TRIGGER release_all AFTER TRUNCATE ON "firefly".task
FOR EACH STATEMENT EXECUTE FUNCTION "firefly"._release_all();
