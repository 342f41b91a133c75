-- Firefly: unique tasks, limits of concurrency and rate, and queues that are paused and resumed by functions.

-- What a task is unique by, and which limits it stands under. All are NULL for tasks that use none of this, which then
-- pay nothing for it. So what a key may be is checked by the tables that it gets into: each constraint of this table
-- would cost every INSERT some microseconds.
ALTER TABLE "firefly".task
  ADD COLUMN unique_key text,
  -- The statuses in which it keeps its duplicates away; NULL means created and running.
  ADD COLUMN unique_among text[],
  -- Seconds after its completion in which it still does.
  ADD COLUMN unique_for double precision,
  ADD COLUMN concurrency_key text,
  ADD COLUMN rate_key text;

-- Who holds the unique key of a task. A table and not an index on task, since an index that mentions `status` would
-- keep completion from being HOT. `until` is set once the holder has completed and its key outlasts it.
CREATE TABLE "firefly".unique_key (
  func_name text NOT NULL,
  key text NOT NULL CHECK (key <> '' AND octet_length(key) <= 1000),
  task_id bigint NOT NULL,
  until timestamptz,
  PRIMARY KEY (func_name, key)
);
CREATE INDEX unique_key_task ON "firefly".unique_key (task_id);
CREATE INDEX unique_key_until ON "firefly".unique_key (until) WHERE until IS NOT NULL;

-- What the consumer that started last said of each task that it knows, as far as the database must know it. NULL is
-- no limit, and nothing said of how long ended records are kept; 'Infinity' keeps them for ever.
CREATE TABLE "firefly".definition (
  func_name text PRIMARY KEY,
  concurrency_limit integer CHECK (concurrency_limit > 0),
  rate_limit integer CHECK (rate_limit > 0),
  rate_per double precision CHECK (rate_per > 0),
  retain_completed double precision CHECK (retain_completed >= 0),
  retain_failed double precision CHECK (retain_failed >= 0),
  defined timestamptz NOT NULL DEFAULT now()
);

-- The right to run under a limit. A limited task gets into `ready` only with a slot for each of its keys, and so takes
-- no part in any claim before. A slot of `concurrency` is held until the claim ends, by whatever end. One of `rate` is
-- held until `per` seconds after the attempt began: its `until` is NULL until it is claimed, then 'infinity', since the
-- task may stand in its consumer's stock for a while, and a time from the moment on at which its handler was called.
CREATE TABLE "firefly".slot (
  kind text NOT NULL CHECK (kind IN ('concurrency', 'rate')),
  key text NOT NULL,
  task_id bigint NOT NULL,
  taken timestamptz NOT NULL DEFAULT clock_timestamp(),
  per double precision,
  until timestamptz
) WITH (
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 20000,
  autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX slot_key ON "firefly".slot (key, kind);
CREATE INDEX slot_task ON "firefly".slot (task_id);
CREATE INDEX slot_until ON "firefly".slot (until) WHERE until IS NOT NULL;

-- Two more reasons to wait: `concurrency`, for a slot of concurrency_key and, if it has a rate_key, for one of that at
-- the same time, as a task that waits with one slot in hand would keep it from others; `rate`, for a slot of rate_key
-- alone. `admit_at` is when a consumer must look at the line that the row stands in: at once for what has just joined
-- it, and when the next slot ends for the first in line of a rate.
ALTER TABLE "firefly".waiting
  DROP CONSTRAINT waiting_reason_check,
  ADD COLUMN quarantined boolean NOT NULL DEFAULT false,
  ADD COLUMN concurrency_key text,
  ADD COLUMN rate_key text,
  ADD COLUMN admit_at timestamptz,
  ADD CONSTRAINT waiting_concurrency_key CHECK (concurrency_key <> '' AND octet_length(concurrency_key) <= 1000) NOT VALID,
  ADD CONSTRAINT waiting_rate_key CHECK (rate_key <> '' AND octet_length(rate_key) <= 1000) NOT VALID,
  ADD CONSTRAINT waiting_reason_check CHECK (reason IN ('time', 'unknown', 'concurrency', 'rate')) NOT VALID;
CREATE INDEX waiting_concurrency ON "firefly".waiting (concurrency_key, priority DESC, not_before, id)
  WHERE reason = 'concurrency';
CREATE INDEX waiting_rate ON "firefly".waiting (rate_key, priority DESC, not_before, id) WHERE reason = 'rate';
CREATE INDEX waiting_both ON "firefly".waiting (rate_key, priority DESC, not_before, id)
  WHERE reason = 'concurrency' AND rate_key IS NOT NULL;
CREATE INDEX waiting_admit_at ON "firefly".waiting (queue, admit_at) WHERE admit_at IS NOT NULL;

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

  PERFORM pg_notify("firefly".channel(queue), '')
  FROM (SELECT DISTINCT queue FROM inserted WHERE status = 'created') AS notified;
  RETURN NULL;
END
$body$;

-- Takes a unique key for a task, and returns who holds it then: the task, or its duplicate. It waits for a transaction that
-- is about to take or release the key, and holds no lock on what is another's.
CREATE FUNCTION "firefly"._take_unique_key(func_name text, key text, task_id bigint) RETURNS bigint
LANGUAGE plpgsql AS $body$
DECLARE
  holder bigint;
BEGIN
  -- The holder may be gone between the INSERT that met it and the SELECT that looks for it: then the key is free.
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

-- The same for a task that goes back to `created`, or has ended: it returns NULL if an open transaction is about to take
-- or release the key. One transaction must not hold up the many that are settled together: all waits of one statement
-- share half a second, which is also less than it takes the server to look for a deadlock.
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

-- Whatever ends a claim or a task gives back what it held: its slots, and its unique key where the new status is not
-- among those that keep duplicates away. One trigger for settling, rescue, cancel, retry, a release that knows nothing of
-- keys, and edits by hand. An attempt that began, or may have, counts for its rate: that slot runs out by itself. A
-- task that would take a key which its duplicate has by now ends `failed`, by itself, and fails no other of its batch; one
-- that has ended stays as it ended, and keeps nobody away.
CREATE FUNCTION "firefly"._give_back() RETURNS trigger
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

CREATE TRIGGER give_back BEFORE UPDATE OF status, claim_seq ON "firefly".task
FOR EACH ROW
WHEN (NEW.unique_key IS NOT NULL OR NEW.concurrency_key IS NOT NULL OR NEW.rate_key IS NOT NULL)
EXECUTE FUNCTION "firefly"._give_back();

-- A key that outlasts its holder outlasts its record, too, and so does a rate's slot. A limited task leaves its line.
CREATE FUNCTION "firefly"._give_back_deleted() RETURNS trigger
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

CREATE TRIGGER give_back_deleted AFTER DELETE ON "firefly".task
FOR EACH ROW
WHEN (OLD.unique_key IS NOT NULL OR OLD.concurrency_key IS NOT NULL OR OLD.rate_key IS NOT NULL)
EXECUTE FUNCTION "firefly"._give_back_deleted();

CREATE FUNCTION "firefly"._give_back_all() RETURNS trigger
LANGUAGE plpgsql AS $body$
BEGIN
  DELETE FROM "firefly".slot;
  DELETE FROM "firefly".unique_key;
  RETURN NULL;
END
$body$;

CREATE TRIGGER give_back_all AFTER TRUNCATE ON "firefly".task
FOR EACH STATEMENT EXECUTE FUNCTION "firefly"._give_back_all();

-- Takes a task out of ready or waiting, and says whether it stood there; if not, it is leased or has ended. It looks
-- twice: a task that was being moved from waiting to ready meanwhile stood in neither when each was looked at.
CREATE OR REPLACE FUNCTION "firefly"._take_from_place(task_id bigint) RETURNS boolean
LANGUAGE plpgsql AS $body$
BEGIN
  FOR look IN 1 .. 2 LOOP
    -- By the columns of the record, since ready has no index on id alone: the hot path would pay for it.
    DELETE FROM "firefly".ready
    USING "firefly".task
    WHERE task.id = task_id
      AND ready.queue = task.queue AND ready.priority = task.priority
      AND ready.not_before = task.not_before AND ready.id = task_id;
    IF FOUND THEN
      RETURN true;
    END IF;
    DELETE FROM "firefly".waiting WHERE id = task_id;
    IF FOUND THEN
      RETURN true;
    END IF;
  END LOOP;
  RETURN false;
END
$body$;

-- Puts a record that stands nowhere where it belongs, and rings.
CREATE FUNCTION "firefly"._place(task_id bigint) RETURNS void
LANGUAGE plpgsql AS $body$
DECLARE
  task record;
BEGIN
  SELECT * INTO task FROM "firefly".task WHERE id = task_id AND status = 'created';
  IF NOT FOUND THEN
    RETURN;
  END IF;
  IF task.not_before <= clock_timestamp() AND task.concurrency_key IS NULL AND task.rate_key IS NULL THEN
    INSERT INTO "firefly".ready (id, claim_seq, not_before, priority, queue, func_name)
    VALUES (task.id, task.claim_seq, task.not_before, task.priority, task.queue, task.func_name);
  ELSE
    INSERT INTO "firefly".waiting (
      id, claim_seq, not_before, priority, queue, func_name, concurrency_key, rate_key, reason, admit_at
    ) VALUES (
      task.id, task.claim_seq, task.not_before, task.priority, task.queue, task.func_name,
      task.concurrency_key, task.rate_key,
      CASE
        WHEN task.not_before > clock_timestamp() THEN 'time'
        WHEN task.concurrency_key IS NULL THEN 'rate'
        ELSE 'concurrency'
      END,
      CASE WHEN task.not_before <= clock_timestamp() THEN clock_timestamp() END
    );
  END IF;
  PERFORM pg_notify("firefly".channel(task.queue), '');
END
$body$;

-- Who stands in line for a limit and could run at once: some live consumer knows it, and its queue is not paused. A
-- task that nobody would claim must not keep a slot from others. The subqueries are no joins, so that a line is read
-- in the order of its index, and no further than needed.
CREATE VIEW "firefly"._limit_queue AS
SELECT waiting.ctid AS place, waiting.*
FROM "firefly".waiting
WHERE reason IN ('concurrency', 'rate')
  AND (
    SELECT true
    FROM "firefly".consumer
    WHERE consumer.lease_until > now()
      AND waiting.queue = ANY (consumer.queues) AND waiting.func_name = ANY (consumer.tasks)
    LIMIT 1
  )
  AND NOT COALESCE((SELECT queue.paused FROM "firefly".queue WHERE queue.name = waiting.queue), false);

-- Lets tasks in that wait for these keys, as far as there are slots, and, of those of one key, the most urgent first.
-- The limit is that of the task at the head of the line, and a task without a definition has none. A task with two keys
-- gets both slots or none. `again` says that such tasks were looked at: others of the same keys may have been kept
-- back by their other key alone, so the caller looks again, which passes those over whose other key has no room.
--
-- A lock for each key, held for the few milliseconds of this call, makes the count of slots exact: every statement
-- below sees what was committed before the lock was granted. Keys are locked in order, concurrency before rate, so
-- that two callers cannot wait for each other. Nobody else takes these locks: not who inserts, and not who settles.
-- Records are locked too, so that one that is being cancelled or deleted takes no slot that nobody would give back.
--
-- Call it after the commit of whatever made it necessary: a task that joined a line, or a slot that was given back.
-- Each side first commits what it did and then looks, so the later of two sees both, and no slot stays idle.
CREATE FUNCTION "firefly"._admit(
  concurrency_keys text[], rate_keys text[], OUT admitted integer, OUT again boolean
)
LANGUAGE plpgsql AS $body$
DECLARE
  wanted text;
  room bigint;
  span double precision;
  ends timestamptz;
  first record;
  passed record;
  two_keyed tid[] := '{}';
  filled text[] := '{}';
BEGIN
  admitted := 0;
  -- A crash of the server that forgets this forgets the slots and the places alike; and no claim outlives it.
  PERFORM set_config('synchronous_commit', 'off', true);

  -- A rate that has room lets in tasks of two keys as well, if their other key has room.
  concurrency_keys := concurrency_keys || ARRAY(
    SELECT DISTINCT next.concurrency_key
    FROM unnest(rate_keys) AS rate (key), LATERAL (
      SELECT line.concurrency_key
      FROM "firefly"._limit_queue AS line
      WHERE line.reason = 'concurrency' AND line.rate_key = rate.key
        AND (SELECT count(*) FROM "firefly".slot WHERE slot.kind = 'concurrency' AND slot.key = line.concurrency_key)
          < COALESCE((SELECT concurrency_limit FROM "firefly".definition WHERE func_name = line.func_name), 2147483647)
      ORDER BY line.priority DESC, line.not_before, line.id
      LIMIT 100
    ) AS next
  );

  FOR wanted IN SELECT DISTINCT key FROM unnest(concurrency_keys) AS key WHERE key IS NOT NULL ORDER BY key LOOP
    PERFORM pg_advisory_xact_lock(hashtextextended('firefly' || ':concurrency:' || wanted, 0));
    SELECT COALESCE(definition.concurrency_limit, 2147483647)
      - (SELECT count(*) FROM "firefly".slot WHERE kind = 'concurrency' AND key = wanted) INTO room
    FROM "firefly"._limit_queue AS line
    LEFT JOIN "firefly".definition USING (func_name)
    WHERE line.reason = 'concurrency' AND line.concurrency_key = wanted
    ORDER BY line.priority DESC, line.not_before, line.id
    LIMIT 1;
    CONTINUE WHEN NOT FOUND OR room <= 0;

    SELECT array_agg(place) FILTER (WHERE rate_key IS NULL) AS one_keyed,
      array_agg(place) FILTER (WHERE rate_key IS NOT NULL) AS two_keyed,
      array_agg(rate_key) FILTER (WHERE rate_key IS NOT NULL) AS rate_keys
    INTO first
    FROM (
      SELECT line.place, line.rate_key
      FROM "firefly"._limit_queue AS line, LATERAL (
        SELECT FROM "firefly".task
        WHERE task.id = line.id AND task.claim_seq = line.claim_seq AND task.status = 'created'
        FOR NO KEY UPDATE SKIP LOCKED
      ) AS record
      WHERE line.reason = 'concurrency' AND line.concurrency_key = wanted
        AND (line.rate_key IS NULL
          OR (
            SELECT count(*)
            FROM "firefly".slot
            WHERE slot.kind = 'rate' AND slot.key = line.rate_key
              AND (slot.until IS NULL OR slot.until > clock_timestamp())
          ) < COALESCE((SELECT rate_limit FROM "firefly".definition WHERE func_name = line.func_name), 2147483647))
      ORDER BY line.priority DESC, line.not_before, line.id
      LIMIT LEAST(room, 1000)
      FOR UPDATE OF line
    ) AS line;
    two_keyed := two_keyed || first.two_keyed;
    rate_keys := rate_keys || first.rate_keys;
    CONTINUE WHEN first.one_keyed IS NULL;

    WITH moved AS (
      DELETE FROM "firefly".waiting WHERE ctid = ANY (first.one_keyed) RETURNING *
    ), hasSlots AS (
      INSERT INTO "firefly".slot (kind, key, task_id) SELECT 'concurrency', wanted, id FROM moved
    ), placed AS (
      INSERT INTO "firefly".ready (id, claim_seq, not_before, priority, quarantined, queue, func_name)
      SELECT id, claim_seq, not_before, priority, quarantined, queue, func_name FROM moved
      RETURNING queue
    )
    SELECT count(*), array_agg(DISTINCT queue) AS queues INTO passed FROM placed;
    admitted := admitted + passed.count;
    filled := filled || passed.queues;
  END LOOP;
  again := two_keyed <> '{}';

  FOR wanted IN SELECT DISTINCT key FROM unnest(rate_keys) AS key WHERE key IS NOT NULL ORDER BY key LOOP
    PERFORM pg_advisory_xact_lock(hashtextextended('firefly' || ':rate:' || wanted, 0));
    DELETE FROM "firefly".slot
    WHERE ctid = ANY (ARRAY(
      SELECT ctid FROM "firefly".slot
      WHERE kind = 'rate' AND key = wanted AND until <= clock_timestamp()
      FOR UPDATE SKIP LOCKED
    ));
    SELECT
      COALESCE(definition.rate_limit, 2147483647) - (
        SELECT count(*)
        FROM "firefly".slot
        WHERE kind = 'rate' AND key = wanted AND (until IS NULL OR until > clock_timestamp())
      ),
      COALESCE(definition.rate_per, 1)
    INTO room, span
    FROM (
      (
        SELECT func_name, priority, not_before, id
        FROM "firefly"._limit_queue AS line
        WHERE line.reason = 'rate' AND line.rate_key = wanted
        ORDER BY line.priority DESC, line.not_before, line.id
        LIMIT 1
      )
      UNION ALL
      SELECT func_name, priority, not_before, id
      FROM "firefly".waiting
      WHERE ctid = ANY (two_keyed) AND rate_key = wanted
    ) AS candidate
    LEFT JOIN "firefly".definition USING (func_name)
    ORDER BY candidate.priority DESC, candidate.not_before, candidate.id
    LIMIT 1;

    IF FOUND AND room > 0 THEN
      SELECT array_agg(place) AS places INTO first
      FROM (
        SELECT candidate.place
        FROM (
          SELECT *
          FROM (
            SELECT line.place, line.priority, line.not_before, line.id
            FROM "firefly"._limit_queue AS line, LATERAL (
              SELECT FROM "firefly".task
              WHERE task.id = line.id AND task.claim_seq = line.claim_seq AND task.status = 'created'
              FOR NO KEY UPDATE SKIP LOCKED
            ) AS record
            WHERE line.reason = 'rate' AND line.rate_key = wanted
            ORDER BY line.priority DESC, line.not_before, line.id
            LIMIT LEAST(room, 1000)
            FOR UPDATE OF line
          ) AS one_keyed
          UNION ALL
          SELECT ctid, priority, not_before, id
          FROM "firefly".waiting
          WHERE ctid = ANY (two_keyed) AND rate_key = wanted
        ) AS candidate
        ORDER BY candidate.priority DESC, candidate.not_before, candidate.id
        LIMIT LEAST(room, 1000)
      ) AS candidate;
      WITH moved AS (
        DELETE FROM "firefly".waiting WHERE ctid = ANY (first.places) RETURNING *
      ), hasSlots AS (
        INSERT INTO "firefly".slot (kind, key, task_id, per)
        SELECT 'rate', wanted, id, span FROM moved
        UNION ALL
        SELECT 'concurrency', concurrency_key, id, NULL FROM moved WHERE concurrency_key IS NOT NULL
      ), placed AS (
        INSERT INTO "firefly".ready (id, claim_seq, not_before, priority, quarantined, queue, func_name)
        SELECT id, claim_seq, not_before, priority, quarantined, queue, func_name FROM moved
        RETURNING queue
      )
      SELECT count(*), array_agg(DISTINCT queue) AS queues INTO passed FROM placed;
      admitted := admitted + passed.count;
      filled := filled || passed.queues;
    END IF;

    -- Who is first in line now is looked at when the oldest slot ends, which its consumers are told: the caller may be
    -- too busy by then. Slots of tasks that have not begun have no end yet: whoever begins one calls again.
    SELECT min(until) INTO ends
    FROM "firefly".slot
    WHERE kind = 'rate' AND key = wanted AND until > clock_timestamp() AND until < 'infinity';
    WITH told AS (
      UPDATE "firefly".waiting
      SET admit_at = ends
      WHERE admit_at IS DISTINCT FROM ends AND ctid = ANY (ARRAY(
        SELECT *
        FROM (
          SELECT line.place
          FROM "firefly"._limit_queue AS line
          WHERE line.reason = 'rate' AND line.rate_key = wanted
          ORDER BY line.priority DESC, line.not_before, line.id
          LIMIT 1
          FOR UPDATE OF line SKIP LOCKED
        ) AS one_keyed
        UNION ALL
        SELECT *
        FROM (
          SELECT line.place
          FROM "firefly"._limit_queue AS line
          WHERE line.reason = 'concurrency' AND line.rate_key = wanted
          ORDER BY line.priority DESC, line.not_before, line.id
          LIMIT 1
          FOR UPDATE OF line SKIP LOCKED
        ) AS two_keyed
      ))
      RETURNING queue
    )
    SELECT array_agg(queue) AS queues INTO passed FROM told WHERE ends IS NOT NULL;
    filled := filled || passed.queues;
  END LOOP;

  PERFORM pg_notify("firefly".channel(queue), '') FROM (SELECT DISTINCT unnest(filled) AS queue) AS notified;
END
$body$;

-- Schedules tasks that may have unique keys, given as a list of objects in the names of the columns, in their order.
-- For each it tells the id of the record that there is then, whether that is a new one, and, where it is not all that
-- was given, the record. Where a duplicate forbids it, it schedules nothing, and tells of the duplicate alone and of its key.
CREATE FUNCTION "firefly"._schedule(tasks json)
RETURNS TABLE (
  task_id bigint, created timestamptz, not_before timestamptz, inserted boolean, refused_key text, record json
)
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
#variable_conflict use_column
DECLARE
  seq regclass := pg_get_serial_sequence(quote_ident('firefly') || '.task', 'id');
  ids bigint[] := ARRAY(SELECT nextval(seq) FROM json_array_elements(tasks));
  -- Who has the key of each; a task without one is as if it had one of its own.
  holders bigint[] := ids;
  new record;
  place bigint;
BEGIN
  -- A block, so that a refused call is rolled back to here, and keeps nobody waiting who wants one of its keys.
  BEGIN
    -- In the order of the keys, so that two calls cannot wait for each other. The first of a key speaks for all.
    FOR new IN
      SELECT func_name, unique_key, array_agg(ordinal ORDER BY ordinal) AS ordinals, 0::bigint AS holder
      FROM ROWS FROM (json_to_recordset(tasks) AS (func_name text, unique_key text))
        WITH ORDINALITY AS new (func_name, unique_key, ordinal)
      WHERE unique_key IS NOT NULL
      GROUP BY func_name, unique_key
      ORDER BY func_name COLLATE "C", unique_key COLLATE "C"
    LOOP
      new.holder := "firefly"._take_unique_key(new.func_name, new.unique_key, ids[new.ordinals[1]]);
      FOREACH place IN ARRAY new.ordinals LOOP
        holders[place] := new.holder;
      END LOOP;
    END LOOP;

    -- A duplicate within this call forbids as much as one from before.
    SELECT unique_key, holders[ordinal] AS holder INTO new
    FROM ROWS FROM (json_to_recordset(tasks) AS (unique_key text, on_conflict text))
      WITH ORDINALITY AS new (unique_key, on_conflict, ordinal)
    WHERE on_conflict = 'error' AND holders[ordinal] <> ids[ordinal]
    ORDER BY ordinal
    LIMIT 1;
    IF FOUND THEN
      RAISE SQLSTATE 'FFTWN';
    END IF;
  EXCEPTION WHEN SQLSTATE 'FFTWN' THEN
    RETURN QUERY SELECT new.holder, NULL::timestamptz, NULL::timestamptz, false, new.unique_key, NULL::json;
    RETURN;
  END;

  INSERT INTO "firefly".task (
    id, func_name, queue, params, priority, not_before, max_retries, retry_delay, backoff, timeout, tags,
    concurrency_key, rate_key, unique_key, unique_among, unique_for
  ) OVERRIDING SYSTEM VALUE
  SELECT ids[ordinal], func_name, queue, params, priority,
    CASE WHEN delay > 0 THEN clock_timestamp() + make_interval(secs => delay) ELSE COALESCE(due, now()) END,
    max_retries, retry_delay, backoff, timeout, tags, concurrency_key, rate_key, unique_key, unique_among, unique_for
  FROM ROWS FROM (json_to_recordset(tasks) AS (
    func_name text, queue text, params text, priority integer, not_before timestamptz, delay double precision,
    max_retries integer, retry_delay double precision, backoff jsonb, timeout double precision, tags text[],
    concurrency_key text, rate_key text, unique_key text, unique_among text[], unique_for double precision
  )) WITH ORDINALITY AS new (
    func_name, queue, params, priority, due, delay, max_retries, retry_delay, backoff, timeout, tags,
    concurrency_key, rate_key, unique_key, unique_among, unique_for, ordinal
  )
  WHERE holders[ordinal] = ids[ordinal]
  ORDER BY ordinal;

  -- In the order of the duplicates' ids, as all do that lock several records; the last of a key wins.
  PERFORM "firefly"._replace(holders[ordinal], params, CASE
    WHEN delay > 0 THEN clock_timestamp() + make_interval(secs => delay)
    ELSE COALESCE(due, now())
  END)
  FROM ROWS FROM (json_to_recordset(tasks) AS (
    params text, not_before timestamptz, delay double precision, on_conflict text
  )) WITH ORDINALITY AS new (params, due, delay, on_conflict, ordinal)
  WHERE on_conflict = 'replace' AND holders[ordinal] <> ids[ordinal]
  ORDER BY holders[ordinal], ordinal;

  -- One record after the other by its primary key (OFFSET 0 keeps the planner from joining them): how many there are is
  -- nothing that it could know, and scanning all of task, or comparing all with all, takes minutes where there are many.
  RETURN QUERY
    SELECT given.holder, COALESCE(task.created, now()), COALESCE(task.not_before, now()), given.holder = given.id,
      NULL::text, duplicate.record
    FROM (
      SELECT id, holder, ordinal, bool_or(holder <> id) OVER (PARTITION BY holder) AS kept
      FROM unnest(ids, holders) WITH ORDINALITY AS given (id, holder, ordinal)
    ) AS given
    LEFT JOIN LATERAL (
      SELECT created, not_before FROM "firefly".task WHERE task.id = given.holder OFFSET 0
    ) AS task ON true
    LEFT JOIN LATERAL (
      SELECT row_to_json(duplicate) AS record FROM "firefly".task_record AS duplicate WHERE given.kept AND duplicate.id = given.holder OFFSET 0
    ) AS duplicate ON true
    ORDER BY given.ordinal;
END
$body$;

-- Overwrites the arguments and the time of a created task, and says whether it did: a running one stays as it is.
CREATE FUNCTION "firefly"._replace(duplicate bigint, params text, not_before timestamptz) RETURNS boolean
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
BEGIN
  -- A block, so that the record of a running one is not locked for as long as the caller's transaction lasts: its
  -- consumer could not settle it.
  BEGIN
    PERFORM FROM "firefly".task WHERE task.id = duplicate AND task.status = 'created' FOR UPDATE;
    IF NOT FOUND OR NOT "firefly"._take_from_place(duplicate) THEN
      RAISE SQLSTATE 'FFRUN';
    END IF;
  EXCEPTION WHEN SQLSTATE 'FFRUN' THEN
    RETURN false;
  END;
  UPDATE "firefly".task
  SET params = _replace.params, not_before = _replace.not_before, claim_seq = task.claim_seq + 1
  WHERE task.id = duplicate;
  PERFORM "firefly"._place(duplicate);
  RETURN true;
END
$body$;

-- Schedules a task from any language, inside any transaction; returns its id. NULL takes the default. With a unique
-- key, on_conflict says what becomes of a duplicate: keep (its id is returned), replace (its arguments and time are
-- overwritten while it is created) or error.
DROP FUNCTION "firefly".schedule(
  text, jsonb, text, timestamptz, integer, integer, double precision, double precision, text[]
);
CREATE FUNCTION "firefly".schedule(
  func_name text,
  params jsonb DEFAULT '[]',
  queue text DEFAULT 'default',
  not_before timestamptz DEFAULT now(),
  priority integer DEFAULT 0,
  max_retries integer DEFAULT NULL,
  retry_delay double precision DEFAULT NULL,
  timeout double precision DEFAULT NULL,
  tags text[] DEFAULT '{}',
  unique_key text DEFAULT NULL,
  unique_for double precision DEFAULT NULL,
  on_conflict text DEFAULT 'keep'
) RETURNS bigint
LANGUAGE plpgsql AS $body$
DECLARE
  scheduled record;
BEGIN
  IF jsonb_typeof(COALESCE(params, '[]')) <> 'array' THEN
    RAISE EXCEPTION 'Cannot schedule task "%" as params must be a JSON array of its arguments: current value is of type %',
      func_name, jsonb_typeof(params) USING ERRCODE = 'invalid_parameter_value';
  END IF;
  IF COALESCE(on_conflict, 'keep') NOT IN ('keep', 'replace', 'error') THEN
    RAISE EXCEPTION 'Cannot schedule task "%" as on_conflict must be keep, replace or error: current value is %',
      func_name, on_conflict USING ERRCODE = 'invalid_parameter_value';
  END IF;
  IF unique_key IS NULL THEN
    INSERT INTO "firefly".task (
      func_name, params, queue, not_before, priority, max_retries, retry_delay, timeout, tags
    ) VALUES (
      schedule.func_name, "firefly".encode(COALESCE(schedule.params, '[]')), COALESCE(schedule.queue, 'default'),
      COALESCE(schedule.not_before, now()), COALESCE(schedule.priority, 0), schedule.max_retries, schedule.retry_delay,
      schedule.timeout, COALESCE(schedule.tags, '{}')
    ) RETURNING id AS task_id INTO scheduled;
    RETURN scheduled.task_id;
  END IF;
  SELECT * INTO scheduled
  FROM "firefly"._schedule(json_build_array(json_build_object(
    'func_name', schedule.func_name, 'params', "firefly".encode(COALESCE(schedule.params, '[]')),
    'queue', COALESCE(schedule.queue, 'default'), 'not_before', COALESCE(schedule.not_before, now()),
    'priority', COALESCE(schedule.priority, 0), 'max_retries', schedule.max_retries,
    'retry_delay', schedule.retry_delay, 'timeout', schedule.timeout, 'tags', COALESCE(schedule.tags, '{}'),
    'unique_key', schedule.unique_key, 'unique_for', schedule.unique_for,
    'on_conflict', COALESCE(schedule.on_conflict, 'keep')
  )));
  IF scheduled.refused_key IS NOT NULL THEN
    RAISE EXCEPTION 'Cannot schedule task "%" as task % has its unique key "%"', func_name, scheduled.task_id, unique_key
      USING ERRCODE = 'unique_violation', CONSTRAINT = 'unique_key';
  END IF;
  RETURN scheduled.task_id;
END
$body$;

-- Cancels a task that has not ended, and says whether it did. A running handler is fenced off at once, and its
-- consumer is told to abort it. The slots of a limited one are free: consumers are told to let others in.
CREATE OR REPLACE FUNCTION "firefly".cancel(task_id bigint) RETURNS boolean
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
  IF NOT "firefly"._take_from_place(task_id) OR limited THEN
    PERFORM pg_notify("firefly".control_channel(), '');
  END IF;
  DELETE FROM "firefly".result_waiter WHERE result_waiter.task_id = cancel.task_id;
  IF FOUND THEN
    PERFORM pg_notify("firefly".ended_channel(), '');
  END IF;
  RETURN true;
END
$body$;

-- Schedules a failed or cancelled task again, now and with all of its retries, and says whether it did: not if a duplicate
-- has its unique key by now, or is about to in a transaction that is still open. The history of its errors stays, and
-- claim_seq grows, so that no attempt from before can end it, however it came to be failed.
CREATE OR REPLACE FUNCTION "firefly".retry(task_id bigint) RETURNS boolean
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
  SET status = 'created', claim_seq = claim_seq + 1, not_before = now(), retry_attempts = 0, rescues = 0, crash_count = 0,
    failed = NULL, cancelled = NULL, started = NULL, progress = NULL, progress_note = NULL
  WHERE id = task_id;
  PERFORM "firefly"._place(task_id);
  RETURN true;
END
$body$;

-- Stops the claiming of a queue's tasks, until it is resumed; says whether that is new. What runs goes on, and what a
-- consumer has claimed and not begun it is told to hand back.
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

-- Goes on with a paused queue, and rings; says whether it was paused.
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

-- The records as users see them, with the keys of their limits and of uniqueness.
CREATE OR REPLACE VIEW "firefly".task_record AS
SELECT task.id, task.func_name, task.queue,
  CASE WHEN task.status = 'created' AND leased.id IS NOT NULL THEN 'running' ELSE task.status END AS status,
  task.priority, task.created, task.not_before,
  CASE WHEN task.status = 'created' THEN COALESCE(leased.claimed, task.started) ELSE task.started END AS started,
  task.completed, task.failed, task.cancelled, task.params, task.returned,
  task.retry_attempts + task.rescues + 1 AS attempt,
  task.retry_attempts, task.max_retries, task.retry_delay, task.backoff, task.timeout, task.rescues, task.snoozes,
  task.progress, task.progress_note, task.errors, task.tags, task.unique_key, task.concurrency_key, task.rate_key
FROM "firefly".task
LEFT JOIN (
  SELECT u.id, u.claim_seq, claim_batch.claimed
  FROM "firefly".claim_batch, unnest(claim_batch.ids, claim_batch.claim_seqs) AS u (id, claim_seq)
) AS leased ON leased.id = task.id AND leased.claim_seq = task.claim_seq;

CREATE OR REPLACE VIEW "firefly".task_json AS
SELECT id, func_name, queue, status, priority, created, not_before, started, completed, failed, cancelled,
  "firefly".try_decode(params) AS params, "firefly".try_decode(returned) AS returned,
  attempt, retry_attempts, max_retries, retry_delay, backoff, timeout, rescues, snoozes, progress, progress_note, errors,
  tags, unique_key, concurrency_key, rate_key
FROM "firefly".task_record;
