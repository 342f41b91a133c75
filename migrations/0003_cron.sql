-- Firefly: tasks that are scheduled by the clock.

-- What the consumer that started last said of each task with a cron. The name is the task's.
CREATE TABLE "firefly".cron (
  name text PRIMARY KEY,
  -- The name and the aliases: two rows that share one are the same task, renamed.
  names text[] NOT NULL,
  expression text NOT NULL,
  timezone text NOT NULL,
  missed text NOT NULL CHECK (missed IN ('skip', 'one', 'all')),
  -- The row that a slot inserts, in the names of the columns.
  task jsonb NOT NULL,
  -- All of the above that decides when and what, as its author wrote it: only consumers that say the same fire.
  definition text NOT NULL,
  paused boolean NOT NULL DEFAULT false,
  -- When a consumer said that the task has no cron any more.
  removed timestamptz,
  -- Slots up to here are not made up for, whatever `missed` says.
  since timestamptz NOT NULL DEFAULT now(),
  defined timestamptz NOT NULL DEFAULT now(),
  -- A consumer that says the same; see _own_crons.
  consumer_id uuid
);

-- The slots that fired: the primary key lets one of any number of consumers through. Only the last ones are kept, as no
-- slot fires that is older than the newest.
CREATE TABLE "firefly".cron_slot (
  cron text NOT NULL REFERENCES "firefly".cron (name) ON DELETE CASCADE,
  slot timestamptz NOT NULL,
  -- What it scheduled, or the duplicate that kept it from that.
  task_id bigint,
  fired timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (cron, slot)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Stores the crons of a consumer that starts, and tells from when on each has slots to fire. A cron that is new, was
-- removed, or comes at other times now has none from before. Of the names that the consumer knows, those without a cron
-- lose it; so does the other name of a task that was renamed, in either direction, and its pause goes along.
CREATE FUNCTION "firefly"._register_crons(consumer_id uuid, known text[], crons json)
RETURNS TABLE (name text, after timestamptz, at timestamptz)
LANGUAGE plpgsql AS $body$
#variable_conflict use_column
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('firefly' || ':cron', 0));

  INSERT INTO "firefly".cron AS stored (
    name, names, expression, timezone, missed, task, definition, paused, consumer_id
  )
  SELECT new.name, new.names, new.expression, new.timezone, new.missed, new.task, new.definition,
    EXISTS (
      SELECT FROM "firefly".cron AS other
      WHERE other.names && new.names AND other.name <> new.name AND other.paused AND other.removed IS NULL
    ),
    _register_crons.consumer_id
  FROM json_to_recordset(crons) AS new (
    name text, names text[], expression text, timezone text, missed text, task jsonb, definition text
  )
  ORDER BY new.name
  ON CONFLICT (name) DO UPDATE
  SET names = excluded.names, expression = excluded.expression, timezone = excluded.timezone, missed = excluded.missed,
    task = excluded.task, definition = excluded.definition, removed = NULL, consumer_id = excluded.consumer_id,
    since = CASE
      WHEN stored.removed IS NULL AND (stored.expression, stored.timezone) = (excluded.expression, excluded.timezone)
        THEN stored.since
      ELSE now()
    END,
    defined = CASE
      WHEN stored.removed IS NULL AND stored.definition = excluded.definition THEN stored.defined
      ELSE now()
    END;

  UPDATE "firefly".cron AS gone
  SET removed = now()
  WHERE gone.removed IS NULL
    AND NOT EXISTS (SELECT FROM json_to_recordset(crons) AS new (name text) WHERE new.name = gone.name)
    AND (
      gone.name = ANY (known)
      OR EXISTS (SELECT FROM json_to_recordset(crons) AS new (names text[]) WHERE new.names && gone.names)
    );

  RETURN QUERY
    SELECT cron.name,
      GREATEST(cron.since, (SELECT max(slot) FROM "firefly".cron_slot WHERE cron_slot.cron = cron.name)),
      now()
    FROM "firefly".cron
    JOIN json_to_recordset(crons) AS new (name text) ON new.name = cron.name;
END
$body$;

-- Schedules a task for each of these slots that has come and did not fire yet, if the cron is still what the caller
-- believes it to be, and is neither paused nor removed. Tells how many it scheduled, and the time.
CREATE FUNCTION "firefly"._fire_cron(
  name text, definition text, slots timestamptz[], OUT fired integer, OUT at timestamptz
)
LANGUAGE plpgsql AS $body$
#variable_conflict use_column
DECLARE
  entry record;
  due timestamptz;
  scheduled record;
BEGIN
  fired := 0;
  at := now();
  -- Shared among those who fire; whoever pauses, redefines or removes it waits for them, and they for it.
  SELECT * INTO entry
  FROM "firefly".cron
  WHERE cron.name = _fire_cron.name AND cron.definition = _fire_cron.definition AND NOT cron.paused AND cron.removed IS NULL
  FOR SHARE;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  -- Whoever fired the newest slot has dealt with all before. The sender's clock may be wrong: a slot that is still to
  -- come waits for its time, and one that the sender does not know to be missed is.
  FOR due IN
    SELECT slot
    FROM unnest(slots) AS given (slot)
    WHERE slot > GREATEST(entry.since, (SELECT max(slot) FROM "firefly".cron_slot WHERE cron = entry.name))
      AND slot <= now()
      AND (entry.missed <> 'skip' OR slot > now() - interval '1 minute')
    ORDER BY slot
  LOOP
    -- The fence: it waits for another consumer that is about to fire this slot, and lets one of them through.
    INSERT INTO "firefly".cron_slot (cron, slot) VALUES (entry.name, due) ON CONFLICT DO NOTHING;
    CONTINUE WHEN NOT FOUND;
    SELECT * INTO scheduled
    FROM "firefly"._schedule(json_build_array(entry.task || jsonb_build_object('not_before', due)));
    UPDATE "firefly".cron_slot SET task_id = scheduled.task_id WHERE cron = entry.name AND slot = due;
    fired := fired + CASE WHEN scheduled.inserted THEN 1 ELSE 0 END;
  END LOOP;
END
$body$;

-- Which of these crons nobody who lives stands for any more: the consumer that stood for it is gone, and none that says
-- the same has taken its place, as the caller does here for those that it agrees with.
CREATE FUNCTION "firefly"._own_crons(consumer_id uuid, names text[], definitions text[]) RETURNS SETOF text
LANGUAGE plpgsql AS $body$
#variable_conflict use_column
BEGIN
  UPDATE "firefly".cron
  SET consumer_id = _own_crons.consumer_id
  FROM unnest(_own_crons.names, definitions) AS mine (name, said)
  WHERE cron.name = mine.name AND cron.definition = mine.said AND cron.removed IS NULL
    AND NOT EXISTS (SELECT FROM "firefly".consumer WHERE consumer.id = cron.consumer_id AND lease_until > now());

  RETURN QUERY
    SELECT cron.name
    FROM "firefly".cron
    WHERE cron.name = ANY (_own_crons.names) AND cron.removed IS NULL
      AND NOT EXISTS (SELECT FROM "firefly".consumer WHERE consumer.id = cron.consumer_id AND lease_until > now());
END
$body$;

-- Stops a cron until it is resumed; says whether that is new. What it has scheduled runs.
CREATE FUNCTION "firefly".pause_cron(name text) RETURNS boolean
LANGUAGE plpgsql AS $body$
BEGIN
  UPDATE "firefly".cron SET paused = true WHERE cron.name = pause_cron.name AND NOT paused;
  RETURN FOUND;
END
$body$;

-- Goes on with a paused cron, without what it missed; says whether it was paused.
CREATE FUNCTION "firefly".resume_cron(name text) RETURNS boolean
LANGUAGE plpgsql AS $body$
BEGIN
  UPDATE "firefly".cron SET paused = false, since = now() WHERE cron.name = resume_cron.name AND paused;
  RETURN FOUND;
END
$body$;

-- Schedules the task of a cron now, beside its slots; returns its id, or that of a duplicate with its unique key.
CREATE FUNCTION "firefly".run_cron(name text) RETURNS bigint
LANGUAGE plpgsql AS $body$
DECLARE
  entry record;
  scheduled record;
BEGIN
  SELECT * INTO entry FROM "firefly".cron WHERE cron.name = run_cron.name;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'Cannot run cron "%" as there is none of this name', run_cron.name USING ERRCODE = 'no_data_found';
  END IF;
  SELECT * INTO scheduled FROM "firefly"._schedule(json_build_array(entry.task));
  IF scheduled.refused_key IS NOT NULL THEN
    RAISE EXCEPTION 'Cannot run cron "%" as task % has its unique key', run_cron.name, scheduled.task_id
      USING ERRCODE = 'unique_violation', CONSTRAINT = 'unique_key';
  END IF;
  RETURN scheduled.task_id;
END
$body$;

-- The crons, with what becomes of them: `orphaned`, no live consumer knows the task, or its cron was removed from the
-- code; `paused`; `active`. The next slot is not known here: the database does not read cron's expressions.
CREATE VIEW "firefly".cron_record AS
SELECT cron.name, cron.expression, cron.timezone, cron.missed, cron.task ->> 'queue' AS queue,
  CASE
    WHEN cron.removed IS NOT NULL
      OR NOT EXISTS (SELECT FROM "firefly".consumer WHERE lease_until > now() AND cron.name = ANY (consumer.tasks))
      THEN 'orphaned'
    WHEN cron.paused THEN 'paused'
    ELSE 'active'
  END AS state,
  cron.since, cron.defined, last.slot AS last_slot, last.fired AS last_fired, last.task_id AS last_task_id,
  CASE
    WHEN task.status = 'created' AND EXISTS (SELECT FROM "firefly".claim_batch WHERE task.id = ANY (claim_batch.ids)) THEN 'running'
    ELSE task.status
  END AS last_status
FROM "firefly".cron
LEFT JOIN LATERAL (
  SELECT slot, fired, task_id FROM "firefly".cron_slot WHERE cron_slot.cron = cron.name ORDER BY slot DESC LIMIT 1
) AS last ON true
LEFT JOIN "firefly".task ON task.id = last.task_id;
