-- Firefly: scheduling tasks.

-- Returns the bytes of a traceparent, or NULL for a text that is none: what is wrong with a trace must not keep a task
-- from being scheduled.
CREATE FUNCTION "firefly"._traceparent(given text) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN decode(replace(substring(
  given FROM '^(?!ff)[0-9a-f]{2}-((?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2})$'
), '-', ''), 'hex');

-- Schedules tasks that may have unique keys and dependencies, given as a list of objects by the names of the columns.
-- `depends` is a list of the tasks that must end first: { id }, or { ref }, the place in this list, from 0, of one that
-- stands before; with `settled` any end will do, else it must complete. Returns for each, in their order, the id of the
-- record that exists then, whether that is new, and the record where it is not just what was given. Where a duplicate
-- forbids it, it schedules nothing, and returns one row: the duplicate and its key. The end of each is noted if it is `called`.
CREATE FUNCTION "firefly"._schedule(tasks json, called boolean DEFAULT false)
RETURNS TABLE (
  task_id bigint, created timestamptz, not_before timestamptz, inserted boolean, refused_key text, record json
)
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
#variable_conflict use_column
DECLARE
  seq regclass := pg_get_serial_sequence(quote_ident('firefly') || '.task', 'id');
  ids bigint[] := ARRAY(SELECT nextval(seq) FROM json_array_elements(tasks));
  -- The holder of each task's key. A task without a key counts as its own holder.
  holders bigint[] := ids;
  new record;
  place bigint;
  -- Most calls have no dependencies, and pay a search of their text for that.
  edges record;
  referred boolean[] := '{}';
  depend boolean := position('"depends"' IN tasks::text) > 0;
BEGIN
  IF depend THEN
    referred := "firefly"._check_dependencies(tasks);
  END IF;
  -- A block, so that a refused call is rolled back to here, and holds no key for which other transactions would wait.
  BEGIN
    -- In the order of the keys, so that two calls cannot deadlock. The first task of a key takes it for all of them.
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

    -- A duplicate within this call is refused like one from before.
    SELECT unique_key, holders[ordinal] AS holder INTO new
    FROM ROWS FROM (json_to_recordset(tasks) AS (unique_key text, on_conflict text))
      WITH ORDINALITY AS new (unique_key, on_conflict, ordinal)
    WHERE on_conflict = 'error' AND holders[ordinal] <> ids[ordinal]
    ORDER BY ordinal
    LIMIT 1;
    IF FOUND THEN
      RAISE SQLSTATE 'FFDUP';
    END IF;
  EXCEPTION WHEN SQLSTATE 'FFDUP' THEN
    RETURN QUERY SELECT new.holder, NULL::timestamptz, NULL::timestamptz, false, new.unique_key, NULL::json;
    RETURN;
  END;

  INSERT INTO "firefly".task (
    id, func_name, queue, params, priority, not_before, max_retries, retry_delay, backoff, timeout, tags,
    concurrency_key, rate_key, unique_key, unique_among, unique_for, traceparent, dependencies, dependants
  ) OVERRIDING SYSTEM VALUE
  SELECT ids[ordinal], func_name, queue, params, priority,
    CASE WHEN delay > 0 THEN clock_timestamp() + make_interval(secs => delay) ELSE COALESCE(due, now()) END,
    max_retries, retry_delay, backoff, timeout, NULLIF(tags, '{}'), concurrency_key, rate_key, unique_key, unique_among,
    unique_for, "firefly"._traceparent(traceparent), NULLIF(json_array_length(depends), 0),
    CASE WHEN called OR referred[ordinal] THEN true END
  FROM ROWS FROM (json_to_recordset(tasks) AS (
    func_name text, queue text, params text, priority integer, not_before timestamptz, delay double precision,
    max_retries integer, retry_delay double precision, backoff jsonb, timeout double precision, tags text[],
    concurrency_key text, rate_key text, unique_key text, unique_among text[], unique_for double precision,
    traceparent text, depends json
  )) WITH ORDINALITY AS new (
    func_name, queue, params, priority, due, delay, max_retries, retry_delay, backoff, timeout, tags,
    concurrency_key, rate_key, unique_key, unique_among, unique_for, traceparent, depends, ordinal
  )
  WHERE holders[ordinal] = ids[ordinal]
  ORDER BY ordinal;

  IF depend THEN
    -- Of a duplicate, which keeps its own dependencies, none are stored; a dependency that is one counts as it is.
    SELECT array_agg(ids[task.place]) AS task_ids, array_agg(edge.ordinal::integer - 1) AS ordinals,
      array_agg(COALESCE((edge.value ->> 'id')::bigint, holders[(edge.value ->> 'ref')::integer + 1])) AS dependency_ids,
      array_agg(COALESCE((edge.value ->> 'settled')::boolean, false)) AS settled,
      array_agg(COALESCE((edge.value ->> 'id')::bigint, holders[(edge.value ->> 'ref')::integer + 1])) FILTER (
        WHERE edge.value ->> 'id' IS NOT NULL
          OR holders[(edge.value ->> 'ref')::integer + 1] <> ids[(edge.value ->> 'ref')::integer + 1]
      ) AS others
    INTO edges
    FROM ROWS FROM (json_to_recordset(tasks) AS (depends json)) WITH ORDINALITY AS task (depends, place),
      json_array_elements(CASE json_typeof(task.depends) WHEN 'array' THEN task.depends END)
        WITH ORDINALITY AS edge (value, ordinal)
    WHERE holders[task.place] = ids[task.place];
    IF edges.task_ids IS NOT NULL THEN
      PERFORM "firefly"._depend(
        edges.task_ids, edges.ordinals, edges.dependency_ids, edges.settled,
        ARRAY(SELECT DISTINCT other.id FROM unnest(edges.others) AS other (id) ORDER BY other.id)
      );
    END IF;
  END IF;

  -- In the order of the duplicates' ids, as everywhere where several records are locked. The last task of a key wins.
  PERFORM "firefly"._replace(holders[ordinal], params, CASE
    WHEN delay > 0 THEN clock_timestamp() + make_interval(secs => delay)
    ELSE COALESCE(due, now())
  END, "firefly"._traceparent(traceparent))
  FROM ROWS FROM (json_to_recordset(tasks) AS (
    params text, not_before timestamptz, delay double precision, on_conflict text, traceparent text
  )) WITH ORDINALITY AS new (params, due, delay, on_conflict, traceparent, ordinal)
  WHERE on_conflict = 'replace' AND holders[ordinal] <> ids[ordinal]
  ORDER BY holders[ordinal], ordinal;

  -- One record after the other by its primary key: OFFSET 0 keeps the planner from joining them. It cannot know how
  -- many there are, and scanning all of task, or comparing all with all, takes minutes where there are many.
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
      SELECT row_to_json(duplicate) AS record
      FROM "firefly".task_record AS duplicate
      WHERE given.kept AND duplicate.id = given.holder OFFSET 0
    ) AS duplicate ON true
    ORDER BY given.ordinal;
END
$body$;

-- Overwrites the arguments and the time of a created task, and the span that has scheduled it, and returns whether it
-- did: a running one stays as it is, and so does one that has begun steps, with other arguments.
CREATE FUNCTION "firefly"._replace(duplicate bigint, params text, not_before timestamptz, traceparent bytea)
RETURNS boolean
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
DECLARE
  it record;
BEGIN
  -- A block, so that the record of a running task is not locked until the caller's transaction ends: its consumer could
  -- not settle it.
  BEGIN
    SELECT task.queue, task.priority, task.not_before INTO it
    FROM "firefly".task
    WHERE task.id = duplicate AND task.status = 'created'
    FOR UPDATE;
    IF NOT FOUND OR EXISTS (SELECT FROM "firefly".step WHERE step.task_id = duplicate)
      OR NOT "firefly"._unplace(duplicate, it.queue, it.priority, it.not_before)
    THEN
      RAISE SQLSTATE 'FFRUN';
    END IF;
  EXCEPTION WHEN SQLSTATE 'FFRUN' THEN
    RETURN false;
  END;
  UPDATE "firefly".task
  SET params = _replace.params, not_before = _replace.not_before, traceparent = _replace.traceparent,
    claim_seq = task.claim_seq + 1
  WHERE task.id = duplicate;
  PERFORM "firefly"._place(duplicate);
  RETURN true;
END
$body$;

-- The queue of a task that is scheduled without one: that of the definition which the consumer that started last has
-- stored, else 'default'. SECURITY DEFINER, as _notify().
CREATE FUNCTION "firefly"._default_queue(func_name text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
  RETURN COALESCE(
    (SELECT defined.queue FROM "firefly".definition AS defined WHERE defined.func_name = _default_queue.func_name),
    'default'
  );
END
$body$;

-- Schedules a task from any language, inside any transaction; returns its id. NULL takes the default: for the queue,
-- that of the task's definition. The task waits until all tasks of `after` have completed. With a unique key, on_conflict decides about a duplicate: keep (its id is returned),
-- replace (its arguments and time are overwritten while it is created) or error. traceparent is the span of the caller,
-- as W3C Trace Context writes it: the spans of the task's attempts have links to it.
CREATE FUNCTION "firefly".schedule(
  func_name text,
  params jsonb DEFAULT '[]',
  queue text DEFAULT NULL,
  not_before timestamptz DEFAULT now(),
  priority integer DEFAULT 0,
  max_retries integer DEFAULT NULL,
  retry_delay double precision DEFAULT NULL,
  timeout double precision DEFAULT NULL,
  tags text[] DEFAULT '{}',
  unique_key text DEFAULT NULL,
  unique_for double precision DEFAULT NULL,
  on_conflict text DEFAULT 'keep',
  traceparent text DEFAULT NULL,
  after bigint[] DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql AS $body$
DECLARE
  scheduled record;
BEGIN
  queue := COALESCE(schedule.queue, "firefly"._default_queue(schedule.func_name));
  IF jsonb_typeof(COALESCE(params, '[]')) <> 'array' THEN
    RAISE EXCEPTION 'Cannot schedule task "%" as params must be a JSON array of its arguments: current value is of type %',
      func_name, jsonb_typeof(params) USING ERRCODE = 'invalid_parameter_value';
  END IF;
  IF COALESCE(on_conflict, 'keep') NOT IN ('keep', 'replace', 'error') THEN
    RAISE EXCEPTION 'Cannot schedule task "%" as on_conflict must be keep, replace or error: current value is %',
      func_name, on_conflict USING ERRCODE = 'invalid_parameter_value';
  END IF;
  IF unique_key IS NULL AND COALESCE(cardinality(after), 0) = 0 THEN
    INSERT INTO "firefly".task (
      func_name, params, queue, not_before, priority, max_retries, retry_delay, timeout, tags, traceparent
    ) VALUES (
      schedule.func_name, "firefly".encode(COALESCE(schedule.params, '[]')), schedule.queue,
      COALESCE(schedule.not_before, now()), COALESCE(schedule.priority, 0), schedule.max_retries, schedule.retry_delay,
      schedule.timeout, NULLIF(schedule.tags, '{}'), "firefly"._traceparent(schedule.traceparent)
    ) RETURNING id AS task_id INTO scheduled;
    RETURN scheduled.task_id;
  END IF;
  -- As numeric: a session with a low extra_float_digits writes 45.5 as 5e+01.
  SELECT * INTO scheduled
  FROM "firefly"._schedule(json_build_array(json_build_object(
    'func_name', schedule.func_name, 'params', "firefly".encode(COALESCE(schedule.params, '[]')),
    'queue', schedule.queue, 'not_before', COALESCE(schedule.not_before, now()),
    'priority', COALESCE(schedule.priority, 0), 'max_retries', schedule.max_retries,
    'retry_delay', schedule.retry_delay::numeric, 'timeout', schedule.timeout::numeric, 'tags', COALESCE(schedule.tags, '{}'),
    'unique_key', schedule.unique_key, 'unique_for', schedule.unique_for::numeric,
    'on_conflict', COALESCE(schedule.on_conflict, 'keep'), 'traceparent', schedule.traceparent,
    'depends', (SELECT json_agg(json_build_object('id', dependency.id)) FROM unnest(after) AS dependency (id))
  )));
  IF scheduled.refused_key IS NOT NULL THEN
    RAISE EXCEPTION 'Cannot schedule task "%" as task % has its unique key "%"', func_name, scheduled.task_id, unique_key
      USING ERRCODE = 'unique_violation', CONSTRAINT = 'unique_key';
  END IF;
  RETURN scheduled.task_id;
END
$body$;

-- _schedule() for the role producer, which may not read the tables: of a duplicate it learns the id, the state and the
-- times. Its params are a text that cannot be decoded, so that they are never taken for those of the duplicate.
CREATE FUNCTION "firefly"._produce(tasks json)
RETURNS TABLE (
  task_id bigint, created timestamptz, not_before timestamptz, inserted boolean, refused_key text, record json
)
LANGUAGE plpgsql AS $body$
BEGIN
  RETURN QUERY
    SELECT made.task_id, made.created, made.not_before, made.inserted, made.refused_key,
      (made.record::jsonb || '{
        "params": "", "returned": null, "errors": [], "progress_note": null, "tags": [], "attempted_by": null,
        "unique_key": null, "concurrency_key": null, "rate_key": null, "traceparent": null
      }')::json
    FROM "firefly"._schedule(tasks) WITH ORDINALITY AS made (
      task_id, created, not_before, inserted, refused_key, record, ordinal
    )
    ORDER BY made.ordinal;
END
$body$;
