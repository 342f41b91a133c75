-- Firefly: tasks that wait for other tasks.
--
-- One rule for all of it: what decides about a dependant holds the lock of its record, and reads after it has that lock.
-- The rows of `dependency`, and `pending` of its row in `waiting`, are written under that lock alone.

CREATE TABLE "firefly".dependency (
  task_id bigint NOT NULL,
  -- Its place among the dependencies of task_id, from 0: the tags of `params` name it.
  ordinal integer NOT NULL,
  dependency_id bigint NOT NULL,
  -- Any end will do, not only `completed`.
  settled boolean NOT NULL DEFAULT false,
  -- The handler of task_id scheduled it and waits for it: it is cancelled when that task ends without it. It never keeps
  -- task_id from running, and never cancels it.
  called boolean NOT NULL DEFAULT false,
  -- Of a call: the task was there before, as a duplicate of the one to be scheduled. It outlives task_id.
  shared boolean NOT NULL DEFAULT false,
  -- How the dependency ended, once task_id has been told: completed, failed, cancelled or deleted. No index mentions it,
  -- so that telling it is HOT.
  status text,
  PRIMARY KEY (task_id, ordinal)
) WITH (fillfactor = 80);
CREATE INDEX dependency_dependants ON "firefly".dependency (dependency_id);
COMMENT ON TABLE "firefly".dependency IS
  'A task that waits, or has waited, for another. Inserted with the dependant, by _schedule(), or with the callee, by '
  '_call(); updated once, by _release_dependants(), and by retry; deleted with the dependant or caller.';

CREATE TABLE "firefly".ended (
  task_id bigint NOT NULL
) WITH (
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 20000,
  autovacuum_vacuum_cost_delay = 0
);
ALTER TABLE "firefly".ended REPLICA IDENTITY FULL;
CREATE INDEX ended_task ON "firefly".ended (task_id);
COMMENT ON TABLE "firefly".ended IS
  'A task whose end its dependants are to be told. Inserted by the trigger release in the transaction that ends the '
  'task, so that no crash loses it; deleted by consumers, which call _release_dependants().';

-- Returns for each place of the list whether others in it depend on that task; raises if one of `depends` is none.
CREATE FUNCTION "firefly"._check_dependencies(tasks json) RETURNS boolean[]
LANGUAGE plpgsql IMMUTABLE AS $body$
DECLARE
  edge record;
BEGIN
  -- What a task has is read once for all of its dependencies, which may be many.
  SELECT task.func_name, task.on_conflict, dependency.value INTO edge
  FROM ROWS FROM (json_to_recordset(tasks) AS (func_name text, on_conflict text, depends json))
    WITH ORDINALITY AS task (func_name, on_conflict, depends, place),
    json_array_elements(CASE json_typeof(task.depends) WHEN 'array' THEN task.depends END) AS dependency (value)
  WHERE json_typeof(dependency.value) <> 'object'
    OR num_nonnulls(dependency.value ->> 'id', dependency.value ->> 'ref') <> 1
    OR (dependency.value ->> 'ref')::bigint NOT BETWEEN 0 AND task.place - 2
    OR task.on_conflict = 'replace'
  LIMIT 1;
  IF edge.on_conflict = 'replace' THEN
    RAISE EXCEPTION 'Cannot schedule task "%" with dependencies and on_conflict "replace": its duplicate keeps its own',
      edge.func_name USING ERRCODE = 'invalid_parameter_value';
  ELSIF FOUND THEN
    RAISE EXCEPTION 'Cannot schedule task "%" as it can depend only on the id of a task, or on one before it in the call: '
      'current value is %', edge.func_name, edge.value USING ERRCODE = 'invalid_parameter_value';
  END IF;
  RETURN ARRAY(
    SELECT referred.ref IS NOT NULL
    FROM generate_series(0, json_array_length(tasks) - 1) AS task (place)
    LEFT JOIN (
      SELECT DISTINCT (dependency.value ->> 'ref')::integer AS ref
      FROM json_to_recordset(tasks) AS task (depends json),
        json_array_elements(CASE json_typeof(task.depends) WHEN 'array' THEN task.depends END) AS dependency (value)
      WHERE dependency.value ->> 'ref' IS NOT NULL
    ) AS referred ON referred.ref = task.place
    ORDER BY task.place
  );
END
$body$;

-- Stores the dependencies of tasks that this transaction has inserted: a row for each place of the arrays. `others` are
-- the dependencies that it has not inserted, in the order of their ids: they are marked under their locks. The end of a
-- task needs the same lock: it sees the mark and notes itself in `ended`, or this sees the end. One that has ended is
-- marked, too: it may be retried, and is not to be pruned.
CREATE FUNCTION "firefly"._depend(
  task_ids bigint[], ordinals integer[], dependency_ids bigint[], settled boolean[], others bigint[]
) RETURNS void
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
DECLARE
  met bigint[];
  unmet boolean;
BEGIN
  PERFORM FROM "firefly".task WHERE task.id = ANY (others) ORDER BY task.id FOR NO KEY UPDATE;
  IF (SELECT count(*) FROM "firefly".task WHERE task.id = ANY (others)) < cardinality(others) THEN
    RAISE EXCEPTION 'Cannot depend on task % as there is no such task', (
      SELECT given.id
      FROM unnest(others) AS given (id)
      WHERE NOT EXISTS (SELECT FROM "firefly".task WHERE task.id = given.id)
      ORDER BY given.id
      LIMIT 1
    ) USING ERRCODE = 'foreign_key_violation';
  END IF;
  UPDATE "firefly".task
  SET dependants = true
  WHERE task.id = ANY (others) AND task.dependants IS NULL;

  WITH stored AS (
    INSERT INTO "firefly".dependency (task_id, ordinal, dependency_id, settled, status)
    SELECT edge.task_id, edge.ordinal, edge.dependency_id, edge.settled,
      CASE WHEN task.status = 'completed' OR task.status <> 'created' AND edge.settled THEN task.status END
    FROM unnest(task_ids, ordinals, dependency_ids, settled) AS edge (task_id, ordinal, dependency_id, settled)
    -- OFFSET 0 has each looked up by its id, however many the planner expects.
    CROSS JOIN LATERAL (
      SELECT task.status FROM "firefly".task WHERE task.id = edge.dependency_id OFFSET 0
    ) AS task
    RETURNING dependency.task_id, dependency.dependency_id, dependency.status
  ), counted AS (
    UPDATE "firefly".waiting
    SET pending = waiting.pending - told.ends
    FROM (
      SELECT stored.task_id, count(*)::integer AS ends FROM stored WHERE stored.status IS NOT NULL GROUP BY stored.task_id
    ) AS told
    WHERE waiting.id = told.task_id
    RETURNING waiting.id, waiting.pending
  ), doomed AS (
    -- It has ended, and not completed: the dependant is cancelled as if that happened a moment later.
    INSERT INTO "firefly".ended (task_id)
    SELECT DISTINCT stored.dependency_id
    FROM stored
    CROSS JOIN LATERAL (
      SELECT task.status FROM "firefly".task WHERE task.id = stored.dependency_id OFFSET 0
    ) AS task
    WHERE stored.status IS NULL AND task.status <> 'created'
    RETURNING ended.task_id
  )
  SELECT (SELECT array_agg(counted.id) FROM counted WHERE counted.pending = 0), EXISTS (SELECT FROM doomed)
  INTO met, unmet;
  IF met IS NOT NULL THEN
    DELETE FROM "firefly".waiting WHERE waiting.id = ANY (met);
    PERFORM "firefly"._place(given.id) FROM unnest(met) AS given (id);
  END IF;
  IF unmet THEN
    PERFORM pg_notify("firefly".control_channel(), '');
  END IF;
END
$body$;

-- Tells the dependants of tasks that these have ended: of those of `ids` that are noted in `ended`, or of any for NULL,
-- up to 1,000. A dependant whose last dependency has ended gets a place; one whose dependency has not completed is
-- cancelled, and has dependants of its own then. A caller is woken, and callees of a caller that has ended are cancelled.
-- `again`: there is more to do, since a call tells 5,000 dependants at most, cancels only those that are next, and leaves
-- those whose records another transaction has locked: an open transaction must not hold up the dependants of others. The
-- caller then calls again, with NULL.
--
-- Three statements do it where all have completed. The first takes the notes, the second the locks; the third has a
-- snapshot of its own, and so reads what was committed before the locks were granted. Of two calls that tell a dependant
-- of its last two dependencies, the second sees what the first has written, and exactly one finds none pending.
--
-- It does not wait for the disk: a crash of the server that undoes it undoes what followed from it, and leaves the notes.
CREATE FUNCTION "firefly"._release_dependants(ids bigint[], OUT released integer, OUT cancelled integer, OUT again boolean)
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
DECLARE
  taken bigint[];
  edge record;
  rest record;
BEGIN
  released := 0;
  cancelled := 0;
  again := false;
  PERFORM set_config('synchronous_commit', 'off', true);

  IF ids IS NULL THEN
    WITH gone AS (
      DELETE FROM "firefly".ended
      WHERE ended.ctid = ANY (ARRAY(
        SELECT noted.ctid FROM "firefly".ended AS noted ORDER BY noted.task_id LIMIT 1000 FOR UPDATE SKIP LOCKED
      ))
      RETURNING ended.task_id
    )
    SELECT array_agg(DISTINCT gone.task_id), count(*) = 1000 INTO taken, again FROM gone;
  ELSE
    WITH gone AS (
      DELETE FROM "firefly".ended
      WHERE ended.ctid = ANY (ARRAY(
        SELECT noted.ctid FROM "firefly".ended AS noted WHERE noted.task_id = ANY (ids) FOR UPDATE SKIP LOCKED
      ))
      RETURNING ended.task_id
    )
    SELECT array_agg(DISTINCT gone.task_id) INTO taken FROM gone;
  END IF;
  IF taken IS NULL THEN
    RETURN;
  END IF;

  -- An end that has been told matters again only if its record, and so its result, is deleted too early.
  WITH open AS MATERIALIZED (
    SELECT dependency.task_id, dependency.ordinal, dependency.dependency_id, dependency.settled, dependency.called,
      COALESCE(task.status, 'deleted') AS status
    FROM unnest(taken) AS gone (id)
    LEFT JOIN "firefly".task ON task.id = gone.id
    JOIN "firefly".dependency ON dependency.dependency_id = gone.id
    WHERE task.status IS DISTINCT FROM 'created' AND (
      dependency.status IS NULL OR task.id IS NULL AND NOT dependency.settled AND dependency.status <> 'deleted'
    )
    LIMIT 5000
  ), held AS MATERIALIZED (
    SELECT task.id
    FROM "firefly".task
    WHERE task.id = ANY (ARRAY(SELECT open.task_id FROM open))
    ORDER BY task.id
    FOR NO KEY UPDATE SKIP LOCKED
  )
  SELECT array_agg(open.task_id) FILTER (WHERE open.met AND NOT open.called) AS task_ids,
    array_agg(open.ordinal) FILTER (WHERE open.met AND NOT open.called) AS ordinals,
    array_agg(open.status) FILTER (WHERE open.met AND NOT open.called) AS statuses,
    array_agg(open.task_id) FILTER (WHERE open.met AND open.called) AS call_ids,
    array_agg(open.ordinal) FILTER (WHERE open.met AND open.called) AS call_ordinals,
    array_agg(open.status) FILTER (WHERE open.met AND open.called) AS call_statuses,
    array_agg(open.task_id) FILTER (WHERE open.is_held AND NOT open.met) AS unmet_ids,
    array_agg(open.ordinal) FILTER (WHERE open.is_held AND NOT open.met) AS unmet_ordinals,
    COALESCE(bool_or(NOT open.is_held), false) OR count(*) = 5000 AS is_left,
    ARRAY(
      SELECT gone.id
      FROM unnest(taken) AS gone (id)
      -- Not EXISTS, for which the planner might read all of them.
      WHERE (SELECT true FROM "firefly".dependency WHERE dependency.task_id = gone.id AND dependency.called LIMIT 1)
    ) AS callers
  INTO edge
  FROM (
    SELECT open.*, held.id IS NOT NULL AS is_held,
      held.id IS NOT NULL AND (open.settled OR open.status = 'completed') AS met
    FROM open
    LEFT JOIN held ON held.id = open.task_id
  ) AS open;

  IF edge.task_ids IS NOT NULL THEN
    WITH told AS (
      UPDATE "firefly".dependency
      SET status = given.status
      FROM unnest(edge.task_ids, edge.ordinals, edge.statuses) AS given (task_id, ordinal, status)
      WHERE dependency.task_id = given.task_id AND dependency.ordinal = given.ordinal AND dependency.status IS NULL
      RETURNING dependency.task_id
    ), counted AS MATERIALIZED (
      SELECT waiting.ctid AS place, waiting.id, waiting.pending - told.ends AS pending, waiting.pending <= told.ends
        AND waiting.not_before <= now() AND waiting.concurrency_key IS NULL AND waiting.rate_key IS NULL AS is_ready
      FROM (SELECT told.task_id, count(*)::integer AS ends FROM told GROUP BY told.task_id) AS told
      JOIN "firefly".waiting ON waiting.id = told.task_id
      WHERE waiting.reason = 'dependencies'
    ), moved AS (
      DELETE FROM "firefly".waiting
      WHERE waiting.ctid = ANY (ARRAY(SELECT counted.place FROM counted WHERE counted.is_ready))
      RETURNING waiting.*
    ), made_ready AS (
      INSERT INTO "firefly".ready (id, length, claim_seq, not_before, priority, quarantined, queue, func_name)
      SELECT run.id, run.length, alike.claim_seq, alike.not_before, alike.priority, alike.quarantined, alike.queue,
        alike.func_name
      FROM (
        SELECT array_agg(moved.id ORDER BY moved.id) AS ids, moved.claim_seq, moved.not_before, moved.priority,
          moved.quarantined, moved.queue, moved.func_name
        FROM moved
        GROUP BY moved.claim_seq, moved.not_before, moved.priority, moved.quarantined, moved.queue, moved.func_name
      ) AS alike, LATERAL (
        SELECT alike.ids[1], 1 WHERE cardinality(alike.ids) = 1
        UNION ALL
        SELECT * FROM "firefly"._runs(alike.ids) WHERE cardinality(alike.ids) > 1
      ) AS run (id, length)
    ), notified AS MATERIALIZED (
      SELECT "firefly"._notify(filled.queue) FROM (SELECT DISTINCT moved.queue FROM moved) AS filled
    )
    SELECT (SELECT count(*) FROM moved) + 0 * (SELECT count(*) FROM notified) AS moved,
      array_agg(counted.place) FILTER (WHERE NOT counted.is_ready) AS places,
      array_agg(counted.pending) FILTER (WHERE NOT counted.is_ready) AS pending
    INTO rest
    FROM counted;
    released := rest.moved;
    -- A statement of its own: of all that one of them could do, the server prepares each part, and opens each index.
    IF rest.places IS NOT NULL THEN
      WITH kept AS (
        UPDATE "firefly".waiting
        SET pending = NULLIF(GREATEST(counted.pending, 0), 0),
          reason = CASE
            WHEN counted.pending > 0 THEN waiting.reason
            WHEN waiting.not_before > now() THEN 'time'
            WHEN waiting.concurrency_key IS NULL THEN 'rate'
            ELSE 'concurrency'
          END,
          admit_at = CASE WHEN counted.pending <= 0 AND waiting.not_before <= now() THEN now() END
        FROM unnest(rest.places, rest.pending) AS counted (place, pending)
        WHERE waiting.ctid = counted.place
        RETURNING waiting.queue, waiting.reason
      ), notified AS MATERIALIZED (
        SELECT "firefly"._notify(filled.queue)
        FROM (SELECT DISTINCT kept.queue FROM kept WHERE kept.reason <> 'dependencies') AS filled
      )
      SELECT released + count(*) FILTER (WHERE kept.reason <> 'dependencies') + 0 * (SELECT count(*) FROM notified)
      INTO released
      FROM kept;
    END IF;
  END IF;

  IF edge.call_ids IS NOT NULL THEN
    released := released + "firefly"._tell_callers(edge.call_ids, edge.call_ordinals, edge.call_statuses);
  END IF;
  IF edge.unmet_ids IS NOT NULL THEN
    SELECT told.cancelled, _release_dependants.again OR told.again INTO cancelled, again
    FROM "firefly"._cancel_dependants(edge.unmet_ids, edge.unmet_ordinals) AS told;
  END IF;
  IF edge.callers <> '{}' THEN
    SELECT _release_dependants.cancelled + left_behind.cancelled, _release_dependants.again OR left_behind.again
    INTO cancelled, again
    FROM "firefly"._cancel_callees(edge.callers) AS left_behind;
  END IF;

  IF edge.is_left THEN
    INSERT INTO "firefly".ended (task_id)
    SELECT gone.id
    FROM unnest(taken) AS gone (id)
    WHERE (
      SELECT true
      FROM "firefly".dependency
      CROSS JOIN LATERAL (SELECT FROM "firefly".task WHERE task.id = dependency.task_id OFFSET 0) AS dependant
      WHERE dependency.dependency_id = gone.id AND dependency.status IS NULL
      LIMIT 1
    );
    again := again OR FOUND;
  END IF;
END
$body$;

-- Whether a task was cancelled because a dependency did not complete, not by hand since. Its last error alone does not
-- tell: it stays when the task is revived.
CREATE FUNCTION "firefly"._is_unmet(it "firefly".task) RETURNS boolean
LANGUAGE sql STABLE
RETURN it.status = 'cancelled' AND it.errors -> -1 ->> 'name' = 'DependencyFailed'
  AND (it.errors -> -1 ->> 'at')::timestamptz = it.cancelled;

-- Cancels dependants, whose records the caller has locked, because these dependencies of theirs have ended and not
-- completed. A retry of the dependency holds its record: this passes over it then, as the retry makes it `created` again.
-- The lock keeps a retry that begins now waiting until it can see what it has to revive.
CREATE FUNCTION "firefly"._cancel_dependants(
  task_ids bigint[], ordinals integer[], OUT cancelled integer, OUT again boolean
)
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
DECLARE
  culprits bigint[] := ARRAY(
    SELECT DISTINCT dependency.dependency_id
    FROM unnest(task_ids, ordinals) AS given (task_id, ordinal)
    JOIN "firefly".dependency ON dependency.task_id = given.task_id AND dependency.ordinal = given.ordinal
  );
  held bigint[];
BEGIN
  SELECT array_agg(locked.id) INTO held
  FROM (
    SELECT task.id FROM "firefly".task WHERE task.id = ANY (culprits) ORDER BY task.id FOR SHARE SKIP LOCKED
  ) AS locked;

  WITH told AS (
    UPDATE "firefly".dependency
    SET status = COALESCE(culprit.status, 'deleted')
    FROM unnest(task_ids, ordinals) AS given (task_id, ordinal), unnest(culprits) AS ended (id)
    LEFT JOIN "firefly".task AS culprit ON culprit.id = ended.id
    WHERE dependency.task_id = given.task_id AND dependency.ordinal = given.ordinal
      AND dependency.dependency_id = ended.id AND NOT dependency.settled
      AND (culprit.id IS NULL OR culprit.id = ANY (held) AND culprit.status IN ('failed', 'cancelled'))
    RETURNING dependency.task_id, dependency.dependency_id
  ), doomed AS MATERIALIZED (
    SELECT told.task_id AS id, min(told.dependency_id) AS culprit_id FROM told GROUP BY told.task_id
  ), unplaced AS (
    DELETE FROM "firefly".waiting
    USING doomed
    WHERE waiting.id = doomed.id AND waiting.reason = 'dependencies'
    RETURNING doomed.id, waiting.claim_seq, doomed.culprit_id
  ), culprit AS MATERIALIZED (
    SELECT unplaced.id, unplaced.claim_seq, unplaced.culprit_id, task.func_name, COALESCE(task.status, 'deleted') AS status,
      -- The task whose end began it.
      CASE
        WHEN "firefly"._is_unmet(task) THEN (task.errors -> -1 ->> 'root')::bigint
        ELSE unplaced.culprit_id
      END AS root
    FROM unplaced
    LEFT JOIN "firefly".task ON task.id = unplaced.culprit_id
  ), over AS (
    UPDATE "firefly".task
    SET status = 'cancelled', cancelled = now(), claim_seq = task.claim_seq + 1,
      errors = CASE
        WHEN jsonb_array_length(task.errors) < 100 THEN task.errors ELSE COALESCE(task.errors - 0, '[]')
      END || jsonb_build_array(jsonb_build_object(
        'name', 'DependencyFailed',
        'message', format(
          'Cannot run this task as task %s%s, which it depends on, %s%s', culprit.culprit_id,
          COALESCE(' "' || culprit.func_name || '"', ''),
          CASE culprit.status WHEN 'failed' THEN 'failed' ELSE 'was ' || culprit.status END,
          CASE WHEN culprit.root <> culprit.culprit_id THEN format(', since task %s did not complete', culprit.root) END
        ),
        'dependency', culprit.culprit_id, 'root', culprit.root, 'at', now(),
        'attempt', COALESCE(task.retry_attempts, 0) + COALESCE(task.rescues, 0) + 1
      ))
    FROM culprit
    WHERE task.id = culprit.id AND task.claim_seq = culprit.claim_seq AND task.status = 'created'
    RETURNING task.id, task.dependants
  ), waiter AS (
    DELETE FROM "firefly".result_waiter USING over WHERE result_waiter.task_id = over.id RETURNING result_waiter.task_id
  ), notified AS MATERIALIZED (
    SELECT pg_notify("firefly".ended_channel(), '') WHERE EXISTS (SELECT FROM waiter)
  )
  SELECT count(*) + 0 * (SELECT count(*) FROM notified), COALESCE(bool_or(over.dependants), false) INTO cancelled, again
  FROM over;

  -- Of those that a retry holds, it notes the end of none: they stay noted in case it is rolled back.
  INSERT INTO "firefly".ended (task_id)
  SELECT DISTINCT given.id
  FROM unnest(culprits) AS given (id)
  JOIN "firefly".task ON task.id = given.id AND task.status <> 'created'
  WHERE given.id <> ALL (COALESCE(held, '{}'));
  again := again OR FOUND;
END
$body$;

-- Whether a task that is retried has only dependencies that have completed or may still do.
CREATE FUNCTION "firefly"._may_depend_again(task_id bigint) RETURNS boolean
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
BEGIN
  RETURN NOT EXISTS (
    SELECT
    FROM "firefly".dependency
    LEFT JOIN LATERAL (
      SELECT task.status FROM "firefly".task WHERE task.id = dependency.dependency_id OFFSET 0
    ) AS task ON true
    WHERE dependency.task_id = _may_depend_again.task_id AND NOT dependency.settled
      AND COALESCE(task.status IN ('failed', 'cancelled'), dependency.status IS DISTINCT FROM 'completed')
  );
END
$body$;

-- Makes a task that is retried wait for those of its dependencies and callees that are `created` again. Their records are
-- not locked, since a retry holds that of the dependant already: instead each is noted in `ended`, and so looked at once
-- more after the commit, if it ends at this moment.
CREATE FUNCTION "firefly"._depend_again(task_id bigint) RETURNS void
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
BEGIN
  WITH reopened AS (
    UPDATE "firefly".dependency
    SET status = CASE WHEN edge.status <> 'created' THEN edge.status END
    FROM (
      SELECT own.ordinal, task.status
      FROM "firefly".dependency AS own
      CROSS JOIN LATERAL (
        SELECT task.status FROM "firefly".task WHERE task.id = own.dependency_id OFFSET 0
      ) AS task
      WHERE own.task_id = _depend_again.task_id
    ) AS edge
    WHERE dependency.task_id = _depend_again.task_id AND dependency.ordinal = edge.ordinal
    RETURNING dependency.dependency_id, dependency.status
  )
  INSERT INTO "firefly".ended (task_id)
  SELECT DISTINCT reopened.dependency_id FROM reopened WHERE reopened.status IS NULL;
END
$body$;

-- Retries the tasks that were cancelled because this one did not complete, and the dependants of these. Such a task may
-- have several dependencies that failed: the retry of the last of them revives it. The smallest id comes first, as a
-- dependency has a smaller one than its dependants: so records are locked in the order of their ids.
CREATE FUNCTION "firefly"._revive_dependants(task_id bigint) RETURNS integer
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
DECLARE
  next bigint := task_id;
  todo bigint[] := '{}';
  found bigint[];
  revived integer := 0;
BEGIN
  LOOP
    SELECT array_agg(DISTINCT dependency.task_id) INTO found
    FROM "firefly".dependency
    CROSS JOIN LATERAL (
      SELECT task AS record FROM "firefly".task WHERE task.id = dependency.task_id OFFSET 0
    ) AS dependant
    WHERE dependency.dependency_id = next AND NOT dependency.settled AND "firefly"._is_unmet(dependant.record);
    IF found IS NOT NULL THEN
      todo := ARRAY(SELECT DISTINCT given.id FROM unnest(todo || found) AS given (id) ORDER BY given.id);
    END IF;
    LOOP
      IF cardinality(todo) = 0 THEN
        RETURN revived;
      END IF;
      next := todo[1];
      todo := todo[2:];
      EXIT WHEN "firefly"._retry_record(next) = 'done';
    END LOOP;
    revived := revived + 1;
  END LOOP;
END
$body$;

-- Puts a task with dependencies back that an edit by hand left without a place; returns whether it did. It fails one
-- whose unique key a duplicate has by now.
CREATE FUNCTION "firefly"._requeue_dependant(task_id bigint) RETURNS boolean
LANGUAGE plpgsql AS $body$
DECLARE
  it "firefly".task;
BEGIN
  SELECT * INTO it FROM "firefly".task WHERE id = task_id AND status = 'created' FOR NO KEY UPDATE SKIP LOCKED;
  IF NOT FOUND OR NOT "firefly"._take_place(it.id, it.queue, it.priority, it.not_before, it.claim_seq) THEN
    RETURN false;
  END IF;
  IF "firefly"._keeps_unique_key(it.id, it.func_name, it.unique_key, it.unique_among) THEN
    UPDATE "firefly".task SET claim_seq = claim_seq + 1 WHERE id = it.id;
    PERFORM "firefly"._place(it.id);
    RETURN true;
  END IF;
  it.status := 'failed';
  it.failed := statement_timestamp();
  it.errors := COALESCE(it.errors, '[]') || "firefly"._duplicate_error(
    it.id, it.func_name, it.unique_key, COALESCE(it.retry_attempts, 0) + COALESCE(it.rescues, 0) + 1
  );
  UPDATE "firefly".task
  SET claim_seq = claim_seq + 1, status = it.status, failed = it.failed, errors = it.errors
  WHERE id = it.id;
  PERFORM "firefly"._note_failure(it);
  RETURN false;
END
$body$;

-- By statement, as a prune deletes a thousand. The dependants of a task that is deleted too early are cancelled, and so
-- are its callees.
CREATE FUNCTION "firefly"._forget_dependencies() RETURNS trigger
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
DECLARE
  of_tasks bigint[];
  on_tasks bigint[];
BEGIN
  SELECT array_agg(gone.id) FILTER (WHERE gone.dependencies IS NOT NULL OR gone.dependants),
    array_agg(gone.id) FILTER (WHERE gone.dependants)
  INTO of_tasks, on_tasks
  FROM gone;
  IF of_tasks IS NOT NULL THEN
    DELETE FROM "firefly".dependency
    WHERE dependency.task_id = ANY (of_tasks) AND NOT (dependency.called AND dependency.status IS NULL);
    DELETE FROM "firefly".waiting WHERE waiting.id = ANY (of_tasks) AND waiting.reason = 'dependencies';
  END IF;
  IF on_tasks IS NOT NULL THEN
    INSERT INTO "firefly".ended (task_id)
    SELECT DISTINCT dependency.dependency_id
    FROM "firefly".dependency
    CROSS JOIN LATERAL (
      SELECT task.status FROM "firefly".task WHERE task.id = dependency.task_id OFFSET 0
    ) AS task
    WHERE dependency.dependency_id = ANY (on_tasks) AND (dependency.status IS NULL OR task.status = 'created')
    UNION ALL
    -- Callers: what is left of theirs is deleted once their callees are cancelled.
    SELECT gone.id
    FROM unnest(on_tasks) AS gone (id)
    WHERE (SELECT true FROM "firefly".dependency WHERE dependency.task_id = gone.id LIMIT 1);
    IF FOUND THEN
      PERFORM pg_notify("firefly".control_channel(), '');
    END IF;
  END IF;
  RETURN NULL;
END
$body$;

CREATE TRIGGER forget_dependencies AFTER DELETE ON "firefly".task
REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION "firefly"._forget_dependencies();

-- Returns the tasks that hang together with one by their dependencies and calls, in the order of their ids; at most
-- 10,000. `called_by` is the task whose handler scheduled it by a call, and waits for it.
CREATE FUNCTION "firefly".graph(task_id bigint)
RETURNS TABLE (id bigint, func_name text, status text, dependencies bigint[], called_by bigint)
LANGUAGE sql STABLE AS $body$
  WITH RECURSIVE member (id) AS (
    SELECT graph.task_id
    UNION
    SELECT beside.id
    FROM member, LATERAL (
      SELECT dependency.dependency_id FROM "firefly".dependency WHERE dependency.task_id = member.id
      UNION ALL
      SELECT dependency.task_id FROM "firefly".dependency WHERE dependency.dependency_id = member.id
    ) AS beside (id)
  )
  SELECT record.id, record.func_name, record.status, ARRAY(
    SELECT dependency.dependency_id
    FROM "firefly".dependency
    WHERE dependency.task_id = record.id AND NOT dependency.called
    ORDER BY dependency.ordinal
  ), (
    SELECT dependency.task_id
    FROM "firefly".dependency
    WHERE dependency.dependency_id = record.id AND dependency.called
    ORDER BY dependency.shared, dependency.task_id
    LIMIT 1
  )
  FROM "firefly".task_record AS record
  WHERE record.id = ANY (ARRAY(SELECT member.id FROM member LIMIT 10000))
  ORDER BY record.id
$body$;

-- Returns the same as a flowchart for Mermaid, as Markdown of many sites draws it. A dashed arrow is a call.
CREATE FUNCTION "firefly".mermaid(task_id bigint) RETURNS text
LANGUAGE sql STABLE AS $body$
  WITH node AS MATERIALIZED (SELECT * FROM "firefly".graph(mermaid.task_id))
  SELECT 'flowchart LR' || string_agg(part.line, '' ORDER BY part.kind, part.id, part.line)
  FROM (
    SELECT 1 AS kind, node.id,
      format(E'\n  t%s["%s %s"]:::%s', node.id, node.id, replace(node.func_name, '"', '#quot;'), node.status) AS line
    FROM node
    UNION ALL
    SELECT DISTINCT 2, node.id, format(E'\n  t%s --> t%s', dependency.id, node.id)
    FROM node, unnest(node.dependencies) AS dependency (id)
    UNION ALL
    SELECT 3, node.id, format(E'\n  t%s -.-> t%s', node.called_by, node.id) FROM node WHERE node.called_by IS NOT NULL
  ) AS part
$body$;
