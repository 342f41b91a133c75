-- Firefly: compensation, which undoes the steps of a task that failed.
--
-- A task that begins to compensate stores that first: a step of kind `compensation`, called "compensate", that waits until
-- all of it is done. Its `error` is that of the task, with `plan`, the names and keys of the steps to be compensated. From
-- then on the task can only fail. Each compensation is a step called "compensate NAME", with the key of its step.

-- The step that says since when a task compensates, or that it has; no row if it never did.
CREATE FUNCTION "firefly"._compensation(task_id bigint) RETURNS SETOF "firefly".step
LANGUAGE sql STABLE AS $body$
  SELECT *
  FROM "firefly".step
  WHERE step.task_id = _compensation.task_id AND step.name = 'compensate' AND step.key = ''
    AND step.kind = 'compensation'
$body$;

-- The steps of a task that were compensated, or are to be.
CREATE FUNCTION "firefly"._compensated(task_id bigint) RETURNS SETOF "firefly".step
LANGUAGE sql STABLE AS $body$
  SELECT own.*
  FROM "firefly"._compensation(_compensated.task_id) AS marker,
    jsonb_array_elements(marker.error -> 'plan') AS planned (step)
  JOIN "firefly".step AS own ON own.name = planned.step ->> 0 AND own.key = planned.step ->> 1
  WHERE own.task_id = _compensated.task_id AND own.kind = 'step' AND own.status = 'completed'
$body$;

-- Whether a task that has ended may be retried. Not one that has compensated its steps: they cannot run again under the
-- same idempotency keys. One whose compensations have not all completed is retried to make them.
CREATE FUNCTION "firefly"._may_compensate_again(task_id bigint) RETURNS boolean
LANGUAGE sql STABLE AS $body$
  SELECT NOT EXISTS (
    SELECT FROM "firefly"._compensation(_may_compensate_again.task_id) AS marker WHERE marker.status = 'completed'
  )
$body$;

-- Lets a task that is retried make those of its compensations that have failed; returns whether it compensates. The caller
-- has locked its record.
CREATE FUNCTION "firefly"._compensate_again(task_id bigint) RETURNS boolean
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
BEGIN
  UPDATE "firefly".step
  SET status = 'waiting', seq = NULL, ended = NULL
  WHERE step.task_id = _compensate_again.task_id AND step.name = 'compensate' AND step.key = ''
    AND step.kind = 'compensation';
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  DELETE FROM "firefly".step
  WHERE step.task_id = _compensate_again.task_id AND step.kind = 'compensation' AND step.name <> 'compensate'
    AND step.status <> 'completed';
  RETURN true;
END
$body$;

-- Says since when a task compensates its steps, and why; or that it cannot be retried, as it has.
CREATE FUNCTION "firefly"._explain_compensation(it "firefly".task) RETURNS SETOF "firefly".task_reason
LANGUAGE plpgsql STABLE AS $body$
BEGIN
  IF it.compensates THEN
    RETURN QUERY SELECT 'compensating',
      format('It compensates its steps since %s, after %s', "firefly"._format_time(marker.began),
        "firefly"._format_error(marker.error)),
      jsonb_build_object(
        'since', marker.began,
        'error', "firefly"._brief_error(marker.error || jsonb_build_object('attempt', marker.attempt))
      )
    FROM "firefly"._compensation(it.id) AS marker
    WHERE marker.status = 'waiting' AND it.status = 'created'
    UNION ALL
    SELECT 'compensated', 'It cannot be retried as it has compensated its steps: fork it',
      jsonb_build_object('since', marker.began)
    FROM "firefly"._compensation(it.id) AS marker
    WHERE marker.status = 'completed' AND it.status IN ('failed', 'cancelled');
  END IF;
END
$body$;
