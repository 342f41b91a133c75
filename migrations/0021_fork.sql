-- Firefly: forks, new tasks that begin with the steps that another one has run.

-- Schedules a copy of a task that begins with its steps: with those that ended before `step`, or with all. Refuses it for
-- a reason: the task is `missing`, has no such `step`, or has begun to compensate steps (`compensated`): then `undone` and
-- `undone_key` are the first of these by their order, before which the fork has to begin. Without `step`, it begins there.
--
-- It locks the record only against being deleted: a task that runs goes on, and what it stores from now on is its own.
CREATE FUNCTION "firefly"._fork(
  task_id bigint, step text, key text, OUT id bigint, OUT refused text, OUT undone text, OUT undone_key text
)
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
DECLARE
  it "firefly".task;
  until_seq integer := 2147483647;
  compensated record;
BEGIN
  SELECT * INTO it FROM "firefly".task WHERE task.id = _fork.task_id FOR KEY SHARE;
  IF NOT FOUND THEN
    refused := 'missing';
    RETURN;
  END IF;
  IF _fork.step IS NOT NULL THEN
    -- One that waits has no place in the order yet: all that have ended come before it.
    SELECT COALESCE(own.seq, until_seq) INTO until_seq
    FROM "firefly".step AS own
    WHERE own.task_id = _fork.task_id AND own.name = _fork.step AND own.key = COALESCE(_fork.key, '')
      AND own.kind <> 'compensation';
    IF NOT FOUND THEN
      refused := 'step';
      RETURN;
    END IF;
  END IF;
  SELECT own.name, own.key, own.seq INTO compensated
  FROM "firefly"._compensated(_fork.task_id) AS own
  ORDER BY own.seq
  LIMIT 1;
  IF compensated.seq < until_seq THEN
    IF _fork.step IS NOT NULL THEN
      refused := 'compensated';
      undone := compensated.name;
      undone_key := compensated.key;
      RETURN;
    END IF;
    until_seq := compensated.seq;
  END IF;

  id := nextval(pg_get_serial_sequence(quote_ident('firefly') || '.task', 'id'));
  -- The key of a task that has ended is free, unless it outlasts the task, or a duplicate has it by now.
  IF it.unique_key IS NOT NULL AND "firefly"._try_unique_key(it.func_name, it.unique_key, id) IS DISTINCT FROM id THEN
    it.unique_key := NULL;
    it.unique_among := NULL;
    it.unique_for := NULL;
  END IF;
  PERFORM set_config('firefly.placed', 'on', true);
  -- A claim_seq above 0 says that there may be steps to read, and a number of snoozes that a claim reads `compensates`.
  INSERT INTO "firefly".task (
    id, claim_seq, func_name, queue, params, priority, max_retries, retry_delay, backoff, timeout, tags, unique_key,
    unique_among, unique_for, concurrency_key, rate_key, dependencies, forked_from, compensates, snoozes
  ) OVERRIDING SYSTEM VALUE VALUES (
    _fork.id, 1, it.func_name, it.queue, it.params, it.priority, it.max_retries, it.retry_delay, it.backoff, it.timeout,
    it.tags, it.unique_key, it.unique_among, it.unique_for, it.concurrency_key, it.rate_key, it.dependencies, it.id,
    it.compensates, CASE WHEN it.compensates THEN 0 END
  );
  PERFORM set_config('firefly.placed', '', true);

  INSERT INTO "firefly".step (
    task_id, name, key, kind, status, seq, version, attempt, failures, began, ended, due, callees, returned, error
  )
  SELECT _fork.id, own.name, own.key, own.kind, own.status, own.seq, own.version, own.attempt, own.failures, own.began,
    own.ended, own.due, own.callees, own.returned, own.error
  FROM "firefly".step AS own
  WHERE own.task_id = _fork.task_id AND own.seq < until_seq AND own.kind <> 'compensation';

  IF it.dependencies IS NOT NULL THEN
    PERFORM "firefly"._depend_alike(_fork.id, it.id);
  END IF;
  PERFORM "firefly"._place(_fork.id);
END
$body$;

-- Makes a new task depend on what another one was scheduled with, in the same order, as its arguments name them by that:
-- their results stay readable, and are not pruned before the new task has ended. Calls of the other one are its own.
CREATE FUNCTION "firefly"._depend_alike(new_id bigint, task_id bigint) RETURNS void
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
DECLARE
  edges record;
BEGIN
  SELECT array_agg(new_id) AS task_ids, array_agg(edge.ordinal) AS ordinals,
    array_agg(edge.dependency_id) AS dependency_ids, array_agg(edge.settled) AS settled
  INTO edges
  FROM "firefly".dependency AS edge
  CROSS JOIN LATERAL (SELECT FROM "firefly".task WHERE task.id = edge.dependency_id OFFSET 0) AS dependency
  WHERE edge.task_id = _depend_alike.task_id AND NOT edge.called;
  IF edges.task_ids IS NOT NULL THEN
    PERFORM "firefly"._depend(
      edges.task_ids, edges.ordinals, edges.dependency_ids, edges.settled,
      ARRAY(SELECT DISTINCT other.id FROM unnest(edges.dependency_ids) AS other (id) ORDER BY other.id)
    );
  END IF;
  -- Those that are deleted have ended. The fork fails where it needs the result of one.
  INSERT INTO "firefly".dependency (task_id, ordinal, dependency_id, settled, status)
  SELECT new_id, edge.ordinal, edge.dependency_id, edge.settled, COALESCE(edge.status, 'deleted')
  FROM "firefly".dependency AS edge
  WHERE edge.task_id = _depend_alike.task_id AND NOT edge.called
    AND (SELECT true FROM "firefly".task WHERE task.id = edge.dependency_id LIMIT 1) IS NULL;
END
$body$;

-- Schedules a copy of a task that begins with the steps that it ran before the step of this name and key, or with all of
-- its steps that have ended; returns the id of the copy. The task itself stays as it is, whether it has ended or not.
CREATE FUNCTION "firefly".fork(task_id bigint, step text DEFAULT NULL, key text DEFAULT '') RETURNS bigint
LANGUAGE plpgsql AS $body$
DECLARE
  it record;
BEGIN
  SELECT * INTO it FROM "firefly"._fork(fork.task_id, fork.step, fork.key);
  IF it.refused = 'missing' THEN
    RAISE EXCEPTION 'Cannot fork task % as there is no such task', task_id USING ERRCODE = 'no_data_found';
  ELSIF it.refused = 'step' THEN
    RAISE EXCEPTION 'Cannot fork task % from step "%"% as it has no such step', task_id, step,
      CASE WHEN key <> '' THEN format(' with the key "%s"', key) ELSE '' END
      USING ERRCODE = 'no_data_found', HINT = 'firefly.step has the names of its steps';
  ELSIF it.refused = 'compensated' THEN
    RAISE EXCEPTION 'Cannot fork task % from step "%" as its step "%" before that was compensated: fork it from there',
      task_id, step, it.undone USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  RETURN it.id;
END
$body$;
