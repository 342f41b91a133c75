-- Firefly: explain(), part 1: how its sentences are written, and who could run a task or holds it.

-- One reason: its code, a sentence for people, and the content of the sentence as data.
CREATE TYPE "firefly".task_reason AS (reason text, message text, data jsonb);

-- All functions of explain() are STABLE, so that they see one snapshot, that of the statement that calls it: a task
-- that is claimed meanwhile is in one place, never in none. They call the task `it`, as their sentences do.

-- A time to the second, in the time zone of the session.
CREATE FUNCTION "firefly"._format_time(at timestamptz) RETURNS text
LANGUAGE sql STABLE AS $body$
  SELECT date_trunc('second', at)::text
$body$;

-- `1 task`, `3 tasks` and, since counting stops after 10,000, `more than 10000 tasks`.
CREATE FUNCTION "firefly"._format_count(count bigint, noun text) RETURNS text
LANGUAGE sql IMMUTABLE AS $body$
  SELECT CASE
    WHEN count = 1 THEN '1 ' || noun
    WHEN count > 10000 THEN 'more than 10000 ' || noun || 's'
    ELSE count || ' ' || noun || 's'
  END
$body$;

-- An error of the record, without its stack; NULL of NULL.
CREATE FUNCTION "firefly"._brief_error(error jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE STRICT AS $body$
  SELECT jsonb_build_object('name', error -> 'name', 'message', error -> 'message', 'attempt', error -> 'attempt')
$body$;

CREATE FUNCTION "firefly"._format_error(error jsonb) RETURNS text
LANGUAGE sql IMMUTABLE STRICT AS $body$
  SELECT format('%s: %s', error ->> 'name', left(error ->> 'message', 200))
$body$;

-- Up to three of the known words that share at least half of their pairs of letters with `word`, the most similar
-- first. didYouMean() in src/suggest.ts does this in TypeScript, but explain() must work from psql too.
CREATE FUNCTION "firefly"._near_words(word text, known text[]) RETURNS text[]
LANGUAGE sql IMMUTABLE AS $body$
  WITH pair AS (
    SELECT DISTINCT candidate, substr(lower(candidate), start, 2) AS letters
    FROM unnest(known[:1000] || word) AS candidate, generate_series(1, length(candidate) - 1) AS start
  ), near AS (
    SELECT pair.candidate,
      2.0 * count(*) FILTER (WHERE letters IN (SELECT letters FROM pair AS own WHERE own.candidate = word))
        / (count(*) + (SELECT count(*) FROM pair AS own WHERE own.candidate = word)) AS likeness
    FROM pair
    WHERE pair.candidate <> word
    GROUP BY pair.candidate
  )
  SELECT COALESCE(array_agg(candidate ORDER BY likeness DESC, candidate), '{}')
  FROM (SELECT * FROM near WHERE likeness >= 0.5 ORDER BY likeness DESC, candidate LIMIT 3) AS nearest
$body$;

-- A task that has ended: how, and whether a duplicate keeps it from being retried.
CREATE FUNCTION "firefly"._explain_ended(it "firefly".task) RETURNS SETOF "firefly".task_reason
LANGUAGE plpgsql STABLE AS $body$
DECLARE
  at timestamptz := COALESCE(it.completed, it.failed, it.cancelled);
  error jsonb := CASE
    WHEN it.status = 'failed' OR "firefly"._is_unmet(it) THEN it.errors -> -1
  END;
  duplicate record;
  unmet record;
BEGIN
  RETURN QUERY SELECT 'ended',
    CASE it.status
      WHEN 'completed' THEN 'It completed'
      WHEN 'cancelled' THEN 'It was cancelled'
      ELSE 'It failed'
    END
      || COALESCE(' at ' || "firefly"._format_time(at), '')
      || COALESCE(': ' || "firefly"._format_error(error), ''),
    jsonb_build_object('status', it.status, 'at', at, 'error', "firefly"._brief_error(error));

  IF it.dependencies IS NOT NULL AND it.status <> 'completed' THEN
    SELECT dependency.dependency_id AS id, culprit.id IS NOT NULL AS exists, CASE
      WHEN "firefly"._is_unmet(culprit) THEN (culprit.errors -> -1 ->> 'root')::bigint
      ELSE dependency.dependency_id
    END AS root
    INTO unmet
    FROM "firefly".dependency
    LEFT JOIN "firefly".task AS culprit ON culprit.id = dependency.dependency_id
    WHERE dependency.task_id = it.id AND NOT dependency.settled
      AND COALESCE(culprit.status IN ('failed', 'cancelled'), dependency.status IS DISTINCT FROM 'completed')
    ORDER BY dependency.ordinal
    LIMIT 1;
    IF FOUND THEN
      RETURN QUERY SELECT 'unmet',
        CASE
          WHEN unmet.exists THEN format('It cannot be retried before task %s is: retry that', unmet.root)
          ELSE format('It cannot be retried as task %s, which it depends on, was deleted', unmet.id)
        END,
        jsonb_build_object('task_id', unmet.id, 'root', unmet.root);
    END IF;
  END IF;
  IF it.unique_key IS NULL OR it.status = 'completed' THEN
    RETURN;
  END IF;
  SELECT held.task_id, held.until INTO duplicate
  FROM "firefly".unique_key AS held
  WHERE held.func_name = it.func_name AND held.key = it.unique_key AND held.task_id <> it.id
    AND (held.until IS NULL OR held.until > statement_timestamp());
  IF FOUND THEN
    RETURN QUERY SELECT 'unique',
      format('It cannot be retried as task %s has its unique key "%s"', duplicate.task_id, it.unique_key)
        || COALESCE(' until ' || "firefly"._format_time(duplicate.until), ''),
      jsonb_build_object('key', it.unique_key, 'task_id', duplicate.task_id, 'until', duplicate.until);
  END IF;
END
$body$;

-- A task that waits for others: for which. Each end is told by a consumer, a moment after it.
CREATE FUNCTION "firefly"._explain_dependencies(it "firefly".task) RETURNS SETOF "firefly".task_reason
LANGUAGE plpgsql STABLE AS $body$
DECLARE
  first jsonb;
  open bigint;
BEGIN
  IF it.dependencies IS NULL OR NOT EXISTS (
    SELECT FROM "firefly".waiting
    WHERE waiting.id = it.id AND waiting.claim_seq = it.claim_seq AND waiting.reason = 'dependencies'
  ) THEN
    RETURN;
  END IF;
  SELECT count(*) INTO open
  FROM "firefly".dependency
  JOIN "firefly".task ON task.id = dependency.dependency_id AND task.status = 'created'
  WHERE dependency.task_id = it.id AND dependency.status IS NULL AND NOT dependency.called;
  IF open = 0 THEN
    RETURN QUERY SELECT 'released', 'All tasks that it depends on have ended: a consumer is about to release it',
      jsonb_build_object('of', it.dependencies);
    RETURN;
  END IF;
  SELECT jsonb_agg(
    jsonb_build_object('task_id', record.id, 'func_name', record.func_name, 'status', record.status) ORDER BY edge.ordinal
  ) INTO first
  FROM (
    SELECT dependency.ordinal, dependency.dependency_id
    FROM "firefly".dependency
    JOIN "firefly".task ON task.id = dependency.dependency_id AND task.status = 'created'
    WHERE dependency.task_id = it.id AND dependency.status IS NULL AND NOT dependency.called
    ORDER BY dependency.ordinal
    LIMIT 20
  ) AS edge
  JOIN "firefly".task_record AS record ON record.id = edge.dependency_id;
  RETURN QUERY SELECT 'dependencies',
    format('It waits for %s of %s: ', open, "firefly"._format_count(it.dependencies, 'task'))
      || (SELECT string_agg(edge ->> 'task_id', ', ') FROM jsonb_path_query(first, '$[0 to 4]') AS edge)
      || CASE WHEN open > 5 THEN ', …' ELSE '' END,
    jsonb_build_object('open', open, 'of', it.dependencies, 'tasks', first);
END
$body$;

-- A task that a consumer holds: since when, and which one, or that it crashed. No row if no consumer holds it.
CREATE FUNCTION "firefly"._explain_claim(it "firefly".task) RETURNS SETOF "firefly".task_reason
LANGUAGE plpgsql STABLE AS $body$
DECLARE
  held record;
  data jsonb;
  place text;
BEGIN
  SELECT run.claimed, run.consumer_id, consumer.host, consumer.pid, consumer.lease_until,
    COALESCE(consumer.lease_until > statement_timestamp(), false) AS alive
  INTO held
  FROM "firefly"._claimed_run AS run
  LEFT JOIN "firefly".consumer ON consumer.id = run.consumer_id
  WHERE it.id >= run.id AND it.id < run.id + run.length AND run.claim_seq = it.claim_seq
  LIMIT 1;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  place := COALESCE(' on ' || held.host || ', process ' || held.pid, '');
  data := jsonb_build_object(
    'attempt', COALESCE(it.retry_attempts, 0) + COALESCE(it.rescues, 0) + 1, 'since', held.claimed, 'consumer', held.consumer_id,
    'host', held.host, 'pid', held.pid, 'lease_until', held.lease_until
  );
  IF held.alive THEN
    RETURN QUERY SELECT 'running',
      format('Attempt %s has been running since %s%s', data ->> 'attempt', "firefly"._format_time(held.claimed), place),
      data;
    RETURN;
  END IF;
  RETURN QUERY SELECT 'orphaned',
    format('The consumer that ran attempt %s%s crashed: ', data ->> 'attempt', place)
      || CASE
        WHEN EXISTS (SELECT FROM "firefly".consumer WHERE lease_until > statement_timestamp())
        THEN 'another one will rescue it soon'
        ELSE 'it is rescued once a consumer runs'
      END,
    data;
  RETURN QUERY SELECT * FROM "firefly"._explain_consumers(it);
END
$body$;

-- Whether there is a consumer that could run it.
CREATE FUNCTION "firefly"._explain_consumers(it "firefly".task) RETURNS SETOF "firefly".task_reason
LANGUAGE plpgsql STABLE AS $body$
DECLARE
  served text[];
  elsewhere text[];
  known text[];
  near text[];
BEGIN
  SELECT COALESCE(array_agg(DISTINCT name ORDER BY name), '{}'),
    COALESCE(array_agg(DISTINCT name ORDER BY name) FILTER (WHERE it.func_name = ANY (consumer.tasks)), '{}')
  INTO served, elsewhere
  FROM "firefly".consumer,
    unnest(CASE WHEN consumer.all_queues THEN consumer.queues || it.queue ELSE consumer.queues END) AS name
  WHERE consumer.lease_until > statement_timestamp();
  IF it.queue <> ALL (served) THEN
    RETURN QUERY SELECT 'no_consumer', format('No live consumer serves its queue "%s"', it.queue)
        || CASE WHEN served = '{}' THEN '' ELSE format(', only %s', array_to_string(served, ', ')) END
        || CASE WHEN elsewhere = '{}' THEN ''
          ELSE format('; consumers of %s know its name', array_to_string(elsewhere, ', ')) END,
      jsonb_build_object('queue', it.queue, 'served', served, 'elsewhere', elsewhere);
  ELSIF it.queue <> ALL (elsewhere) THEN
    SELECT array_agg(DISTINCT name) INTO known
    FROM "firefly".consumer, unnest(consumer.tasks) AS name
    WHERE consumer.lease_until > statement_timestamp()
      AND (consumer.all_queues OR it.queue = ANY (consumer.queues));
    near := "firefly"._near_words(it.func_name, known);
    RETURN QUERY SELECT 'unknown_name',
      format('No live consumer of its queue "%s" knows a task "%s"', it.queue, it.func_name)
        || CASE WHEN near = '{}' THEN '' ELSE format(', did you mean "%s"?', near[1]) END
        || CASE WHEN elsewhere = '{}' THEN '' ELSE format('; consumers of %s do', array_to_string(elsewhere, ', ')) END,
      jsonb_build_object('queue', it.queue, 'func_name', it.func_name, 'near', near, 'elsewhere', elsewhere);
  END IF;
END
$body$;
