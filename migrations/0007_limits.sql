-- Firefly: admitting tasks under limits.

-- The subqueries are not joins, so that a limit queue is read in the order of its index, and no further than needed.
CREATE VIEW "firefly"._limit_queue AS
SELECT waiting.ctid AS place, waiting.*
FROM "firefly".waiting
WHERE reason IN ('concurrency', 'rate')
  AND (
    SELECT true
    FROM "firefly".consumer
    WHERE consumer.lease_until > now()
      AND (consumer.all_queues OR waiting.queue = ANY (consumer.queues)) AND waiting.func_name = ANY (consumer.tasks)
    LIMIT 1
  )
  AND NOT COALESCE((SELECT queue.paused FROM "firefly".queue WHERE queue.name = waiting.queue), false);
COMMENT ON VIEW "firefly"._limit_queue IS
  'A task that waits for a slot and could run at once: a live consumer knows it, and its queue is not paused. '
  'A task that no consumer would claim must not keep a slot from others.';

-- Admits tasks that wait for these keys, as far as there are free slots, the most urgent of each key first. The limit
-- is that of the first task in the limit queue, and a task without a definition has none. A task with two keys gets
-- both slots or none. `again`: tasks with two keys were among those looked at. Others of the same keys may have been
-- kept back by their other key alone, so the caller calls again, which passes over tasks whose other key has no free
-- slot.
--
-- A lock for each key, held for the few milliseconds of this call, makes the count of slots exact: each statement below
-- sees what was committed before the lock was granted. Keys are locked in order, concurrency before rate, so that two
-- callers cannot deadlock. Neither inserting nor settling takes these locks. Records are locked too, so that a task
-- that is being cancelled or deleted takes no slot that would never be released.
--
-- Call it after the commit of what made it necessary, a task that joined a limit queue or a slot that was released.
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
  picked record;
  admission record;
  two_keyed tid[] := '{}';
  filled text[] := '{}';
BEGIN
  admitted := 0;
  -- A crash of the server that undoes this undoes the slots and the places alike, and no claim outlives it.
  PERFORM set_config('synchronous_commit', 'off', true);

  -- A rate with free slots admits tasks of two keys as well, if their other key has a free slot.
  concurrency_keys := concurrency_keys || ARRAY(
    SELECT DISTINCT next.concurrency_key
    FROM unnest(rate_keys) AS rate (key), LATERAL (
      SELECT queued.concurrency_key
      FROM "firefly"._limit_queue AS queued
      WHERE queued.reason = 'concurrency' AND queued.rate_key = rate.key
        AND (SELECT count(*) FROM "firefly".slot WHERE slot.kind = 'concurrency' AND slot.key = queued.concurrency_key)
          < COALESCE((SELECT concurrency_limit FROM "firefly".definition WHERE func_name = queued.func_name),
            2147483647)
      ORDER BY queued.priority DESC, queued.not_before, queued.id
      LIMIT 100
    ) AS next
  );

  FOR wanted IN SELECT DISTINCT key FROM unnest(concurrency_keys) AS key WHERE key IS NOT NULL ORDER BY key LOOP
    PERFORM pg_advisory_xact_lock(hashtextextended('firefly' || ':concurrency:' || wanted, 0));
    SELECT COALESCE(definition.concurrency_limit, 2147483647)
      - (SELECT count(*) FROM "firefly".slot WHERE kind = 'concurrency' AND key = wanted) INTO room
    FROM "firefly"._limit_queue AS queued
    LEFT JOIN "firefly".definition USING (func_name)
    WHERE queued.reason = 'concurrency' AND queued.concurrency_key = wanted
    ORDER BY queued.priority DESC, queued.not_before, queued.id
    LIMIT 1;
    CONTINUE WHEN NOT FOUND OR room <= 0;

    SELECT array_agg(place) FILTER (WHERE rate_key IS NULL) AS one_keyed,
      array_agg(place) FILTER (WHERE rate_key IS NOT NULL) AS two_keyed,
      array_agg(rate_key) FILTER (WHERE rate_key IS NOT NULL) AS rate_keys
    INTO picked
    FROM (
      SELECT queued.place, queued.rate_key
      FROM "firefly"._limit_queue AS queued, LATERAL (
        SELECT FROM "firefly".task
        WHERE task.id = queued.id AND task.claim_seq = queued.claim_seq AND task.status = 'created'
        FOR NO KEY UPDATE SKIP LOCKED
      ) AS record
      WHERE queued.reason = 'concurrency' AND queued.concurrency_key = wanted
        AND (queued.rate_key IS NULL
          OR (
            SELECT count(*)
            FROM "firefly".slot
            WHERE slot.kind = 'rate' AND slot.key = queued.rate_key
              AND (slot.until IS NULL OR slot.until > clock_timestamp())
          ) < COALESCE((SELECT rate_limit FROM "firefly".definition WHERE func_name = queued.func_name), 2147483647))
      ORDER BY queued.priority DESC, queued.not_before, queued.id
      LIMIT LEAST(room, 1000)
      FOR UPDATE OF queued
    ) AS admissible;
    two_keyed := two_keyed || picked.two_keyed;
    rate_keys := rate_keys || picked.rate_keys;
    CONTINUE WHEN picked.one_keyed IS NULL;

    WITH moved AS (
      DELETE FROM "firefly".waiting WHERE ctid = ANY (picked.one_keyed) RETURNING *
    ), slots_taken AS (
      INSERT INTO "firefly".slot (kind, key, task_id) SELECT 'concurrency', wanted, id FROM moved
    ), placed AS (
      INSERT INTO "firefly".ready (id, claim_seq, not_before, priority, quarantined, queue, func_name)
      SELECT id, claim_seq, not_before, priority, quarantined, queue, func_name FROM moved
      RETURNING queue
    )
    SELECT count(*), array_agg(DISTINCT queue) AS queues INTO admission FROM placed;
    admitted := admitted + admission.count;
    filled := filled || admission.queues;
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
        FROM "firefly"._limit_queue AS queued
        WHERE queued.reason = 'rate' AND queued.rate_key = wanted
        ORDER BY queued.priority DESC, queued.not_before, queued.id
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
      SELECT array_agg(place) AS places INTO picked
      FROM (
        SELECT candidate.place
        FROM (
          SELECT *
          FROM (
            SELECT queued.place, queued.priority, queued.not_before, queued.id
            FROM "firefly"._limit_queue AS queued, LATERAL (
              SELECT FROM "firefly".task
              WHERE task.id = queued.id AND task.claim_seq = queued.claim_seq AND task.status = 'created'
              FOR NO KEY UPDATE SKIP LOCKED
            ) AS record
            WHERE queued.reason = 'rate' AND queued.rate_key = wanted
            ORDER BY queued.priority DESC, queued.not_before, queued.id
            LIMIT LEAST(room, 1000)
            FOR UPDATE OF queued
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
        DELETE FROM "firefly".waiting WHERE ctid = ANY (picked.places) RETURNING *
      ), slots_taken AS (
        INSERT INTO "firefly".slot (kind, key, task_id, per)
        SELECT 'rate', wanted, id, span FROM moved
        UNION ALL
        SELECT 'concurrency', concurrency_key, id, NULL FROM moved WHERE concurrency_key IS NOT NULL
      ), placed AS (
        INSERT INTO "firefly".ready (id, claim_seq, not_before, priority, quarantined, queue, func_name)
        SELECT id, claim_seq, not_before, priority, quarantined, queue, func_name FROM moved
        RETURNING queue
      )
      SELECT count(*), array_agg(DISTINCT queue) AS queues INTO admission FROM placed;
      admitted := admitted + admission.count;
      filled := filled || admission.queues;
    END IF;

    -- The task that is first in the limit queue now is looked at when the oldest slot ends. Its consumers are notified
    -- of that time, since the caller may be too busy by then. Slots of tasks that have not begun have no end yet: the
    -- consumer that begins one calls again.
    SELECT min(until) INTO ends
    FROM "firefly".slot
    WHERE kind = 'rate' AND key = wanted AND until > clock_timestamp() AND until < 'infinity';
    WITH dated AS (
      UPDATE "firefly".waiting
      SET admit_at = ends
      WHERE admit_at IS DISTINCT FROM ends AND ctid = ANY (ARRAY(
        SELECT *
        FROM (
          SELECT queued.place
          FROM "firefly"._limit_queue AS queued
          WHERE queued.reason = 'rate' AND queued.rate_key = wanted
          ORDER BY queued.priority DESC, queued.not_before, queued.id
          LIMIT 1
          FOR UPDATE OF queued SKIP LOCKED
        ) AS one_keyed
        UNION ALL
        SELECT *
        FROM (
          SELECT queued.place
          FROM "firefly"._limit_queue AS queued
          WHERE queued.reason = 'concurrency' AND queued.rate_key = wanted
          ORDER BY queued.priority DESC, queued.not_before, queued.id
          LIMIT 1
          FOR UPDATE OF queued SKIP LOCKED
        ) AS two_keyed
      ))
      RETURNING queue
    )
    SELECT array_agg(queue) AS queues INTO admission FROM dated WHERE ends IS NOT NULL;
    filled := filled || admission.queues;
  END LOOP;

  PERFORM pg_notify("firefly".channel(queue), ''), "firefly"._announce(queue)
  FROM (SELECT DISTINCT unnest(filled) AS queue) AS notified;
END
$body$;
