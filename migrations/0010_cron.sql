-- Firefly: scheduling by cron.

-- Stores the crons of a consumer that starts, and returns for each the time after which it has slots to fire. A cron
-- that is new, was removed, or has other times now has none from before. Of the names that the consumer knows, those
-- without a cron lose theirs. So does the other name of a task that was renamed, in either direction, and its pause
-- goes along. With only_abandoned, a stored cron stays as it is if the consumer of its row lives.
CREATE FUNCTION "firefly"._register_crons(consumer_id uuid, known text[], crons json, only_abandoned boolean)
RETURNS TABLE (name text, after timestamptz, at timestamptz)
LANGUAGE plpgsql AS $body$
#variable_conflict use_column
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('firefly' || ':cron', 0));

  INSERT INTO "firefly".cron AS stored (
    name, names, expression, timezone, missed, task, definition, paused, paused_since, consumer_id
  )
  SELECT new.name, new.names, new.expression, new.timezone, new.missed, new.task, new.definition,
    EXISTS (
      SELECT FROM "firefly".cron AS other
      WHERE other.names && new.names AND other.name <> new.name AND other.paused AND other.removed IS NULL
    ),
    (
      SELECT min(other.paused_since) FROM "firefly".cron AS other
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
    END
  -- Asked of the locked row: another consumer may have taken the place of the lost one meanwhile.
  WHERE NOT only_abandoned
    OR NOT EXISTS (SELECT FROM "firefly".consumer WHERE consumer.id = stored.consumer_id AND lease_until > now());

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

-- Schedules a task for each of these slots that has come and has not fired, if the cron still has the definition that
-- the caller knows, and is neither paused nor removed. Returns how many it scheduled, and the time. traceparent is the
-- caller's span.
CREATE FUNCTION "firefly"._fire_cron(
  name text, definition text, slots timestamptz[], traceparent text DEFAULT NULL, OUT fired integer, OUT at timestamptz
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
  -- Shared with other consumers that fire it. A statement that pauses, redefines or removes it waits for them, and they
  -- for it.
  SELECT * INTO entry
  FROM "firefly".cron
  WHERE cron.name = _fire_cron.name AND cron.definition = _fire_cron.definition AND NOT cron.paused
    AND cron.removed IS NULL
  FOR SHARE;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  -- The consumer that fired the newest slot has dealt with all before it. The caller's clock may be wrong: a slot that
  -- is still to come waits for its time, and a slot that is missed by the database's clock counts as missed.
  FOR due IN
    SELECT slot
    FROM unnest(slots) AS given (slot)
    WHERE slot > GREATEST(entry.since, (SELECT max(slot) FROM "firefly".cron_slot WHERE cron = entry.name))
      AND slot <= now()
      AND (entry.missed <> 'skip' OR slot > now() - interval '1 minute')
    ORDER BY slot
  LOOP
    -- The fence: it waits for another consumer that is about to fire this slot, and lets only one of them do it.
    INSERT INTO "firefly".cron_slot (cron, slot) VALUES (entry.name, due) ON CONFLICT DO NOTHING;
    CONTINUE WHEN NOT FOUND;
    SELECT * INTO scheduled
    FROM "firefly"._schedule(json_build_array(
      entry.task || jsonb_build_object('not_before', due, 'traceparent', _fire_cron.traceparent)
    ));
    UPDATE "firefly".cron_slot SET task_id = scheduled.task_id WHERE cron = entry.name AND slot = due;
    fired := fired + CASE WHEN scheduled.inserted THEN 1 ELSE 0 END;
  END LOOP;
END
$body$;

-- Returns which of these crons have no live consumer with the stored definition: the consumer of their row is gone, and
-- no other has taken its place. The caller takes that place here in the rows of the crons that it defines likewise.
CREATE FUNCTION "firefly"._own_crons(consumer_id uuid, names text[], definitions text[]) RETURNS SETOF text
LANGUAGE plpgsql AS $body$
#variable_conflict use_column
BEGIN
  UPDATE "firefly".cron
  SET consumer_id = _own_crons.consumer_id
  FROM unnest(_own_crons.names, definitions) AS own (name, definition)
  WHERE cron.name = own.name AND cron.definition = own.definition AND cron.removed IS NULL
    AND NOT EXISTS (SELECT FROM "firefly".consumer WHERE consumer.id = cron.consumer_id AND lease_until > now());

  RETURN QUERY
    SELECT cron.name
    FROM "firefly".cron
    WHERE cron.name = ANY (_own_crons.names) AND cron.removed IS NULL
      AND NOT EXISTS (SELECT FROM "firefly".consumer WHERE consumer.id = cron.consumer_id AND lease_until > now());
END
$body$;

-- Pauses a cron until it is resumed; returns whether that is new. Tasks that it has scheduled run.
CREATE FUNCTION "firefly".pause_cron(name text) RETURNS boolean
LANGUAGE plpgsql AS $body$
BEGIN
  UPDATE "firefly".cron SET paused = true, paused_since = now() WHERE cron.name = pause_cron.name AND NOT paused;
  RETURN FOUND;
END
$body$;

-- Resumes a paused cron, without the slots that it missed; returns whether it was paused.
CREATE FUNCTION "firefly".resume_cron(name text) RETURNS boolean
LANGUAGE plpgsql AS $body$
BEGIN
  UPDATE "firefly".cron
  SET paused = false, paused_since = NULL, since = now()
  WHERE cron.name = resume_cron.name AND paused;
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
