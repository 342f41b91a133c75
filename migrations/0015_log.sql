-- Firefly: the log lines of attempts.

CREATE TABLE "firefly".task_log (
  -- Its order: the lines of an attempt have those in which they were logged.
  id bigint GENERATED ALWAYS AS IDENTITY,
  task_id bigint NOT NULL,
  attempt integer NOT NULL,
  at timestamptz NOT NULL,
  level text NOT NULL CHECK (level IN ('debug', 'info', 'warn', 'error')),
  message text NOT NULL,
  fields jsonb,
  -- The name of the step that logged it; NULL outside of steps.
  step text,
  PRIMARY KEY (task_id, id)
);
COMMENT ON TABLE "firefly".task_log IS
  'A line that a handler logged, of a task whose lines are kept: its option keepLogs. Inserted by consumers every '
  'second; deleted with the task.';

-- For the newest lines of all tasks, and for those that follow a line.
CREATE INDEX task_log_at ON "firefly".task_log (at);
CREATE INDEX task_log_id ON "firefly".task_log (id);

-- By statement: whatever deletes tasks, a prune of a thousand or an edit by hand, deletes their lines at once.
CREATE FUNCTION "firefly"._forget_log() RETURNS trigger
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
BEGIN
  DELETE FROM "firefly".task_log WHERE task_log.task_id = ANY (ARRAY(SELECT gone.id FROM gone));
  RETURN NULL;
END
$body$;

CREATE TRIGGER forget_log AFTER DELETE ON "firefly".task
REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION "firefly"._forget_log();

CREATE FUNCTION "firefly"._forget_all_logs() RETURNS trigger
LANGUAGE plpgsql AS $body$
BEGIN
  DELETE FROM "firefly".task_log;
  RETURN NULL;
END
$body$;

CREATE TRIGGER forget_all_logs AFTER TRUNCATE ON "firefly".task
FOR EACH STATEMENT EXECUTE FUNCTION "firefly"._forget_all_logs();
