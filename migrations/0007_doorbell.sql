-- Firefly: consumers are notified only while one of them sleeps.

-- NOTIFY takes a lock that puts all commits of the database in a row, and so it is saved where nobody needs it. A
-- consumer that goes to sleep takes the door of its queue: an advisory lock, exclusively, on the connection that listens.
-- Then it looks once more. Who makes a task ready tries the same lock, shared, and holds it until the end of the
-- transaction: with it, nobody sleeps, and who wants to must wait for this transaction, and will see its tasks; without
-- it, somebody does, and is notified.
CREATE FUNCTION "firefly"._wake_lock(queue text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $body$
  SELECT hashtextextended("firefly".channel(queue), 0)
$body$;

-- Consumers of the releases before this one sleep without it, and are notified always.
ALTER TABLE "firefly".consumer ADD COLUMN wake_lock boolean NOT NULL DEFAULT false;

-- 'always' is for those who listen for purposes of their own; NULL is 'asleep'.
ALTER TABLE "firefly".queue
  ADD COLUMN notify text CONSTRAINT queue_notify_check CHECK (notify IN ('asleep', 'always'));

-- Wakes whoever sleeps at a queue. A queue that no live consumer serves is always notified: who listens there is a person.
-- Whoever may insert a task need not be allowed to see the consumers.
CREATE FUNCTION "firefly"._notify(queue text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
  IF pg_try_advisory_xact_lock_shared("firefly"._wake_lock(_notify.queue)) AND (
    SELECT bool_and(consumer.wake_lock)
    FROM "firefly".consumer
    WHERE consumer.lease_until > now() AND _notify.queue = ANY (consumer.queues)
  ) AND NOT EXISTS (
    SELECT FROM "firefly".queue AS its WHERE its.name = _notify.queue AND its.notify = 'always'
  ) THEN
    RETURN;
  END IF;
  PERFORM pg_notify("firefly".channel(_notify.queue), '');
END
$body$;

-- A plain INSERT, from psql, an ORM or another language, is a scheduled task like any other. Limited tasks wait for a
-- consumer to let them in: taking a slot here would hold up all others of the key until this transaction ends. One of
-- those that join the same line is enough for a consumer to look at it.
CREATE OR REPLACE FUNCTION "firefly"._place_inserted() RETURNS trigger
LANGUAGE plpgsql AS $body$
DECLARE
  has record;
  duplicate record;
BEGIN
  -- Each statement costs: most tasks need one of the three below.
  SELECT bool_or(not_before > now() OR concurrency_key IS NOT NULL OR rate_key IS NOT NULL) AS waiting,
    bool_or(unique_key IS NOT NULL) AS unique_keys INTO has
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

  -- In the order of the keys, as everywhere, so that two transactions cannot wait for each other. Volatile functions of
  -- a list are called after it is sorted. What _schedule() inserts has its key already.
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
        RAISE EXCEPTION 'Cannot schedule task "%" as task % has its unique key "%"', duplicate.func_name, duplicate.holder, duplicate.unique_key
          USING ERRCODE = 'unique_violation', CONSTRAINT = 'unique_key',
            HINT = 'firefly.schedule() keeps the duplicate instead';
      END IF;
    END LOOP;
  END IF;

  PERFORM "firefly"._notify(queue) FROM (SELECT DISTINCT queue FROM inserted WHERE status = 'created') AS filled;
  RETURN NULL;
END
$body$;
