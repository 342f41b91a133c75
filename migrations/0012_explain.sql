-- Firefly: explain(), part 2: what keeps a task waiting.

-- A concurrency key without a free slot for it: the tasks that hold the slots, and how many come before it.
CREATE FUNCTION "firefly"._explain_concurrency(it "firefly".task) RETURNS SETOF "firefly".task_reason
LANGUAGE plpgsql STABLE AS $body$
DECLARE
  most integer := (SELECT concurrency_limit FROM "firefly".definition WHERE func_name = it.func_name);
  taken bigint;
  ahead bigint;
  holders jsonb;
BEGIN
  SELECT count(*) INTO taken FROM "firefly".slot WHERE kind = 'concurrency' AND key = it.concurrency_key;
  -- Two ranges of the index instead of one OR, for which it would be read to its end. Tasks of paused queues are not
  -- admitted, and so keep no task waiting.
  SELECT count(*) INTO ahead
  FROM (
    (SELECT queue FROM "firefly".waiting
    WHERE reason = 'concurrency' AND concurrency_key = it.concurrency_key AND priority > it.priority
    ORDER BY priority DESC, not_before, id)
    UNION ALL
    (SELECT queue FROM "firefly".waiting
    WHERE reason = 'concurrency' AND concurrency_key = it.concurrency_key AND priority = it.priority
      AND (not_before, id) < (it.not_before, it.id)
    ORDER BY not_before, id)
    LIMIT 10001
  ) AS earlier
  WHERE NOT EXISTS (SELECT FROM "firefly".queue WHERE name = earlier.queue AND paused);
  IF most IS NULL OR taken + ahead < most THEN
    RETURN;
  END IF;

  SELECT COALESCE(jsonb_agg(to_jsonb(holder) ORDER BY holder.since, holder.task_id), '[]') INTO holders
  FROM (
    SELECT slot.task_id, slot.taken AS since, claimed.consumer, claimed.host, claimed.pid
    FROM "firefly".slot
    LEFT JOIN LATERAL (
      SELECT run.consumer_id AS consumer, consumer.host, consumer.pid
      FROM "firefly"._claimed_run AS run
      LEFT JOIN "firefly".consumer ON consumer.id = run.consumer_id
      JOIN "firefly".task AS held ON held.id = slot.task_id
      WHERE held.id >= run.id AND held.id < run.id + run.length AND run.claim_seq = held.claim_seq
      LIMIT 1
    ) AS claimed ON true
    WHERE slot.kind = 'concurrency' AND slot.key = it.concurrency_key
    ORDER BY slot.taken, slot.task_id
    LIMIT 20
  ) AS holder;
  RETURN QUERY SELECT 'concurrency',
    format('Its concurrency key "%s" has %s of %s taken: ', it.concurrency_key, taken,
      "firefly"._format_count(most, 'slot'))
      || concat_ws(', and ',
        (SELECT 'held by ' || string_agg(
          'task ' || (holder ->> 'task_id')
            || COALESCE(' on ' || (holder ->> 'host') || ', process ' || (holder ->> 'pid'), ''),
          ', '
        ) FROM jsonb_path_query(holders, '$[0 to 2]') AS holder),
        CASE WHEN ahead > 0 THEN "firefly"._format_count(ahead, 'task') || ' before it' END
      ),
    jsonb_build_object('key', it.concurrency_key, 'limit', most, 'taken', taken, 'holders', holders,
      'ahead', LEAST(ahead, 10000), 'more', ahead > 10000);
END
$body$;

-- A rate key without a free slot for it: when its turn comes. That is exact for the first of the limit queue. For
-- others it is a forecast, and too early where admitted tasks are still to be claimed.
CREATE FUNCTION "firefly"._explain_rate(it "firefly".task) RETURNS SETOF "firefly".task_reason
LANGUAGE plpgsql STABLE AS $body$
DECLARE
  defined record;
  ends timestamptz[];
  ahead bigint;
  rounds bigint;
  position integer;
  turn timestamptz;
BEGIN
  SELECT rate_limit AS most, rate_per AS per INTO defined FROM "firefly".definition WHERE func_name = it.func_name;
  -- The slot of a task that is admitted or claimed and has not begun has no end yet.
  SELECT COALESCE(array_agg(
    COALESCE(NULLIF(until, 'infinity'), statement_timestamp() + make_interval(secs => defined.per)) ORDER BY until
  ), '{}')
  INTO ends
  FROM "firefly".slot
  WHERE kind = 'rate' AND key = it.rate_key AND (until IS NULL OR until > statement_timestamp());
  SELECT count(*) INTO ahead
  FROM (
    (SELECT queue FROM "firefly".waiting
    WHERE reason = 'rate' AND rate_key = it.rate_key AND priority > it.priority
    ORDER BY priority DESC, not_before, id)
    UNION ALL
    (SELECT queue FROM "firefly".waiting
    WHERE reason = 'rate' AND rate_key = it.rate_key AND priority = it.priority
      AND (not_before, id) < (it.not_before, it.id)
    ORDER BY not_before, id)
    LIMIT 10001
  ) AS earlier
  WHERE NOT EXISTS (SELECT FROM "firefly".queue WHERE name = earlier.queue AND paused);
  IF defined.most IS NULL OR cardinality(ends) + ahead < defined.most THEN
    RETURN;
  END IF;

  -- Each slot serves one task of the limit queue in every span: the first of them takes the slot that ends first.
  rounds := ahead / defined.most;
  position := ahead % defined.most - (defined.most - cardinality(ends)) + 1;
  turn := CASE WHEN position > 0 THEN ends[position] ELSE statement_timestamp() END
    + make_interval(secs => rounds * defined.per);
  RETURN QUERY SELECT 'rate',
    format('Its rate key "%s" allows %s to start every %s s: ', it.rate_key,
      "firefly"._format_count(defined.most, 'task'), defined.per)
      || format('its turn does not come before %s', "firefly"._format_time(turn))
      || CASE WHEN ahead > 0 THEN format(', with %s before it', "firefly"._format_count(ahead, 'task')) ELSE '' END,
    jsonb_build_object('key', it.rate_key, 'limit', defined.most, 'per', defined.per, 'taken', cardinality(ends),
      'until', turn, 'ahead', LEAST(ahead, 10000), 'more', ahead > 10000);
END
$body$;

-- A task that is ready: how many are claimed before it, and whether a consumer has room.
CREATE FUNCTION "firefly"._explain_order(it "firefly".task, is_quarantined boolean) RETURNS SETOF "firefly".task_reason
LANGUAGE plpgsql STABLE AS $body$
DECLARE
  -- The names that are claimed at all: others are passed over. NULL if no consumer claims from this queue.
  known text[] := (
    SELECT array_agg(DISTINCT name)
    FROM "firefly".consumer, unnest(consumer.tasks) AS name
    WHERE consumer.lease_until > statement_timestamp()
      AND (consumer.all_queues OR it.queue = ANY (consumer.queues))
  );
  ahead bigint;
  able record;
BEGIN
  IF is_quarantined THEN
    RETURN QUERY SELECT 'quarantined',
      'Consumers crashed while they held it: it is claimed alone, and each consumer runs one such task at a time',
      jsonb_build_object('rescues', COALESCE(it.rescues, 0), 'crashes', COALESCE(it.crash_count, 0));
  END IF;

  -- Of the run that it stands in, those before it.
  SELECT COALESCE(sum(
    CASE WHEN earlier.not_before = it.not_before AND earlier.priority = it.priority
      THEN LEAST(earlier.length, it.id - earlier.id) ELSE earlier.length END
  ), 0) INTO ahead
  FROM (
    (SELECT id, length, priority, not_before FROM "firefly".ready
    WHERE queue = it.queue AND priority > it.priority AND quarantined = is_quarantined
      AND (known IS NULL OR func_name = ANY (known))
    ORDER BY priority DESC, not_before, id)
    UNION ALL
    (SELECT id, length, priority, not_before FROM "firefly".ready
    WHERE queue = it.queue AND priority = it.priority AND (not_before, id) < (it.not_before, it.id)
      AND quarantined = is_quarantined AND (known IS NULL OR func_name = ANY (known))
    ORDER BY not_before, id)
    LIMIT 10001
  ) AS earlier;
  IF ahead > 0 THEN
    RETURN QUERY SELECT 'behind',
      format('It stands behind %s in its queue "%s"', "firefly"._format_count(ahead, 'task'), it.queue),
      jsonb_build_object('queue', it.queue, 'ahead', LEAST(ahead, 10000), 'more', ahead > 10000);
  END IF;

  SELECT count(*) AS consumers, sum(consumer.concurrency) AS most, sum(claims.count) AS running,
    bool_and(claims.count >= consumer.concurrency OR is_quarantined AND claims.with_quarantined) AS busy
  INTO able
  FROM "firefly".consumer, LATERAL (
    SELECT count(*), COALESCE(bool_or(claim.quarantined), false) AS with_quarantined
    FROM "firefly"._claimed_task AS claim
    JOIN "firefly".task ON task.id = claim.id AND task.claim_seq = claim.claim_seq AND task.status = 'created'
    WHERE claim.consumer_id = consumer.id
  ) AS claims
  WHERE consumer.lease_until > statement_timestamp()
    AND (consumer.all_queues OR it.queue = ANY (consumer.queues)) AND it.func_name = ANY (consumer.tasks);
  IF able.busy THEN
    RETURN QUERY SELECT 'busy',
      format('The consumers that could run it have no room: they run %s of %s tasks', able.running, able.most),
      jsonb_build_object('consumers', able.consumers, 'running', able.running, 'concurrency', able.most);
  END IF;
END
$body$;

-- A task that waits for a consumer: what keeps it, first what an operator must act on.
CREATE FUNCTION "firefly"._explain_waiting(it "firefly".task) RETURNS SETOF "firefly".task_reason
LANGUAGE plpgsql STABLE AS $body$
DECLARE
  error jsonb := it.errors -> -1;
  place record;
  limited integer := 0;
  dependent integer;
  suspended integer;
BEGIN
  RETURN QUERY SELECT * FROM "firefly"._explain_dependencies(it);
  GET DIAGNOSTICS dependent = ROW_COUNT;
  RETURN QUERY SELECT * FROM "firefly"._explain_suspension(it);
  GET DIAGNOSTICS suspended = ROW_COUNT;
  IF EXISTS (SELECT FROM "firefly".queue WHERE name = it.queue AND paused) THEN
    RETURN QUERY SELECT 'paused', format('Its queue "%s" is paused', it.queue), jsonb_build_object('queue', it.queue);
  END IF;

  IF it.not_before > statement_timestamp() AND suspended = 0 THEN
    IF it.started IS NULL OR NOT COALESCE(error ? 'delay', false) THEN
      error := NULL;
    END IF;
    RETURN QUERY SELECT 'not_due',
      CASE
        WHEN it.not_before = 'infinity' THEN 'It is never due, as its not_before is infinity'
        ELSE format('It is not due before %s', "firefly"._format_time(it.not_before))
      END
        || COALESCE(', when it is tried again after ' || "firefly"._format_error(error), ''),
      jsonb_build_object(
        'until', it.not_before, 'retry', it.started IS NOT NULL, 'error', "firefly"._brief_error(error)
      );
  END IF;

  RETURN QUERY SELECT * FROM "firefly"._explain_consumers(it);
  IF dependent > 0 OR suspended > 0 THEN
    RETURN;
  END IF;

  SELECT 'ready' AS reason, quarantined INTO place
  FROM "firefly".ready
  WHERE queue = it.queue AND priority = it.priority AND not_before = it.not_before AND id BETWEEN it.id - 999 AND it.id
    AND id + length > it.id AND claim_seq = it.claim_seq;
  IF NOT FOUND THEN
    SELECT reason, quarantined INTO place FROM "firefly".waiting WHERE id = it.id AND claim_seq = it.claim_seq;
  END IF;
  IF NOT FOUND THEN
    RETURN QUERY SELECT 'unplaced',
      'It is neither ready nor waiting, as after an edit by hand: consumers look for such tasks and requeue them',
      '{}'::jsonb;
  ELSIF it.not_before > statement_timestamp() THEN
    NULL;
  ELSIF place.reason = 'ready' THEN
    RETURN QUERY SELECT * FROM "firefly"._explain_order(it, place.quarantined);
  ELSE
    IF it.concurrency_key IS NOT NULL AND place.reason IN ('time', 'concurrency') THEN
      RETURN QUERY SELECT * FROM "firefly"._explain_concurrency(it);
      GET DIAGNOSTICS limited = ROW_COUNT;
    END IF;
    IF it.rate_key IS NOT NULL AND place.reason IN ('time', 'concurrency', 'rate') AND limited = 0 THEN
      RETURN QUERY SELECT * FROM "firefly"._explain_rate(it);
    END IF;
  END IF;
END
$body$;

-- Explains why a task does not run, in the order in which the reasons matter: first what an operator must act on, then
-- what time resolves. No row means that there is no such task. The reasons, each with its data:
--
-- ended         status, at, error: it is over; unmet (task_id, root): a task that it depends on did not complete, and is
--               to be retried first; unique (key, task_id, until): a duplicate keeps it from being retried; compensated
--               (since): it has undone its steps, and is not retried
-- running       attempt, since, consumer, host, pid, lease_until
-- orphaned      the same: that consumer crashed, and the task will be rescued
-- compensating  since, error: it failed, and undoes its steps before it ends
-- dependencies  open, of, tasks (task_id, func_name, status; at most 20): it waits for other tasks
-- released      of: they have ended, and it is about to be told
-- sleeping      name, key, since, until: its handler sleeps
-- signal        name, key, since, until: its handler waits for a signal
-- step_retry    name, key, until, failures, error: a step of its handler is tried again
-- calls         name, key, since, open, of, tasks: its handler waits for tasks that it called
-- paused        queue
-- not_due       until, retry (it was tried before), error
-- no_consumer   queue, served: the queues that live consumers serve, elsewhere: those whose consumers know its name
-- unknown_name  queue, func_name, near: names like it, elsewhere: queues whose consumers know it
-- unplaced      it was edited by hand
-- concurrency   key, limit, taken, holders (task_id, since, consumer, host, pid; at most 20), ahead, more (than 10,000)
-- rate          key, limit, per, taken, until, ahead, more
-- quarantined   rescues, crashes: consumers crashed while they ran it
-- behind        queue, ahead, more
-- busy          consumers, running, concurrency: those that could run it have no room
-- due           since: nothing keeps it: it is about to be claimed, or admitted where it has limits
CREATE FUNCTION "firefly".explain(task_id bigint) RETURNS SETOF "firefly".task_reason
LANGUAGE plpgsql STABLE AS $body$
DECLARE
  it "firefly".task;
  reasons integer;
BEGIN
  SELECT * INTO it FROM "firefly".task WHERE id = task_id;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  it.params := ''; -- large at times, and copied with each call
  it.returned := NULL;
  IF it.status <> 'created' THEN
    RETURN QUERY SELECT * FROM "firefly"._explain_ended(it);
    RETURN QUERY SELECT * FROM "firefly"._explain_compensation(it);
    RETURN;
  END IF;
  RETURN QUERY SELECT * FROM "firefly"._explain_claim(it);
  GET DIAGNOSTICS reasons = ROW_COUNT;
  RETURN QUERY SELECT * FROM "firefly"._explain_compensation(it);
  IF reasons > 0 THEN
    RETURN;
  END IF;
  RETURN QUERY SELECT * FROM "firefly"._explain_waiting(it);
  GET DIAGNOSTICS reasons = ROW_COUNT;
  IF reasons = 0 THEN
    RETURN QUERY SELECT 'due',
      format('It has been due since %s, and is about to be claimed', "firefly"._format_time(it.not_before)),
      jsonb_build_object('since', it.not_before);
  END IF;
END
$body$;
