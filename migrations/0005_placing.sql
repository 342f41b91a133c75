-- Firefly: channels, the wake lock, and the place of a task in `ready` or `waiting`.

-- The channel on which the consumers of a queue listen.
CREATE FUNCTION "firefly".channel(queue text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN 'firefly' || '_' || queue;

-- The channel on which consumers are asked to look for cancelled tasks and paused queues. No queue has it, as the name
-- of a queue contains no colon.
CREATE FUNCTION "firefly".control_channel() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 'firefly' || ':control';

-- The channel on which programs that wait for results are asked to look again.
CREATE FUNCTION "firefly".ended_channel() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 'firefly' || ':ended';

-- The channel on which consumers that serve all queues are asked to look for new ones.
CREATE FUNCTION "firefly".queues_channel() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 'firefly' || ':queues';

-- NOTIFY takes a lock that serializes all commits of the database, so it is saved where no consumer needs it. Before a
-- consumer sleeps, it acquires the wake lock of its queue: an advisory lock, exclusive, on the connection that listens.
-- Then it looks for tasks once more. A transaction that makes a task ready tries to acquire the same lock, shared,
-- until it ends. If it gets the lock, no consumer sleeps, and one that wants to sleep must wait for this transaction
-- and then sees its tasks. If not, a consumer sleeps, and is notified.
CREATE FUNCTION "firefly"._wake_lock(queue text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $body$
  SELECT hashtextextended("firefly".channel(queue), 0)
$body$;

-- Asks consumers that serve all queues to look for this one, if no live consumer serves it.
CREATE FUNCTION "firefly"._announce(queue text) RETURNS void
LANGUAGE plpgsql AS $body$
BEGIN
  IF EXISTS (SELECT FROM "firefly".consumer WHERE consumer.all_queues AND consumer.lease_until > now())
    AND NOT EXISTS (
      SELECT FROM "firefly".consumer WHERE consumer.lease_until > now() AND _announce.queue = ANY (consumer.queues)
    )
  THEN
    PERFORM pg_notify("firefly".queues_channel(), '');
  END IF;
END
$body$;

-- Notifies the consumers of a queue if one of them sleeps. A queue that no live consumer serves is always notified:
-- whatever listens there is not a consumer. SECURITY DEFINER, since a role that may insert tasks need not be allowed to
-- read the consumers.
CREATE FUNCTION "firefly"._notify(queue text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
  IF pg_try_advisory_xact_lock_shared("firefly"._wake_lock(_notify.queue)) AND EXISTS (
    SELECT FROM "firefly".consumer
    WHERE consumer.lease_until > now() AND _notify.queue = ANY (consumer.queues)
  ) AND NOT EXISTS (
    SELECT FROM "firefly".queue AS its WHERE its.name = _notify.queue AND its.notify = 'always'
  ) THEN
    RETURN;
  END IF;
  PERFORM pg_notify("firefly".channel(_notify.queue), ''), "firefly"._announce(_notify.queue);
END
$body$;

-- Removes a task from ready or waiting, and returns whether it was there: if not, it is claimed or has ended. With
-- `fence`, only a place with that claim_seq counts. It looks twice, since a task that is moved from waiting to ready
-- meanwhile is in neither when each is looked at.
CREATE FUNCTION "firefly"._unplace(task_id bigint, fence bigint DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql AS $body$
BEGIN
  FOR look IN 1 .. 2 LOOP
    -- By the columns of the record, since ready has no index on id alone: the hot path would pay for it.
    DELETE FROM "firefly".ready
    USING "firefly".task
    WHERE task.id = task_id
      AND ready.queue = task.queue AND ready.priority = task.priority
      AND ready.not_before = task.not_before AND ready.id = task_id
      AND (fence IS NULL OR ready.claim_seq = fence);
    IF FOUND THEN
      RETURN true;
    END IF;
    DELETE FROM "firefly".waiting WHERE id = task_id AND (fence IS NULL OR waiting.claim_seq = fence);
    IF FOUND THEN
      RETURN true;
    END IF;
  END LOOP;
  RETURN false;
END
$body$;

-- Whether a consumer holds a task with this claim_seq.
CREATE FUNCTION "firefly"._is_claimed(task_id bigint, fence bigint) RETURNS boolean
LANGUAGE sql AS $body$
  SELECT EXISTS (
    SELECT FROM "firefly".claim_batch
    WHERE task_id = ANY (claim_batch.ids) AND EXISTS (
      SELECT FROM unnest(claim_batch.ids, claim_batch.claim_seqs) AS claim (id, claim_seq)
      WHERE claim.id = task_id AND claim.claim_seq = fence
    )
  )
$body$;

-- Takes a created task out of its place, so that it can be given another; false if a consumer holds it. The caller has
-- locked the record: a claim takes the place without that lock, but cannot end before the lock is released. So of this
-- and a claim, one gets the row of ready, and the other sees it. A task that is nowhere, as after an edit by hand, counts
-- as taken. The caller then increments claim_seq: no other place of the task is current any more.
CREATE FUNCTION "firefly"._take_place(task_id bigint, fence bigint) RETURNS boolean
LANGUAGE plpgsql AS $body$
BEGIN
  FOR look IN 1 .. 3 LOOP
    IF "firefly"._unplace(task_id, fence) THEN
      RETURN true;
    ELSIF "firefly"._is_claimed(task_id, fence) THEN
      RETURN false;
    END IF;
  END LOOP;
  RETURN true;
END
$body$;

-- Puts a created task without a place where it belongs, and notifies. `it` is its record as it is now, or is about to
-- be stored. It is in quarantine from the second crash on: each other end of a claim resets crash_count.
CREATE FUNCTION "firefly"._place_record(it "firefly".task) RETURNS void
LANGUAGE plpgsql AS $body$
BEGIN
  IF it.not_before <= clock_timestamp() AND it.concurrency_key IS NULL AND it.rate_key IS NULL THEN
    INSERT INTO "firefly".ready (id, claim_seq, not_before, priority, quarantined, queue, func_name)
    VALUES (it.id, it.claim_seq, it.not_before, it.priority, it.crash_count >= 2, it.queue, it.func_name);
  ELSE
    INSERT INTO "firefly".waiting (
      id, claim_seq, not_before, priority, quarantined, queue, func_name, concurrency_key, rate_key, reason, admit_at
    ) VALUES (
      it.id, it.claim_seq, it.not_before, it.priority, it.crash_count >= 2, it.queue, it.func_name,
      it.concurrency_key, it.rate_key,
      CASE
        WHEN it.not_before > clock_timestamp() THEN 'time'
        WHEN it.concurrency_key IS NULL THEN 'rate'
        ELSE 'concurrency'
      END,
      CASE WHEN it.not_before <= clock_timestamp() THEN clock_timestamp() END
    );
  END IF;
  PERFORM pg_notify("firefly".channel(it.queue), ''), "firefly"._announce(it.queue);
END
$body$;

-- The same for the stored record; nothing if it is not created.
CREATE FUNCTION "firefly"._place(task_id bigint) RETURNS void
LANGUAGE plpgsql AS $body$
DECLARE
  it "firefly".task;
BEGIN
  SELECT * INTO it FROM "firefly".task WHERE id = task_id AND status = 'created';
  IF FOUND THEN
    PERFORM "firefly"._place_record(it);
  END IF;
END
$body$;

-- Makes a plain INSERT, from psql, an ORM or another language, a scheduled task like any other. A limited task waits
-- until a consumer admits it: a slot that was taken here would keep all others of its key waiting until this
-- transaction ends. Of the tasks that join a limit queue together, one with admit_at is enough for a consumer to look
-- at it.
CREATE FUNCTION "firefly"._place_inserted() RETURNS trigger
LANGUAGE plpgsql AS $body$
DECLARE
  has record;
  duplicate record;
BEGIN
  -- Each statement costs time: most tasks need only one of the three below, and nearly all INSERTs fill one queue.
  SELECT bool_or(not_before > now() OR concurrency_key IS NOT NULL OR rate_key IS NOT NULL) AS waiting,
    bool_or(unique_key IS NOT NULL) AS unique_keys,
    min(queue COLLATE "C") AS first_queue, max(queue COLLATE "C") AS last_queue INTO has
  FROM inserted
  WHERE status = 'created';

  INSERT INTO "firefly".ready (id, claim_seq, not_before, priority, queue, func_name)
  SELECT id, claim_seq, not_before, priority, queue, func_name
  FROM inserted
  WHERE status = 'created' AND not_before <= now() AND concurrency_key IS NULL AND rate_key IS NULL;

  IF has.waiting THEN
    INSERT INTO "firefly".waiting (
      id, claim_seq, not_before, priority, queue, func_name, concurrency_key, rate_key, reason, admit_at
    )
    SELECT id, claim_seq, not_before, priority, queue, func_name, concurrency_key, rate_key,
      CASE WHEN not_before > now() THEN 'time' WHEN concurrency_key IS NULL THEN 'rate' ELSE 'concurrency' END,
      CASE
        WHEN not_before <= now()
          AND row_number() OVER (PARTITION BY not_before > now(), queue, concurrency_key, rate_key ORDER BY id) = 1
        THEN now()
      END
    FROM inserted
    WHERE status = 'created' AND (not_before > now() OR concurrency_key IS NOT NULL OR rate_key IS NOT NULL);
  END IF;

  -- In the order of the keys, as everywhere, so that two transactions cannot deadlock. The volatile functions of a
  -- select list are called after its rows are sorted. Tasks that _schedule() inserts hold their keys already.
  IF has.unique_keys THEN
    FOR duplicate IN
      SELECT inserted.func_name, inserted.unique_key, inserted.id,
        "firefly"._take_unique_key(inserted.func_name, inserted.unique_key, inserted.id) AS holder
      FROM inserted
      LEFT JOIN "firefly".unique_key AS held ON held.func_name = inserted.func_name AND held.key = inserted.unique_key
      WHERE inserted.status = 'created' AND inserted.unique_key IS NOT NULL
        AND (held.task_id IS DISTINCT FROM inserted.id OR held.until IS NOT NULL)
      ORDER BY inserted.func_name COLLATE "C", inserted.unique_key COLLATE "C", inserted.id
    LOOP
      IF duplicate.holder <> duplicate.id THEN
        RAISE EXCEPTION 'Cannot schedule task "%" as task % has its unique key "%"',
          duplicate.func_name, duplicate.holder, duplicate.unique_key
          USING ERRCODE = 'unique_violation', CONSTRAINT = 'unique_key',
            HINT = 'firefly.schedule() keeps the duplicate instead';
      END IF;
    END LOOP;
  END IF;

  IF has.first_queue = has.last_queue THEN
    PERFORM "firefly"._notify(has.first_queue);
  ELSE
    PERFORM "firefly"._notify(queue) FROM (SELECT DISTINCT queue FROM inserted WHERE status = 'created') AS filled;
  END IF;
  RETURN NULL;
END
$body$;

CREATE TRIGGER place_inserted AFTER INSERT ON "firefly".task
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION "firefly"._place_inserted();
