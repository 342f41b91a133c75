-- Firefly: waits of handlers: sleeps, signals, calls of other tasks, and steps that are tried again.
--
-- The rule of dependencies holds here, too: what decides about a suspended task holds the lock of its record, and reads
-- after it has that lock. So a signal that is sent while the task is being suspended is either seen by _suspend(), or
-- finds the task suspended.

CREATE TABLE "firefly".signal (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  task_id bigint NOT NULL,
  name text NOT NULL CHECK (name <> '' AND length(name) <= 200),
  -- In the wire format. NULL for a payload that is undefined.
  payload text,
  sent timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX signal_task ON "firefly".signal (task_id, name, id);
COMMENT ON TABLE "firefly".signal IS
  'A message to a task that no step has received. Inserted by signal(); deleted by the statement that stores the step '
  'that received it, or with the task.';

-- By statement, as _forget_log(). Most databases have no steps and no signals: then no id is looked up.
CREATE FUNCTION "firefly"._forget_steps() RETURNS trigger
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
BEGIN
  IF EXISTS (SELECT FROM "firefly".step) THEN
    DELETE FROM "firefly".step WHERE step.task_id = ANY (ARRAY(SELECT gone.id FROM gone));
    DELETE FROM "firefly".waiting WHERE waiting.id = ANY (ARRAY(SELECT gone.id FROM gone)) AND waiting.suspended;
  END IF;
  IF EXISTS (SELECT FROM "firefly".signal) THEN
    DELETE FROM "firefly".signal WHERE signal.task_id = ANY (ARRAY(SELECT gone.id FROM gone));
  END IF;
  RETURN NULL;
END
$body$;

CREATE TRIGGER forget_steps AFTER DELETE ON "firefly".task
REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION "firefly"._forget_steps();

CREATE FUNCTION "firefly"._forget_all_steps() RETURNS trigger
LANGUAGE plpgsql AS $body$
BEGIN
  DELETE FROM "firefly".step;
  DELETE FROM "firefly".signal;
  RETURN NULL;
END
$body$;

CREATE TRIGGER forget_all_steps AFTER TRUNCATE ON "firefly".task
FOR EACH STATEMENT EXECUTE FUNCTION "firefly"._forget_all_steps();

-- Stores steps: over those that wait, and none that is there already; a call only if it is new. Takes the signals away
-- that they have received. `steps` is a list of rows; times are seconds before now, or from now on for `delay`. `callees`
-- are those of a call. Returns how many it stored. The caller has locked the records of the tasks.
CREATE FUNCTION "firefly"._store_steps(steps json, callees bigint[] DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
DECLARE
  stored integer;
BEGIN
  WITH memo AS MATERIALIZED (
    SELECT *
    FROM json_to_recordset(steps) AS memo (
      task_id bigint, name text, key text, kind text, status text, seq integer, version integer, attempt integer,
      failures integer, ran double precision, age double precision, delay double precision, due timestamptz,
      received bigint, returned text, error text
    )
  ), stored AS (
    INSERT INTO "firefly".step AS old
      (task_id, name, key, kind, status, seq, version, attempt, failures, began, ended, due, callees, returned, error)
    SELECT memo.task_id, memo.name, memo.key, memo.kind, memo.status, memo.seq, memo.version, memo.attempt, memo.failures,
      clock_timestamp() - make_interval(secs => memo.age + memo.ran),
      CASE WHEN memo.status <> 'waiting' THEN clock_timestamp() - make_interval(secs => memo.age) END,
      COALESCE(memo.due, "firefly"._due_in(memo.delay)), _store_steps.callees, memo.returned, memo.error::jsonb
    FROM memo
    ORDER BY memo.task_id, memo.seq, memo.name, memo.key
    ON CONFLICT (task_id, name, key) DO UPDATE
    SET status = excluded.status, seq = excluded.seq, version = excluded.version, attempt = excluded.attempt,
      failures = excluded.failures, ended = excluded.ended, due = COALESCE(excluded.due, old.due),
      returned = excluded.returned, error = excluded.error
    WHERE old.status = 'waiting' AND _store_steps.callees IS NULL
    RETURNING old.task_id, old.name, old.key
  ), received AS (
    DELETE FROM "firefly".signal
    USING memo
    JOIN stored USING (task_id, name, key)
    WHERE signal.id = memo.received AND signal.task_id = memo.task_id
  )
  SELECT count(*) INTO stored FROM stored;
  RETURN stored;
END
$body$;

-- The time in so many seconds; a time that the server cannot add is never.
CREATE FUNCTION "firefly"._due_in(seconds double precision) RETURNS timestamptz
LANGUAGE sql
RETURN CASE WHEN seconds > 1e11 THEN 'infinity' ELSE clock_timestamp() + make_interval(secs => seconds) END;

-- How many of the callees of a call its caller has not been told the end of.
CREATE FUNCTION "firefly"._count_open(caller bigint, callees bigint[]) RETURNS integer
LANGUAGE sql STABLE AS $body$
  SELECT count(*)::integer
  FROM "firefly".dependency
  WHERE dependency.task_id = caller AND dependency.called AND dependency.status IS NULL
    AND dependency.dependency_id = ANY (callees)
$body$;

-- Suspends attempts: ends their claims, stores what their handlers have done, and lets the tasks wait for the steps that
-- their handlers await, until the first of them may go on. A task whose signal has come, whose callees have ended, or
-- whose time is over may run at once. Returns the ids of the tasks that it suspended, and of those that failed here, as a
-- duplicate has the unique key that was free while they ran. The others are held no more, or another transaction has
-- locked their records.
--
-- `claims` is a list of { id, claim_seq, elapsed, span }: the seconds since the attempt began, and its span in hex, if it
-- has one, to which the next attempt has a link; `steps` as _store_steps() has them, and `awaits` is a list of
-- { task_id, name, key }. `by` is the process that ran the attempts, and `batches` are deleted if no claim is left.
CREATE FUNCTION "firefly"._suspend(
  claims json, steps json, awaits json, by integer, batches uuid[], OUT suspended_ids bigint[], OUT failed_ids bigint[]
)
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
DECLARE
  ids bigint[] := ARRAY(SELECT given.id FROM json_to_recordset(claims) AS given (id bigint));
  held bigint[];
  it "firefly".task;
  filled text[];
  its_queue text;
BEGIN
  suspended_ids := '{}';
  failed_ids := '{}';
  SELECT array_agg(locked.id) INTO held
  FROM (
    -- By the ids alone, so that the planner joins what is found, and not all records.
    SELECT task.id, task.claim_seq, task.status
    FROM "firefly".task
    WHERE task.id = ANY (ids)
    ORDER BY task.id
    FOR NO KEY UPDATE SKIP LOCKED
  ) AS locked
  JOIN json_to_recordset(claims) AS given (id bigint, claim_seq integer)
    ON given.id = locked.id AND given.claim_seq = locked.claim_seq
  WHERE locked.status = 'created';
  IF held IS NULL THEN
    RETURN;
  END IF;
  IF cardinality(held) < json_array_length(claims) THEN
    steps := (
      SELECT COALESCE(json_agg(step.value), '[]')
      FROM json_array_elements(steps) AS step (value)
      WHERE (step.value ->> 'task_id')::bigint = ANY (held)
    );
  END IF;
  PERFORM "firefly"._store_steps(steps);

  -- A suspended task rejects duplicates as any that waits: so it takes a key again that is not for running tasks.
  FOR it IN
    SELECT *
    FROM "firefly".task
    WHERE task.id = ANY (held) AND task.unique_key IS NOT NULL AND 'running' <> ALL (task.unique_among)
    ORDER BY task.id
  LOOP
    CONTINUE WHEN "firefly"._keeps_unique_key(it.id, it.func_name, it.unique_key, it.unique_among);
    UPDATE "firefly".task
    SET claim_seq = task.claim_seq + 1, status = 'failed', failed = statement_timestamp(), attempted_by = by,
      crash_count = NULL,
      started = statement_timestamp() - make_interval(secs => (
        SELECT given.elapsed FROM json_to_recordset(claims) AS given (id bigint, elapsed double precision) WHERE given.id = it.id
      )),
      errors = COALESCE(task.errors, '[]') || "firefly"._duplicate_error(
        it.id, it.func_name, it.unique_key, COALESCE(it.retry_attempts, 0) + COALESCE(it.rescues, 0) + 1
      )
    WHERE task.id = it.id
    RETURNING * INTO it;
    PERFORM "firefly"._note_failure(it);
    DELETE FROM "firefly".result_waiter WHERE result_waiter.task_id = it.id;
    IF FOUND THEN
      PERFORM pg_notify("firefly".ended_channel(), '');
    END IF;
    held := array_remove(held, it.id);
    failed_ids := failed_ids || it.id;
  END LOOP;

  -- A snapshot of its own: it has all that was committed before the locks were granted.
  WITH claim AS MATERIALIZED (
    SELECT given.id, given.elapsed, given.span
    FROM json_to_recordset(claims) AS given (id bigint, elapsed double precision, span text)
    WHERE given.id = ANY (held)
  ), given AS MATERIALIZED (
    -- OFFSET 0 has each looked up by its key, however few steps the planner expects to wait.
    SELECT step.*
    FROM json_to_recordset(awaits) AS given (task_id bigint, name text, key text)
    CROSS JOIN LATERAL (
      SELECT step.task_id, step.name, step.kind, step.status, step.due, step.callees
      FROM "firefly".step
      WHERE step.task_id = given.task_id AND step.name = given.name AND step.key = given.key
      OFFSET 0
    ) AS step
    WHERE step.status = 'waiting' AND given.task_id = ANY (held)
  ), retried AS MATERIALIZED (
    -- Callees that were retried after their callers knew their ends: the next ends count as well.
    SELECT DISTINCT edge.task_id, edge.id
    FROM given
    CROSS JOIN LATERAL (
      SELECT dependency.task_id, dependency.dependency_id AS id
      FROM "firefly".dependency
      WHERE dependency.task_id = given.task_id AND dependency.called AND dependency.status IS NOT NULL
        AND dependency.dependency_id = ANY (given.callees)
      OFFSET 0
    ) AS edge
    CROSS JOIN LATERAL (
      SELECT FROM "firefly".task WHERE task.id = edge.id AND task.status = 'created' OFFSET 0
    ) AS callee
  ), reopened AS (
    UPDATE "firefly".dependency
    SET status = NULL
    FROM retried
    WHERE dependency.task_id = retried.task_id AND dependency.dependency_id = retried.id AND dependency.called
  ), noted AS (
    -- One that ends at this moment has found no caller to tell: so each is looked at once more after the commit.
    INSERT INTO "firefly".ended (task_id) SELECT DISTINCT retried.id FROM retried
  ), awaited AS MATERIALIZED (
    SELECT given.task_id, given.name, given.kind, given.due, CASE given.kind
      WHEN 'call' THEN "firefly"._count_open(given.task_id, given.callees) + (
        SELECT count(*)::integer FROM retried WHERE retried.task_id = given.task_id AND retried.id = ANY (given.callees)
      )
      -- Not EXISTS, for which the planner might read all signals.
      WHEN 'signal' THEN (
        SELECT 0 FROM "firefly".signal WHERE signal.task_id = given.task_id AND signal.name = given.name LIMIT 1
      )
    END AS open
    FROM given
  ), wait AS MATERIALIZED (
    SELECT claim.id, claim.elapsed, claim.span, wait.until, wait.signals, wait.pending,
      -- One that awaits nothing that waits is a handler that is to go on.
      wait.id IS NULL OR COALESCE(wait.open = 0, false) OR COALESCE(wait.until <= clock_timestamp(), false) AS is_over
    FROM claim
    LEFT JOIN (
      SELECT awaited.task_id AS id, min(awaited.due) AS until, min(awaited.open) AS open,
        array_agg(DISTINCT awaited.name) FILTER (WHERE awaited.kind = 'signal') AS signals,
        min(awaited.open) FILTER (WHERE awaited.kind = 'call') AS pending
      FROM awaited
      GROUP BY awaited.task_id
    ) AS wait ON wait.id = claim.id
  ), suspended AS (
    UPDATE "firefly".task
    SET claim_seq = task.claim_seq + 1,
      started = statement_timestamp() - make_interval(secs => wait.elapsed),
      not_before = CASE WHEN wait.is_over OR wait.until IS NULL THEN task.not_before ELSE wait.until END,
      attempted_by = by,
      traceparent = COALESCE(decode(wait.span, 'hex'), task.traceparent),
      crash_count = NULL
    FROM wait
    WHERE task.id = wait.id
    RETURNING task.id, task.claim_seq, task.not_before, task.priority, task.queue, task.func_name, task.concurrency_key,
      task.rate_key, wait.until, wait.signals, wait.pending, wait.is_over,
      wait.is_over AND task.concurrency_key IS NULL AND task.rate_key IS NULL AS is_ready
  ), placed AS (
    INSERT INTO "firefly".ready (id, claim_seq, not_before, priority, queue, func_name)
    SELECT id, claim_seq, not_before, priority, queue, func_name FROM suspended WHERE is_ready
  ), placed_waiting AS (
    INSERT INTO "firefly".waiting (
      id, claim_seq, not_before, priority, queue, func_name, concurrency_key, rate_key, reason, admit_at, pending, signals,
      suspended
    )
    SELECT id, claim_seq, not_before, priority, queue, func_name, concurrency_key, rate_key,
      CASE
        WHEN NOT is_over THEN CASE WHEN until IS NULL THEN 'suspended' ELSE 'time' END
        WHEN concurrency_key IS NULL THEN 'rate'
        ELSE 'concurrency'
      END,
      CASE WHEN is_over THEN clock_timestamp() END,
      CASE WHEN NOT is_over THEN pending END, CASE WHEN NOT is_over THEN signals END, CASE WHEN NOT is_over THEN true END
    FROM suspended
    WHERE NOT is_ready
  ), ended AS (
    DELETE FROM "firefly".claim_batch
    WHERE id = ANY (batches) AND (SELECT count(*) FROM suspended) + cardinality(failed_ids) = json_array_length(claims)
  )
  SELECT array_agg(suspended.id), array_agg(DISTINCT suspended.queue) FILTER (WHERE suspended.is_over)
  INTO suspended_ids, filled
  FROM suspended;
  FOREACH its_queue IN ARRAY COALESCE(filled, '{}') LOOP
    PERFORM "firefly"._notify(its_queue);
  END LOOP;
  suspended_ids := COALESCE(suspended_ids, '{}');
END
$body$;

-- Lets suspended tasks run now, before their time. The caller has locked their records. Of this and promoteDueTasks(),
-- one gets the row of `waiting`. Returns how many it moved.
CREATE FUNCTION "firefly"._wake(ids bigint[]) RETURNS integer
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
DECLARE
  woken integer;
  filled text[];
  its_queue text;
BEGIN
  WITH moved AS (
    DELETE FROM "firefly".waiting WHERE waiting.id = ANY (ids) AND waiting.suspended RETURNING waiting.*
  ), advanced AS (
    -- What cuts a task out of `ready` looks for it by the time of its record.
    UPDATE "firefly".task
    SET not_before = now(), claim_seq = task.claim_seq + 1
    FROM moved
    WHERE task.id = moved.id AND task.claim_seq = moved.claim_seq AND task.status = 'created' AND moved.not_before > now()
    RETURNING task.id, task.claim_seq, task.not_before
  ), placed AS MATERIALIZED (
    SELECT moved.id, COALESCE(advanced.claim_seq, moved.claim_seq) AS claim_seq,
      COALESCE(advanced.not_before, moved.not_before) AS not_before, moved.priority, moved.queue, moved.func_name,
      moved.concurrency_key, moved.rate_key
    FROM moved
    LEFT JOIN advanced ON advanced.id = moved.id
  ), made_ready AS (
    INSERT INTO "firefly".ready (id, claim_seq, not_before, priority, queue, func_name)
    SELECT id, claim_seq, not_before, priority, queue, func_name
    FROM placed
    WHERE concurrency_key IS NULL AND rate_key IS NULL
  ), made_limited AS (
    INSERT INTO "firefly".waiting (
      id, claim_seq, not_before, priority, queue, func_name, concurrency_key, rate_key, reason, admit_at
    )
    SELECT id, claim_seq, not_before, priority, queue, func_name, concurrency_key, rate_key,
      CASE WHEN concurrency_key IS NULL THEN 'rate' ELSE 'concurrency' END, now()
    FROM placed
    WHERE concurrency_key IS NOT NULL OR rate_key IS NOT NULL
  )
  SELECT count(*), array_agg(DISTINCT placed.queue) INTO woken, filled FROM placed;
  FOREACH its_queue IN ARRAY COALESCE(filled, '{}') LOOP
    PERFORM "firefly"._notify(its_queue);
  END LOOP;
  RETURN woken;
END
$body$;

-- Sends a signal to a task that has not ended, and returns whether there is one. It is kept until a step receives it.
-- `payload` is in the wire format.
--
-- The lock of the record decides between this and _suspend(): that sees the signal, or this sees a task that waits.
CREATE FUNCTION "firefly"._signal(task_id bigint, name text, payload text) RETURNS boolean
LANGUAGE plpgsql AS $body$
BEGIN
  PERFORM FROM "firefly".task WHERE task.id = _signal.task_id AND task.status = 'created' FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  INSERT INTO "firefly".signal (task_id, name, payload) VALUES (_signal.task_id, _signal.name, _signal.payload);
  IF EXISTS (
    SELECT FROM "firefly".waiting WHERE waiting.id = _signal.task_id AND _signal.name = ANY (waiting.signals)
  ) THEN
    PERFORM "firefly"._wake(ARRAY[_signal.task_id]);
  END IF;
  RETURN true;
END
$body$;

-- The same for the task that holds a unique key.
CREATE FUNCTION "firefly"._signal_by_key(func_name text, unique_key text, name text, payload text) RETURNS boolean
LANGUAGE plpgsql AS $body$
DECLARE
  holder bigint;
BEGIN
  SELECT held.task_id INTO holder
  FROM "firefly".unique_key AS held
  WHERE held.func_name = _signal_by_key.func_name AND held.key = _signal_by_key.unique_key AND held.until IS NULL;
  RETURN FOUND AND "firefly"._signal(holder, name, payload);
END
$body$;

-- Sends a signal to a task that has not ended, and returns whether there is one. The task's handler receives it with
-- step.waitFor(), now or later: each wait for the name gets one, in the order in which they were sent. Without a payload,
-- it receives undefined.
CREATE FUNCTION "firefly".signal(task_id bigint, name text, payload jsonb DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql AS $body$
BEGIN
  RETURN "firefly"._signal(task_id, name, "firefly".encode(payload));
END
$body$;

-- The same for the task of a name that holds a unique key. It has a name of its own: drivers that send parameters without
-- types would get signal(text, text, text) for signal(bigint, text, jsonb), as PostgreSQL prefers text.
CREATE FUNCTION "firefly".signal_by_key(
  func_name text, unique_key text, name text, payload jsonb DEFAULT NULL
) RETURNS boolean
LANGUAGE plpgsql AS $body$
BEGIN
  RETURN "firefly"._signal_by_key(func_name, unique_key, name, "firefly".encode(payload));
END
$body$;
