-- Firefly: steps, the parts of a handler whose results outlive its attempt.

-- The primary key keeps the effects of a step from happening twice: of two attempts that do the same step, the second
-- commits nothing.
CREATE TABLE "firefly".step (
  task_id bigint NOT NULL,
  name text NOT NULL CHECK (name <> ''),
  -- Tells steps of one name apart: the handler's own key, or the number of the call from the second on.
  key text NOT NULL DEFAULT '',
  -- A step with a function, or a wait: a sleep, a wait for a signal, a call of other tasks. `compensation` undoes a step
  -- of a task that failed.
  kind text NOT NULL DEFAULT 'step' CHECK (kind IN ('step', 'sleep', 'signal', 'call', 'compensation')),
  -- `waiting` is a wait that has not ended, or a step that has failed and is tried again.
  status text NOT NULL CHECK (status IN ('waiting', 'completed', 'failed')),
  -- The order in which steps ended, in which a later attempt gets their results back. NULL while it waits.
  seq integer,
  -- The version of the task's code that ran it.
  version integer NOT NULL DEFAULT 1,
  attempt integer NOT NULL,
  -- How often a step with retries of its own has failed.
  failures integer NOT NULL DEFAULT 0,
  -- When it first began.
  began timestamptz NOT NULL,
  -- NULL while it waits.
  ended timestamptz,
  -- When a sleep ends, a wait for a signal is given up, or a step is tried again. NULL for a wait without an end in time.
  due timestamptz,
  -- The tasks that a call scheduled, in their order.
  callees bigint[],
  -- In the wire format. NULL for a result that is undefined.
  returned text,
  -- As an entry of task.errors. A failure is stored if the handler caught it and began another step, or if the step is
  -- tried again.
  error jsonb,
  PRIMARY KEY (task_id, name, key)
);
-- What tasks wait for, by name, those that wait longest first. A step that never waits has no entry in it.
CREATE INDEX step_waiting ON "firefly".step (kind, name, began, task_id) WHERE status = 'waiting';
COMMENT ON TABLE "firefly".step IS
  'A step of a task, or a wait of its handler, by name and key. Inserted by the consumer that ran it, together with the '
  'effects of the step, or when the attempt is suspended; updated once its wait has ended; deleted with the task.';

CREATE VIEW "firefly".step_json AS
SELECT task_id, name, key, kind, status, seq, version, attempt, failures, began, ended, due, callees,
  "firefly".try_decode(returned) AS returned, error
FROM "firefly".step;
COMMENT ON VIEW "firefly".step_json IS
  'step with returned as jsonb, NULL where it cannot be decoded.';
