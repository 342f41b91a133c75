-- Firefly: what each INSERT of tasks costs, whatever it inserts.

-- The same condition, written out: a function would be inlined again by every statement that inserts, which takes longer
-- than all the other constraints. Rows that are there have met it already.
ALTER TABLE "firefly".task
  DROP CONSTRAINT task_queue_channel,
  ADD CONSTRAINT task_queue_channel CHECK (octet_length('firefly' || '_' || queue) <= 63) NOT VALID;

-- A plain INSERT, from psql, an ORM or another language, is a scheduled task like any other. Limited tasks wait for a
-- consumer to let them in: taking a slot here would hold up all others of the key until this transaction ends. One of
-- those that join the same line is enough for a consumer to look at it.
CREATE OR REPLACE FUNCTION "firefly"._place_inserted() RETURNS trigger
LANGUAGE plpgsql AS $body$
DECLARE
  has record;
  duplicate record;
BEGIN
  -- Each statement costs: most tasks need one of the three below, and nearly all INSERTs fill one queue.
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

  IF has.first_queue = has.last_queue THEN
    PERFORM "firefly"._notify(has.first_queue);
  ELSE
    PERFORM "firefly"._notify(queue) FROM (SELECT DISTINCT queue FROM inserted WHERE status = 'created') AS filled;
  END IF;
  RETURN NULL;
END
$body$;
