-- Firefly: steps, the parts of a handler whose results outlive its attempt.

-- The primary key keeps the effects of a step from happening twice: of two attempts that do the same step, the second
-- commits nothing.
CREATE TABLE "firefly".step (
  task_id bigint NOT NULL,
  name text NOT NULL CHECK (name <> ''),
  -- Tells steps of one name apart: the handler's own key, or the number of the call from the second on.
  key text NOT NULL DEFAULT '',
  status text NOT NULL CHECK (status IN ('completed', 'failed')),
  -- The order in which steps ended, in which a later attempt gets their results back.
  seq integer NOT NULL,
  -- The version of the task's code that ran it.
  version integer NOT NULL DEFAULT 1,
  attempt integer NOT NULL,
  began timestamptz NOT NULL,
  ended timestamptz NOT NULL,
  -- In the wire format. NULL for a result that is undefined.
  returned text,
  -- As an entry of task.errors. A failure is stored only if the handler caught it and began another step.
  error jsonb,
  PRIMARY KEY (task_id, name, key)
);
COMMENT ON TABLE "firefly".step IS
  'A step of a task that has ended, by name and key. Inserted by the consumer that ran it, together with the effects of '
  'the step; deleted with the task.';

CREATE VIEW "firefly".step_json AS
SELECT task_id, name, key, status, seq, version, attempt, began, ended, "firefly".try_decode(returned) AS returned, error
FROM "firefly".step;
COMMENT ON VIEW "firefly".step_json IS
  'step with returned as jsonb, NULL where it cannot be decoded.';

-- By statement, as _forget_log(). Most databases have no steps: then no id is looked up.
CREATE FUNCTION "firefly"._forget_steps() RETURNS trigger
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
BEGIN
  IF EXISTS (SELECT FROM "firefly".step) THEN
    DELETE FROM "firefly".step WHERE step.task_id = ANY (ARRAY(SELECT gone.id FROM gone));
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
  RETURN NULL;
END
$body$;

CREATE TRIGGER forget_all_steps AFTER TRUNCATE ON "firefly".task
FOR EACH STATEMENT EXECUTE FUNCTION "firefly"._forget_all_steps();
