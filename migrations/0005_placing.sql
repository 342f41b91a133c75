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
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN hashtextextended("firefly".channel(queue), 0);

-- Asks consumers that serve all queues to look for this one, if no live consumer serves it. As _notify() calls it, every
-- name in it is qualified.
CREATE FUNCTION "firefly"._announce(queue text) RETURNS void
LANGUAGE plpgsql AS $body$
BEGIN
  IF EXISTS (
    SELECT FROM "firefly".consumer
    WHERE consumer.all_queues AND consumer.lease_until OPERATOR(pg_catalog.>) pg_catalog.now()
  ) AND NOT EXISTS (
    SELECT FROM "firefly".consumer
    WHERE consumer.lease_until OPERATOR(pg_catalog.>) pg_catalog.now()
      AND _announce.queue OPERATOR(pg_catalog.=) ANY (consumer.queues)
  ) THEN
    PERFORM pg_catalog.pg_notify("firefly".queues_channel(), '');
  END IF;
END
$body$;

-- Notifies the consumers of a queue if one of them sleeps. A queue that no live consumer serves is always notified:
-- whatever listens there is not a consumer. SECURITY DEFINER, since a role that may insert tasks need not be allowed to
-- read the consumers. Every name in it is qualified: with a search_path of its own, it would take twice as long.
CREATE FUNCTION "firefly"._notify(queue text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER AS $body$
BEGIN
  IF pg_catalog.pg_try_advisory_xact_lock_shared("firefly"._wake_lock(_notify.queue)) AND EXISTS (
    SELECT FROM "firefly".consumer
    WHERE consumer.lease_until OPERATOR(pg_catalog.>) pg_catalog.now()
      AND _notify.queue OPERATOR(pg_catalog.=) ANY (consumer.queues)
      AND NOT EXISTS (
        SELECT FROM "firefly".queue AS its
        WHERE its.name OPERATOR(pg_catalog.=) _notify.queue AND its.notify OPERATOR(pg_catalog.=) 'always'
      )
  ) THEN
    RETURN;
  END IF;
  PERFORM pg_catalog.pg_notify("firefly".channel(_notify.queue), ''), "firefly"._announce(_notify.queue);
END
$body$;

-- Cuts ascending ids into runs: consecutive ones, and not too many of them in one, so that several consumers can claim
-- parts of what one statement inserted. A claim takes a run, or a part of it, while it keeps others from all of it.
CREATE FUNCTION "firefly"._runs(ids bigint[]) RETURNS TABLE (id bigint, length integer)
LANGUAGE plpgsql IMMUTABLE AS $body$
DECLARE
  total integer := cardinality(ids);
  most integer := LEAST(GREATEST(10, total / 16), 1000);
BEGIN
  IF ids[total] - ids[1] = total - 1 THEN
    RETURN QUERY SELECT first, LEAST(most, ids[total] - first + 1)::integer
      FROM generate_series(ids[1], ids[total], most) AS first;
  ELSE
    RETURN QUERY SELECT min(given.id), count(*)::integer
      FROM unnest(ids) WITH ORDINALITY AS given (id, place)
      GROUP BY given.id - place, (place - 1) / most;
  END IF;
END
$body$;

-- Removes a task from ready or waiting, and returns whether it was there: if not, it is claimed or has ended. Its place
-- is that of a record with this queue, priority and not_before; with `fence`, only a place with that claim_seq counts.
--
-- It cuts the task out of its run. A claim that takes a part of the run meanwhile puts the rest back as another row, so
-- it looks again until it has got the run's row, or no run reaches over the task. It looks twice at both tables, since a
-- task that is moved from waiting to ready meanwhile is in neither when each is looked at.
CREATE FUNCTION "firefly"._unplace(
  task_id bigint, queue text, priority integer, not_before timestamptz, fence bigint DEFAULT NULL
) RETURNS boolean
LANGUAGE plpgsql AS $body$
DECLARE
  run record;
BEGIN
  FOR look IN 1 .. 2 LOOP
    LOOP
      -- By these columns, since ready has no index on id alone: the hot path would pay for it.
      SELECT ready.ctid AS place INTO run
      FROM "firefly".ready
      WHERE ready.queue = _unplace.queue AND ready.priority = _unplace.priority
        AND ready.not_before = _unplace.not_before AND ready.id BETWEEN task_id - 999 AND task_id
        AND ready.id + ready.length > task_id
        AND (fence IS NULL OR ready.claim_seq = fence)
      ORDER BY ready.id DESC
      LIMIT 1;
      EXIT WHEN NOT FOUND;
      DELETE FROM "firefly".ready
      WHERE ready.ctid = run.place AND ready.queue = _unplace.queue AND ready.id <= task_id
        AND ready.id + ready.length > task_id
      RETURNING * INTO run;
      CONTINUE WHEN NOT FOUND;
      INSERT INTO "firefly".ready (id, length, claim_seq, not_before, priority, quarantined, queue, func_name)
      SELECT part.id, part.length, run.claim_seq, run.not_before, run.priority, run.quarantined, run.queue, run.func_name
      FROM (
        VALUES (run.id, (task_id - run.id)::integer), (task_id + 1, (run.id + run.length - 1 - task_id)::integer)
      ) AS part (id, length)
      WHERE part.length > 0;
      RETURN true;
    END LOOP;
    DELETE FROM "firefly".waiting WHERE waiting.id = task_id AND (fence IS NULL OR waiting.claim_seq = fence);
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
    SELECT FROM "firefly"._claimed_run AS run
    WHERE task_id >= run.id AND task_id < run.id + run.length AND run.claim_seq = fence
  )
$body$;

-- Takes a created task out of its place, so that it can be given another; false if a consumer holds it. The caller has
-- locked the record: a claim takes the place without that lock, but cannot end before the lock is released. So of this
-- and a claim, one gets the row of ready, and the other sees it. A task that is nowhere, as after an edit by hand, counts
-- as taken. The caller then increments claim_seq: no other place of the task is current any more.
CREATE FUNCTION "firefly"._take_place(
  task_id bigint, queue text, priority integer, not_before timestamptz, fence bigint
) RETURNS boolean
LANGUAGE plpgsql AS $body$
BEGIN
  FOR look IN 1 .. 3 LOOP
    IF "firefly"._unplace(task_id, queue, priority, not_before, fence) THEN
      RETURN true;
    ELSIF "firefly"._is_claimed(task_id, fence) THEN
      RETURN false;
    END IF;
  END LOOP;
  RETURN true;
END
$body$;

-- Puts a created task without a place where it belongs, and notifies. `it` is its record as it is now, or is about to
-- be stored; the caller has locked it if it has dependencies. It is in quarantine from the second crash on: each other
-- end of a claim resets crash_count.
CREATE FUNCTION "firefly"._place_record(it "firefly".task) RETURNS void
LANGUAGE plpgsql AS $body$
DECLARE
  unmet integer := 0;
BEGIN
  IF it.dependencies IS NOT NULL THEN
    SELECT count(*) INTO unmet FROM "firefly".dependency WHERE task_id = it.id AND dependency.status IS NULL AND NOT called;
  END IF;
  IF unmet > 0 THEN
    INSERT INTO "firefly".waiting (
      id, claim_seq, not_before, priority, quarantined, queue, func_name, concurrency_key, rate_key, reason, pending
    ) VALUES (
      it.id, it.claim_seq, it.not_before, it.priority, COALESCE(it.crash_count >= 2, false), it.queue, it.func_name,
      it.concurrency_key, it.rate_key, 'dependencies', unmet
    );
    RETURN;
  END IF;
  IF it.not_before <= clock_timestamp() AND it.concurrency_key IS NULL AND it.rate_key IS NULL THEN
    INSERT INTO "firefly".ready (id, claim_seq, not_before, priority, quarantined, queue, func_name)
    VALUES (it.id, it.claim_seq, it.not_before, it.priority, COALESCE(it.crash_count >= 2, false), it.queue, it.func_name);
  ELSE
    INSERT INTO "firefly".waiting (
      id, claim_seq, not_before, priority, quarantined, queue, func_name, concurrency_key, rate_key, reason, admit_at
    ) VALUES (
      it.id, it.claim_seq, it.not_before, it.priority, COALESCE(it.crash_count >= 2, false), it.queue, it.func_name,
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
  -- Each statement costs time, and most tasks need only the last of them.
  SELECT bool_or(
      not_before > now() OR concurrency_key IS NOT NULL OR rate_key IS NOT NULL OR dependencies IS NOT NULL
    ) FILTER (WHERE status = 'created') AS waiting,
    bool_or(unique_key IS NOT NULL) FILTER (WHERE status = 'created') AS unique_keys,
    bool_or(status = 'failed') AS failed INTO has
  FROM inserted;

  IF has.failed THEN
    INSERT INTO "firefly".failed_task (task_id, failed, queue, func_name, fingerprint)
    SELECT id, COALESCE(failed, now()), queue, func_name,
      "firefly"._fingerprint(func_name, errors -> -1 ->> 'name', errors -> -1 ->> 'message')
    FROM inserted
    WHERE status = 'failed'
    ORDER BY id
    ON CONFLICT (task_id) DO NOTHING;
  END IF;

  IF has.waiting THEN
    INSERT INTO "firefly".waiting (
      id, claim_seq, not_before, priority, queue, func_name, concurrency_key, rate_key, reason, admit_at, pending
    )
    SELECT id, claim_seq, not_before, priority, queue, func_name, concurrency_key, rate_key,
      CASE
        WHEN dependencies IS NOT NULL THEN 'dependencies'
        WHEN not_before > now() THEN 'time'
        WHEN concurrency_key IS NULL THEN 'rate'
        ELSE 'concurrency'
      END,
      CASE
        WHEN not_before <= now() AND dependencies IS NULL
          AND row_number() OVER (
            PARTITION BY not_before > now(), dependencies IS NULL, queue, concurrency_key, rate_key ORDER BY id
          ) = 1
        THEN now()
      END,
      dependencies
    FROM inserted
    WHERE status = 'created' AND (
      not_before > now() OR concurrency_key IS NOT NULL OR rate_key IS NOT NULL OR dependencies IS NOT NULL
    );
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

  INSERT INTO "firefly".ready (id, length, claim_seq, not_before, priority, queue, func_name)
  SELECT run.id, run.length, alike.claim_seq, alike.not_before, alike.priority, alike.queue, alike.func_name
  FROM (
    SELECT array_agg(id ORDER BY id) AS ids, claim_seq, not_before, priority, queue, func_name
    FROM inserted
    WHERE status = 'created' AND not_before <= now() AND concurrency_key IS NULL AND rate_key IS NULL
      AND dependencies IS NULL
    GROUP BY claim_seq, not_before, priority, queue, func_name
  ) AS alike, LATERAL (
    SELECT ids[1], 1 WHERE cardinality(ids) = 1
    UNION ALL
    SELECT * FROM "firefly"._runs(ids) WHERE cardinality(ids) > 1
  ) AS run (id, length);

  PERFORM "firefly"._notify(queue) FROM (SELECT DISTINCT queue FROM inserted WHERE status = 'created') AS filled;
  RETURN NULL;
END
$body$;

-- Statements of Firefly's own that place what they insert set this mark for as long as they insert.
CREATE TRIGGER place_inserted AFTER INSERT ON "firefly".task
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT
WHEN (current_setting('firefly.placed', true) IS DISTINCT FROM 'on')
EXECUTE FUNCTION "firefly"._place_inserted();
