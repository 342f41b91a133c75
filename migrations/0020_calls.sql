-- Firefly: calls, tasks that a handler schedules and waits for.
--
-- The rows of `dependency` with `called` are those of calls. Such a task is a callee; its caller is suspended until it
-- ends, in whatever way. A callee has `dependants`, so that its end is noted in `ended`; and so has a caller, so that its
-- callees are cancelled when it ends.

-- By the callers, where each end of a task looks for callees that it leaves behind.
CREATE INDEX dependency_calls ON "firefly".dependency (task_id) WHERE called;

-- Schedules the tasks that a handler calls, and stores the call with what the handler has done before. Returns the ids of
-- the callees, in the order of `tasks`, or a key that keeps one of them from being scheduled, with the duplicate that
-- holds it. NULL if the attempt holds its task no more, or another attempt has stored the call: nothing is scheduled then.
--
-- `call` is a list of one row, and `facts` one of those before it, as _store_steps() has them; `tasks` as _schedule() has.
CREATE FUNCTION "firefly"._call(
  caller bigint, fence integer, call json, facts json, tasks json,
  OUT callees bigint[], OUT refused_key text, OUT holder bigint
)
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
DECLARE
  first integer;
  others bigint[];
BEGIN
  -- The end of the caller needs this lock, and sees the mark then.
  UPDATE "firefly".task
  SET dependants = true
  WHERE task.id = caller AND task.claim_seq = fence AND task.status = 'created' AND task.dependants IS NULL;
  IF NOT FOUND THEN
    PERFORM FROM "firefly".task
    WHERE task.id = caller AND task.claim_seq = fence AND task.status = 'created'
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
      RETURN;
    END IF;
  END IF;

  -- A block, so that a call that another attempt has stored, or that is refused, leaves nothing behind.
  BEGIN
    SELECT array_agg(made.task_id ORDER BY made.place), array_agg(made.task_id) FILTER (WHERE NOT made.is_own),
      min(made.refused_key), min(made.task_id)
    INTO callees, others, refused_key, holder
    FROM (
      -- A duplicate of one of these tasks is not there before.
      SELECT made.*, bool_or(made.inserted) OVER (PARTITION BY made.task_id) AS is_own
      FROM "firefly"._schedule(tasks, true) WITH ORDINALITY AS made (
        task_id, created, not_before, inserted, refused_key, record, place
      )
    ) AS made;
    IF refused_key IS NOT NULL THEN
      RAISE SQLSTATE 'FFDUP';
    END IF;
    IF others IS NOT NULL THEN
      PERFORM FROM "firefly".task WHERE task.id = ANY (others) ORDER BY task.id FOR NO KEY UPDATE;
      UPDATE "firefly".task SET dependants = true WHERE task.id = ANY (others) AND task.dependants IS NULL;
    END IF;
    first := COALESCE((SELECT max(dependency.ordinal) + 1 FROM "firefly".dependency WHERE dependency.task_id = caller), 0);
    INSERT INTO "firefly".dependency (task_id, ordinal, dependency_id, settled, called, shared, status)
    SELECT caller, first + callee.place - 1, callee.id, true, true, COALESCE(callee.id = ANY (others), false),
      -- A key may outlast the record of its holder: nothing will tell the end of that.
      CASE WHEN callee.id = ANY (others) THEN NULLIF(COALESCE((
        SELECT task.status FROM "firefly".task WHERE task.id = callee.id
      ), 'deleted'), 'created') END
    FROM unnest(callees) WITH ORDINALITY AS callee (id, place);
    PERFORM "firefly"._store_steps(facts);
    IF "firefly"._store_steps(call, callees) = 0 THEN
      RAISE SQLSTATE 'FFDUP';
    END IF;
    holder := NULL;
  EXCEPTION WHEN SQLSTATE 'FFDUP' THEN
    callees := NULL;
    holder := CASE WHEN refused_key IS NOT NULL THEN holder END;
  END;
END
$body$;

-- Tells callers that these calls of theirs have ended. A caller is woken once one of the calls that it waits for is
-- complete. Returns how many were woken. The caller of this function has locked the records.
--
-- `pending` counts down from the fewest ends that may complete a call, so that most ends cost one small UPDATE. At 0 the
-- calls are counted anew: the ends may have been those of different ones.
CREATE FUNCTION "firefly"._tell_callers(task_ids bigint[], ordinals integer[], statuses text[]) RETURNS integer
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
DECLARE
  over bigint[];
BEGIN
  WITH told AS (
    UPDATE "firefly".dependency
    SET status = given.status
    FROM unnest(task_ids, ordinals, statuses) AS given (task_id, ordinal, status)
    WHERE dependency.task_id = given.task_id AND dependency.ordinal = given.ordinal AND dependency.status IS NULL
    RETURNING dependency.task_id
  ), counted AS (
    UPDATE "firefly".waiting
    SET pending = waiting.pending - told.ends
    FROM (SELECT told.task_id, count(*)::integer AS ends FROM told GROUP BY told.task_id) AS told
    WHERE waiting.id = told.task_id AND waiting.suspended AND waiting.pending IS NOT NULL
    RETURNING waiting.id, waiting.pending
  )
  SELECT array_agg(counted.id) INTO over FROM counted WHERE counted.pending <= 0;
  IF over IS NULL THEN
    RETURN 0;
  END IF;

  WITH counted AS MATERIALIZED (
    SELECT caller.id, min("firefly"._count_open(caller.id, step.callees)) AS open
    FROM unnest(over) AS caller (id)
    -- OFFSET 0 has the steps looked up by their task, however few the planner expects to wait.
    CROSS JOIN LATERAL (
      SELECT step.kind, step.status, step.callees FROM "firefly".step WHERE step.task_id = caller.id OFFSET 0
    ) AS step
    WHERE step.kind = 'call' AND step.status = 'waiting'
    GROUP BY caller.id
  ), kept AS (
    UPDATE "firefly".waiting
    SET pending = counted.open
    FROM counted
    WHERE waiting.id = counted.id AND waiting.suspended AND counted.open > 0
    RETURNING waiting.id
  )
  SELECT array_agg(caller.id) INTO over
  FROM unnest(over) AS caller (id)
  WHERE caller.id NOT IN (SELECT kept.id FROM kept);
  RETURN CASE WHEN over IS NULL THEN 0 ELSE "firefly"._wake(over) END;
END
$body$;

-- Cancels the callees, which have not ended, of callers that have, or that were deleted. Those that another task has
-- called, too, and those that were there before, outlive them. It waits for no lock: `again` if there is more to do. The
-- lock on the caller keeps a retry waiting that begins now until it can see what it has to retry.
CREATE FUNCTION "firefly"._cancel_callees(callers bigint[], OUT cancelled integer, OUT again boolean)
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
DECLARE
  deleted bigint[];
  held bigint[];
  callees bigint[];
  locked bigint[];
BEGIN
  SELECT array_agg(caller.id) FILTER (WHERE task.id IS NULL) INTO deleted
  FROM unnest(callers) AS caller (id)
  -- OFFSET 0 has each looked up by its id, however many the planner expects.
  LEFT JOIN LATERAL (SELECT task.id FROM "firefly".task WHERE task.id = caller.id OFFSET 0) AS task ON true;
  SELECT array_agg(caller.id) INTO held
  FROM (
    SELECT task.id
    FROM "firefly".task
    WHERE task.id = ANY (callers) AND task.status <> 'created'
    ORDER BY task.id
    FOR SHARE SKIP LOCKED
  ) AS caller;

  SELECT array_agg(callee.id) INTO callees
  FROM (
    SELECT DISTINCT own.dependency_id AS id
    FROM unnest(COALESCE(held, '{}') || COALESCE(deleted, '{}')) AS caller (id)
    CROSS JOIN LATERAL (
      SELECT edge.dependency_id
      FROM "firefly".dependency AS edge
      WHERE edge.task_id = caller.id AND edge.called AND NOT edge.shared AND edge.status IS NULL
      OFFSET 0
    ) AS own
    CROSS JOIN LATERAL (
      SELECT FROM "firefly".task WHERE task.id = own.dependency_id AND task.status = 'created' OFFSET 0
    ) AS callee
    WHERE (
      -- Not EXISTS, for which the planner might read all of them.
      SELECT true
      FROM "firefly".dependency AS other
      CROSS JOIN LATERAL (
        SELECT FROM "firefly".task WHERE task.id = other.task_id AND task.status = 'created' OFFSET 0
      ) AS caller
      WHERE other.dependency_id = own.dependency_id AND other.called AND other.status IS NULL
      LIMIT 1
    ) IS NULL
    ORDER BY own.dependency_id
    LIMIT 1000
  ) AS callee;
  SELECT array_agg(callee.id) INTO locked
  FROM (
    SELECT task.id FROM "firefly".task WHERE task.id = ANY (callees) ORDER BY task.id FOR NO KEY UPDATE SKIP LOCKED
  ) AS callee;
  SELECT count(*) FILTER (WHERE "firefly".cancel(callee.id)) INTO cancelled FROM unnest(locked) AS callee (id);

  again := COALESCE(cardinality(callees) = 1000 OR cardinality(callees) > COALESCE(cardinality(locked), 0), false);
  IF NOT again AND deleted IS NOT NULL THEN
    DELETE FROM "firefly".dependency WHERE dependency.task_id = ANY (deleted);
  END IF;
  -- A caller that is being retried at this moment, or about to be deleted, is looked at once more.
  INSERT INTO "firefly".ended (task_id)
  SELECT caller.id
  FROM unnest(callers) AS caller (id)
  LEFT JOIN LATERAL (SELECT task.status FROM "firefly".task WHERE task.id = caller.id OFFSET 0) AS task ON true
  WHERE CASE WHEN again THEN task.status IS DISTINCT FROM 'created'
    ELSE task.status <> 'created' AND caller.id <> ALL (COALESCE(held, '{}')) END;
  again := again OR FOUND OR cancelled > 0;
END
$body$;

-- Retries the callees of a task that is retried which did not complete, and that its handler still waits for.
CREATE FUNCTION "firefly"._retry_callees(caller bigint) RETURNS void
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
BEGIN
  PERFORM "firefly"._retry(callee.id)
  FROM (
    SELECT DISTINCT callee.id
    FROM (
      SELECT step.kind, step.status, step.callees FROM "firefly".step WHERE step.task_id = caller OFFSET 0
    ) AS step, unnest(step.callees) AS callee (id)
    CROSS JOIN LATERAL (
      SELECT FROM "firefly".task WHERE task.id = callee.id AND task.status IN ('failed', 'cancelled') OFFSET 0
    ) AS task
    WHERE step.kind = 'call' AND step.status = 'waiting'
    ORDER BY callee.id
  ) AS callee;
END
$body$;

CREATE VIEW "firefly".wait AS
SELECT step.task_id, waiting.func_name, waiting.queue, step.kind, step.name, step.key, step.began AS since,
  step.due AS until, step.callees
FROM "firefly".waiting
JOIN "firefly".step ON step.task_id = waiting.id
WHERE waiting.suspended AND step.status = 'waiting' AND (step.kind NOT IN ('step', 'compensation') OR step.due IS NOT NULL);
COMMENT ON VIEW "firefly".wait IS
  'What a suspended task waits for: a sleep, a signal or a call of its handler, or a step of it that is tried again. until '
  'is NULL where it has no end in time.';

-- What a suspended task waits for, first what has an end in time; up to 20.
CREATE FUNCTION "firefly"._explain_suspension(it "firefly".task) RETURNS SETOF "firefly".task_reason
LANGUAGE plpgsql STABLE AS $body$
DECLARE
  each record;
BEGIN
  IF NOT EXISTS (
    SELECT FROM "firefly".waiting
    WHERE waiting.id = it.id AND waiting.claim_seq = it.claim_seq AND waiting.suspended
      AND (waiting.reason = 'suspended' OR waiting.not_before > statement_timestamp())
  ) THEN
    RETURN;
  END IF;
  FOR each IN
    SELECT wait.*, step.failures, step.error || jsonb_build_object('attempt', step.attempt) AS error
    FROM "firefly".wait
    JOIN "firefly".step ON step.task_id = wait.task_id AND step.name = wait.name AND step.key = wait.key
    WHERE wait.task_id = it.id
    ORDER BY wait.until, wait.since, wait.name, wait.key
    LIMIT 20
  LOOP
    IF each.kind = 'call' THEN
      RETURN QUERY SELECT * FROM "firefly"._explain_call(it.id, each.name, each.key, each.since, each.callees);
      CONTINUE;
    END IF;
    RETURN QUERY SELECT
      CASE each.kind WHEN 'signal' THEN 'signal' WHEN 'sleep' THEN 'sleeping' ELSE 'step_retry' END,
      CASE each.kind
        WHEN 'signal' THEN format('It waits for the signal "%s" since %s', each.name, "firefly"._format_time(each.since))
          || COALESCE(', until ' || "firefly"._format_time(each.until), '')
        WHEN 'sleep' THEN format('It sleeps until %s', "firefly"._format_time(each.until))
        ELSE format('Its step "%s" is tried again at %s', each.name, "firefly"._format_time(each.until))
          || COALESCE(', after ' || "firefly"._format_error(each.error), '')
      END,
      jsonb_build_object('name', each.name, 'key', each.key, 'since', each.since, 'until', each.until)
        || CASE WHEN each.kind IN ('step', 'compensation')
          THEN jsonb_build_object('failures', each.failures, 'error', "firefly"._brief_error(each.error)) ELSE '{}' END;
  END LOOP;
END
$body$;

-- A call that a suspended task waits for: which of the callees have not ended.
CREATE FUNCTION "firefly"._explain_call(
  caller bigint, name text, key text, since timestamptz, callees bigint[]
) RETURNS SETOF "firefly".task_reason
LANGUAGE plpgsql STABLE AS $body$
DECLARE
  first jsonb;
  open bigint;
BEGIN
  SELECT count(*) INTO open FROM "firefly".task WHERE task.id = ANY (callees) AND task.status = 'created';
  IF open = 0 THEN
    RETURN QUERY SELECT 'released',
      CASE WHEN cardinality(callees) = 1 THEN format('The task %s that it called has ended', callees[1])
        ELSE format('All %s tasks that it called have ended', cardinality(callees)) END
        || ': a consumer is about to release it',
      jsonb_build_object('of', cardinality(callees));
    RETURN;
  END IF;
  SELECT jsonb_agg(
    jsonb_build_object('task_id', record.id, 'func_name', record.func_name, 'status', record.status) ORDER BY record.id
  ) INTO first
  FROM "firefly".task_record AS record
  WHERE record.id = ANY (ARRAY(
    SELECT task.id FROM "firefly".task WHERE task.id = ANY (callees) AND task.status = 'created' ORDER BY task.id LIMIT 20
  ));
  RETURN QUERY SELECT 'calls',
    format('It waits for %s of %s that it called: ', open, "firefly"._format_count(cardinality(callees), 'task'))
      || (SELECT string_agg(callee ->> 'task_id', ', ') FROM jsonb_path_query(first, '$[0 to 4]') AS callee)
      || CASE WHEN open > 5 THEN ', …' ELSE '' END,
    jsonb_build_object(
      'name', name, 'key', key, 'since', since, 'open', open, 'of', cardinality(callees), 'tasks', first
    );
END
$body$;
