-- Firefly: what the roles that `migrate --roles` makes stand on. The roles themselves are of the whole cluster, and what
-- they may do is granted by that command, so that an install that does not ask for roles keeps its privileges.

-- The records without anything that their arguments, handlers or errors may have left in them: no params and results,
-- no keys that were made of arguments, of the last error its name alone, and of the progress no words.
CREATE VIEW "firefly".task_overview AS
SELECT id, func_name, queue, status, priority, created, not_before, started, completed, failed, cancelled,
  attempt, retry_attempts, max_retries, retry_delay, timeout, rescues, snoozes, progress,
  errors -> -1 ->> 'name' AS error, tags
FROM "firefly".task_record;

-- _schedule() for those who may not read the tables: of a duplicate they learn its id, its state and its times. Its params are
-- text that cannot be decoded, so that nobody takes them for the duplicate's.
CREATE FUNCTION "firefly"._produce(tasks json)
RETURNS TABLE (
  task_id bigint, created timestamptz, not_before timestamptz, inserted boolean, refused_key text, record json
)
LANGUAGE plpgsql AS $body$
BEGIN
  RETURN QUERY
    SELECT made.task_id, made.created, made.not_before, made.inserted, made.refused_key,
      (made.record::jsonb || '{
        "params": "", "returned": null, "errors": [], "progress_note": null, "tags": [],
        "unique_key": null, "concurrency_key": null, "rate_key": null
      }')::json
    FROM "firefly"._schedule(tasks) WITH ORDINALITY AS made (
      task_id, created, not_before, inserted, refused_key, record, ordinal
    )
    ORDER BY made.ordinal;
END
$body$;
