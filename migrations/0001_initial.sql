-- Firefly: the wire format in SQL, the tables, and the functions and views that are the API in SQL.

-- The wire format, for SQL: decode() shows what a task took or returned as
-- jsonb, encode() makes parameters. What JSON lacks is shown by its nearest
-- likeness: undefined, NaN and holes as null or text, a Date as ISO text, a Map
-- as pairs, bytes as Base64.
--
-- The walker passes these along: `refs`, the values that are met more than once;
-- `path`, the refs that are being expanded; `depth`; and `budget`, the bytes
-- that may still come from expanding refs, as a short text of shared references
-- can stand for a value of any size. Whatever is malformed, unknown, cyclic or
-- past the budget stays as it is written.

-- Not STRICT: the planner inlines a STRICT function only if its body is strict too.
CREATE FUNCTION "firefly"._mentions_tag(source text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $body$
  SELECT strpos(source, '"$"') > 0 OR strpos(source, E'\\u0024') > 0
$body$;

-- A string, or the tag "string" with what text cannot hold shown as U+FFFD.
CREATE FUNCTION "firefly"._decode_string(node jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $body$
BEGIN
  IF jsonb_typeof(node) = 'string' THEN
    RETURN node #>> '{}';
  ELSIF node ->> '$' = 'string' AND jsonb_typeof(node -> 'v') = 'string' THEN
    RETURN replace(
      regexp_replace(node ->> 'v', '%(0000|D[89A-F][0-9A-F]{2})', chr(65533), 'g'),
      '%0025', '%'
    );
  END IF;
  RETURN NULL;
END
$body$;

-- A tagged value without parts, or null for any other. (In PL/pgSQL, as a
-- function in SQL that cannot be inlined takes ten times as long to call.)
CREATE FUNCTION "firefly"._decode_leaf(node jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $body$
BEGIN
  CASE node ->> '$'
    WHEN 'undefined' THEN
      RETURN 'null';
    WHEN 'Date', 'ArrayBuffer', 'Blob', 'File' THEN
      RETURN node -> 'v';
    WHEN 'number' THEN
      RETURN CASE node ->> 'v' WHEN '-0' THEN '0' ELSE node -> 'v' END;
    WHEN 'bigint' THEN
      IF length(node ->> 'v') <= 16385 AND node ->> 'v' ~ '^-?[0-9]+$' THEN
        RETURN to_jsonb((node ->> 'v')::numeric);
      END IF;
    WHEN 'string' THEN
      RETURN to_jsonb("firefly"._decode_string(node));
    WHEN 'RegExp' THEN
      RETURN to_jsonb(
        '/' || "firefly"._decode_string(node -> 'v') || '/' || coalesce(node ->> 'f', '')
      );
    ELSE
      RETURN NULL;
  END CASE;
  RETURN NULL;
END
$body$;

-- Base64 on one line.
CREATE FUNCTION "firefly"._base64(bytes bytea) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $body$
  SELECT translate(pg_catalog.encode(bytes, 'base64'), E'\n', '')
$body$;

CREATE FUNCTION "firefly"._is_base64(encoded text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $body$
  SELECT length(encoded) % 4 = 0
    AND length(encoded) - length(rtrim(encoded, '=')) <= 2
    AND translate(
      rtrim(encoded, '='),
      'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/', ''
    ) = ''
$body$;

-- The Base64 of the bytes that a view shows of its buffer.
CREATE FUNCTION "firefly"._decode_view(
  node jsonb, refs jsonb, INOUT budget bigint, OUT value jsonb
)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $body$
DECLARE
  buffer jsonb := node -> 'v';
  width int := CASE
    WHEN node ->> '$' LIKE '%64Array' THEN 8
    WHEN node ->> '$' LIKE '%32Array' THEN 4
    WHEN node ->> '$' LIKE '%16Array' THEN 2
    ELSE 1
  END;
BEGIN
  value := node;
  IF jsonb_typeof(buffer) = 'string' THEN
    value := buffer;
    RETURN;
  END IF;
  IF budget < 0 THEN
    RETURN;
  END IF;
  IF buffer ->> '$' = 'Ref' AND buffer ->> 'v' ~ '^[0-9]{1,9}$' THEN
    buffer := refs -> (buffer ->> 'v')::int;
  END IF;
  IF buffer ->> '$' = 'ArrayBuffer'
    AND node ->> 'o' ~ '^[0-9]{1,8}$' AND node ->> 'n' ~ '^[0-9]{1,8}$'
  THEN
    budget := budget - 512 - length(buffer ->> 'v');
    IF "firefly"._is_base64(buffer ->> 'v') THEN
      value := to_jsonb("firefly"._base64(substring(
        pg_catalog.decode(buffer ->> 'v', 'base64')
        FROM (node ->> 'o')::int + 1 FOR (node ->> 'n')::int * width
      )));
    END IF;
  END IF;
END
$body$;

CREATE FUNCTION "firefly"._decode_list(
  list jsonb, refs jsonb, path int[], depth int, INOUT budget bigint, OUT value jsonb
)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $body$
DECLARE
  step record;
  part jsonb;
  parts jsonb[] := '{}';
BEGIN
  FOR index IN 0 .. jsonb_array_length(list) - 1 LOOP
    part := list -> index;
    IF jsonb_typeof(part) IN ('array', 'object') THEN
      step := "firefly"._decode_node(part, refs, path, depth, budget);
      budget := step.budget;
      part := step.value;
    END IF;
    parts := array_append(parts, part);
  END LOOP;
  value := to_jsonb(parts);
END
$body$;

CREATE FUNCTION "firefly"._object(keys text[], parts jsonb[]) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $body$
BEGIN
  RETURN (
    SELECT coalesce(jsonb_object_agg(member.key, member.part), '{}')
    FROM unnest(keys, parts) AS member(key, part)
  );
END
$body$;

CREATE FUNCTION "firefly"._decode_members(
  object jsonb, refs jsonb, path int[], depth int, INOUT budget bigint, OUT value jsonb
)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $body$
DECLARE
  step record;
  key text;
  part jsonb;
  keys text[] := '{}';
  parts jsonb[] := '{}';
BEGIN
  FOR key, part IN SELECT e.key, e.value FROM jsonb_each(object) AS e LOOP
    IF jsonb_typeof(part) IN ('array', 'object') THEN
      step := "firefly"._decode_node(part, refs, path, depth, budget);
      budget := step.budget;
      part := step.value;
    END IF;
    keys := array_append(keys, key);
    parts := array_append(parts, part);
  END LOOP;
  value := "firefly"._object(keys, parts);
END
$body$;

-- The tag "Object": pairs of a key and a value.
CREATE FUNCTION "firefly"._decode_object(
  node jsonb, refs jsonb, path int[], depth int, INOUT budget bigint, OUT value jsonb
)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $body$
DECLARE
  step record;
  pairs jsonb := node -> 'v';
  pair jsonb;
  key text;
  part jsonb;
  keys text[] := '{}';
  parts jsonb[] := '{}';
BEGIN
  value := node;
  IF jsonb_typeof(pairs) IS DISTINCT FROM 'array' THEN
    RETURN;
  END IF;
  FOR index IN 0 .. jsonb_array_length(pairs) - 1 LOOP
    pair := pairs -> index;
    key := "firefly"._decode_string(pair -> 0);
    IF key IS NULL OR pair -> 1 IS NULL THEN
      RETURN;
    END IF;
    step := "firefly"._decode_node(pair -> 1, refs, path, depth, budget);
    budget := step.budget;
    part := step.value;
    keys := array_append(keys, key);
    parts := array_append(parts, part);
  END LOOP;
  value := "firefly"._object(keys, parts);
END
$body$;

-- The tag "Array": a length, and pairs of an index and an element. Its other properties are not shown.
CREATE FUNCTION "firefly"._decode_array(
  node jsonb, refs jsonb, path int[], depth int, INOUT budget bigint, OUT value jsonb
)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $body$
DECLARE
  step record;
  length int;
  pairs jsonb := node -> 'v';
  pair jsonb;
  part jsonb;
  parts jsonb[];
BEGIN
  value := node;
  IF NOT coalesce(node ->> 'n' ~ '^[0-9]{1,7}$', FALSE)
    OR jsonb_typeof(pairs) IS DISTINCT FROM 'array'
  THEN
    RETURN;
  END IF;
  length := node ->> 'n';
  IF length > 1000000 OR budget < 5 * length THEN
    RETURN;
  END IF;
  budget := budget - 5 * length;
  parts := array_fill('null'::jsonb, ARRAY[length]);
  FOR index IN 0 .. jsonb_array_length(pairs) - 1 LOOP
    pair := pairs -> index;
    IF NOT coalesce(pair ->> 0 ~ '^[0-9]{1,7}$' AND (pair ->> 0)::int < length, FALSE)
      OR pair -> 1 IS NULL
    THEN
      RETURN;
    END IF;
    step := "firefly"._decode_node(pair -> 1, refs, path, depth, budget);
    budget := step.budget;
    part := step.value;
    parts[(pair ->> 0)::int + 1] := part;
  END LOOP;
  value := to_jsonb(parts);
END
$body$;

-- The tags "Error" and "DOMException".
CREATE FUNCTION "firefly"._decode_error(
  node jsonb, refs jsonb, path int[], depth int, INOUT budget bigint, OUT value jsonb
)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $body$
DECLARE
  step record;
  field text;
  part jsonb;
BEGIN
  value := jsonb_strip_nulls(jsonb_build_object(
    'name', coalesce("firefly"._decode_string(node -> 'name'), 'Error'),
    'message', "firefly"._decode_string(node -> 'message'),
    'stack', "firefly"._decode_string(node -> 'stack')
  ));
  FOREACH field IN ARRAY ARRAY['cause', 'errors'] LOOP
    IF node ? field THEN
      step := "firefly"._decode_node(node -> field, refs, path, depth, budget);
      budget := step.budget;
      part := step.value;
      value := value || jsonb_build_object(field, part);
    END IF;
  END LOOP;
END
$body$;

-- The tag "Ref": the value that it stands for, unless it stands inside of that.
CREATE FUNCTION "firefly"._decode_ref(
  node jsonb, refs jsonb, path int[], depth int, INOUT budget bigint, OUT value jsonb
)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $body$
DECLARE
  step record;
  ref int;
  shared jsonb;
BEGIN
  value := node;
  IF budget < 0 OR NOT coalesce(node ->> 'v' ~ '^[0-9]{1,9}$', FALSE) THEN
    RETURN;
  END IF;
  ref := node ->> 'v';
  shared := refs -> ref;
  IF shared IS NULL OR ref = ANY (path) THEN
    RETURN;
  END IF;
  budget := budget - 512 - octet_length(shared::text);
  step := "firefly"._decode_node(shared, refs, path || ref, depth, budget);
  budget := step.budget;
  value := step.value;
END
$body$;

-- Any value, as plain jsonb.
CREATE FUNCTION "firefly"._decode_node(
  node jsonb, refs jsonb, path int[], depth int, INOUT budget bigint, OUT value jsonb
)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $body$
DECLARE
  step record;
  tag text := node ->> '$';
  content jsonb := node -> 'v';
  is_array boolean := jsonb_typeof(node) = 'array';
BEGIN
  value := node;
  IF NOT is_array AND jsonb_typeof(node) <> 'object' THEN
    RETURN;
  END IF;
  IF tag IS NULL THEN
    IF strpos(node::text, '"$"') = 0 THEN
      RETURN;
    END IF;
  ELSE
    value := coalesce("firefly"._decode_leaf(node), node);
    IF value IS DISTINCT FROM node THEN
      RETURN;
    END IF;
  END IF;
  IF depth > 100 THEN
    value := '{"$":"TooDeep"}';
    RETURN;
  END IF;
  depth := depth + 1;

  IF is_array THEN
    step := "firefly"._decode_list(node, refs, path, depth, budget);
  ELSIF NOT node ? '$' THEN
    step := "firefly"._decode_members(node, refs, path, depth, budget);
  ELSIF tag IN ('Map', 'Set') AND jsonb_typeof(content) = 'array' THEN
    step := "firefly"._decode_list(content, refs, path, depth, budget);
  ELSIF tag = 'Boxed' AND content IS NOT NULL THEN
    step := "firefly"._decode_node(content, refs, path, depth, budget);
  ELSIF tag = 'Object' THEN
    step := "firefly"._decode_object(node, refs, path, depth, budget);
  ELSIF tag = 'Array' THEN
    step := "firefly"._decode_array(node, refs, path, depth, budget);
  ELSIF tag IN ('Error', 'DOMException') THEN
    step := "firefly"._decode_error(node, refs, path, depth, budget);
  ELSIF tag = 'Ref' THEN
    step := "firefly"._decode_ref(node, refs, path, depth, budget);
  ELSIF tag LIKE '%Array' OR tag = 'DataView' THEN
    step := "firefly"._decode_view(node, refs, budget);
  ELSE
    RETURN;
  END IF;
  budget := step.budget;
  value := step.value;
END
$body$;

-- Rewrites the commonest tags as the encoder writes them, far faster than the
-- walker finds them. It is exact: no string holds a quote that is not escaped.
CREATE FUNCTION "firefly"._decode_leaves(source text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $body$
BEGIN
  source := replace(source, '{"$":"undefined"}', 'null');
  IF strpos(source, '"Date"') > 0 THEN
    source := regexp_replace(source, '\{"\$":"Date","v":("[^"\\]*"|null)\}', '\1', 'g');
  END IF;
  IF strpos(source, '"bigint"') > 0 THEN
    source := regexp_replace(
      source, '\{"\$":"bigint","v":"(0|-?[1-9][0-9]{0,200})"\}', '\1', 'g'
    );
  END IF;
  RETURN source;
END
$body$;

-- What a task took or returned, as jsonb. Raises if the text is not Base64 of UTF-8 JSON.
CREATE FUNCTION "firefly".decode(encoded text) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $body$
DECLARE
  source text := convert_from(pg_catalog.decode(encoded, 'base64'), 'UTF8');
  node jsonb;
  refs jsonb := '[]';
  budget bigint := 4194304;
BEGIN
  IF NOT "firefly"._mentions_tag(source) THEN
    RETURN source;
  END IF;
  source := "firefly"._decode_leaves(source);
  node := source;
  IF NOT "firefly"._mentions_tag(source) THEN
    RETURN node;
  END IF;
  IF node ->> '$' = 'Graph' AND node ? 'root' AND jsonb_typeof(node -> 'refs') = 'array' THEN
    refs := node -> 'refs';
    node := node -> 'root';
  END IF;
  RETURN (SELECT d.value FROM "firefly"._decode_node(node, refs, '{}', 0, budget) AS d);
END
$body$;

-- Like decode(), but null where that raises. Not for parallel plans: it needs a subtransaction.
CREATE FUNCTION "firefly".try_decode(encoded text) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL UNSAFE AS $body$
BEGIN
  RETURN "firefly".decode(encoded);
EXCEPTION WHEN OTHERS THEN
  RETURN NULL;
END
$body$;

-- Plain data such that decode() gives it back: an object with a key "$" becomes pairs.
CREATE FUNCTION "firefly"._escape(plain jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $body$
BEGIN
  IF strpos(plain::text, '"$"') = 0 THEN
    RETURN plain;
  ELSIF jsonb_typeof(plain) = 'array' THEN
    RETURN (
      SELECT jsonb_agg("firefly"._escape(e.value) ORDER BY e.ordinality)
      FROM jsonb_array_elements(plain) WITH ORDINALITY AS e
    );
  ELSIF jsonb_typeof(plain) <> 'object' THEN
    RETURN plain;
  ELSIF plain ? '$' THEN
    RETURN (
      SELECT jsonb_build_object(
        '$', 'Object',
        'v', jsonb_agg(jsonb_build_array(e.key, "firefly"._escape(e.value)))
      )
      FROM jsonb_each(plain) AS e
    );
  END IF;
  RETURN (
    SELECT jsonb_object_agg(e.key, "firefly"._escape(e.value)) FROM jsonb_each(plain) AS e
  );
END
$body$;

-- The wire format of JSON that may have tags: '{"$":"Date","v":"2026-01-31T08:00:00Z"}' is a Date.
CREATE FUNCTION "firefly".encode_raw(tagged jsonb) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $body$
  SELECT "firefly"._base64(convert_to(tagged::text, 'UTF8'))
$body$;

-- The wire format of plain data.
CREATE FUNCTION "firefly".encode(plain jsonb) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $body$
  SELECT "firefly".encode_raw("firefly"._escape(plain))
$body$;

-- The channel that consumers of a queue listen on.
CREATE FUNCTION "firefly".channel(queue text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN 'firefly' || '_' || queue;

-- The channel that tells consumers to look for cancelled tasks. No queue can have it, as no queue's name may hold a
-- colon.
CREATE FUNCTION "firefly".control_channel() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 'firefly' || ':control';

-- The channel that tells whoever awaits a result to look again.
CREATE FUNCTION "firefly".ended_channel() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 'firefly' || ':ended';

-- The record that users read: one INSERT and, as a rule, one UPDATE in its life. The UPDATE stays HOT (a fillfactor
-- of 45 leaves room on the page) as long as no index, not even an index's predicate, mentions a column that it sets.
-- `status` knows nothing of running, which is "created, and leased": the view task_json shows it.
CREATE TABLE "firefly".task (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- The fence: grows whenever a claim ends, by whatever end. Whoever ends a claim must find it as the claim read it.
  claim_seq bigint NOT NULL DEFAULT 0,
  created timestamptz NOT NULL DEFAULT now(),
  not_before timestamptz NOT NULL DEFAULT now(),
  started timestamptz,
  completed timestamptz,
  failed timestamptz,
  cancelled timestamptz,
  -- Seconds; NULL means the definition's, as does a NULL in max_retries and timeout.
  retry_delay double precision CHECK (retry_delay >= 0),
  timeout double precision CHECK (timeout > 0),
  -- { kind, delay, max, jitter } where retry_delay is not a number of seconds.
  backoff jsonb,
  progress real,
  priority integer NOT NULL DEFAULT 0,
  max_retries integer CHECK (max_retries >= 0),
  -- The number of an attempt is retry_attempts + rescues + 1; only retry_attempts is compared with max_retries.
  retry_attempts integer NOT NULL DEFAULT 0,
  rescues integer NOT NULL DEFAULT 0,
  -- Claims that ended uncounted: shutdown, a lost database, Retry.
  snoozes integer NOT NULL DEFAULT 0,
  -- Consumers that died while this task win quarantine, since its last other end.
  crash_count smallint NOT NULL DEFAULT 0,
  status text NOT NULL DEFAULT 'created' CHECK (status IN ('created', 'completed', 'failed', 'cancelled')),
  func_name text NOT NULL CHECK (func_name <> '' AND length(func_name) <= 200),
  queue text NOT NULL DEFAULT 'default'
    CONSTRAINT task_queue_name CHECK (queue ~ '^[a-z0-9][a-z0-9_.-]*$')
    CONSTRAINT task_queue_channel CHECK (octet_length("firefly".channel(queue)) <= 63),
  params text NOT NULL DEFAULT 'W10=',
  returned text,
  errors jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(errors) = 'array'),
  tags text[] NOT NULL DEFAULT '{}',
  progress_note text
) WITH (fillfactor = 45);

-- Tasks that may run now, in the order in which they are claimed. A row whose claim_seq is not the record's is stale.
CREATE TABLE "firefly".ready (
  id bigint NOT NULL,
  claim_seq bigint NOT NULL,
  not_before timestamptz NOT NULL,
  priority integer NOT NULL,
  -- Its consumer died: it is claimed alone, and one at a time by each consumer.
  quarantined boolean NOT NULL DEFAULT false,
  queue text NOT NULL,
  func_name text NOT NULL
) WITH (
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 20000,
  autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX ready_order ON "firefly".ready (queue, priority DESC, not_before, id);
CREATE INDEX ready_quarantined ON "firefly".ready (queue, priority DESC, not_before, id) WHERE quarantined;

-- Tasks that may not run yet: `time`, their not_before has not come; `unknown`, no live consumer knows their name.
CREATE TABLE "firefly".waiting (
  id bigint NOT NULL,
  claim_seq bigint NOT NULL,
  not_before timestamptz NOT NULL,
  priority integer NOT NULL,
  queue text NOT NULL,
  func_name text NOT NULL,
  reason text NOT NULL CHECK (reason IN ('time', 'unknown'))
) WITH (
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 20000,
  autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX waiting_id ON "firefly".waiting (id);
CREATE INDEX waiting_due ON "firefly".waiting (queue, not_before) WHERE reason = 'time';
CREATE INDEX waiting_unknown ON "firefly".waiting (func_name) WHERE reason = 'unknown';

-- Processes that run tasks. One whose lease_until has passed is dead, and so is one that has no row.
CREATE TABLE "firefly".consumer (
  id uuid PRIMARY KEY,
  host text NOT NULL,
  pid integer NOT NULL,
  version text NOT NULL,
  queues text[] NOT NULL,
  tasks text[] NOT NULL,
  concurrency integer NOT NULL,
  started timestamptz NOT NULL DEFAULT now(),
  seen timestamptz NOT NULL DEFAULT now(),
  lease_until timestamptz NOT NULL
) WITH (fillfactor = 50);

-- One row for each claimed batch, deleted when the last task of it has ended. The id comes from the consumer and not
-- from a sequence, since a sequence may give a number again after a crash of the server.
CREATE TABLE "firefly".claim_batch (
  id uuid PRIMARY KEY,
  consumer_id uuid NOT NULL,
  claimed timestamptz NOT NULL DEFAULT now(),
  quarantined boolean NOT NULL DEFAULT false,
  ids bigint[] NOT NULL,
  claim_seqs bigint[] NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Settings of queues; a queue without a row has none. Tasks of a paused queue are not claimed.
CREATE TABLE "firefly".queue (
  name text PRIMARY KEY,
  paused boolean NOT NULL DEFAULT false
);

-- Tasks whose end somebody awaits: settling rings the channel of ended tasks for these alone, since every NOTIFY takes a
-- lock that all commits of the database share. Lost in a crash, which costs the waiting a poll.
CREATE UNLOGGED TABLE "firefly".result_waiter (
  task_id bigint PRIMARY KEY,
  until timestamptz NOT NULL
);

-- A plain INSERT, from psql, an ORM or another language, is a scheduled task like any other.
CREATE FUNCTION "firefly"._place_inserted() RETURNS trigger
LANGUAGE plpgsql AS $body$
BEGIN
  INSERT INTO "firefly".ready (id, claim_seq, not_before, priority, queue, func_name)
  SELECT id, claim_seq, not_before, priority, queue, func_name
  FROM inserted
  WHERE status = 'created' AND not_before <= now();

  INSERT INTO "firefly".waiting (id, claim_seq, not_before, priority, queue, func_name, reason)
  SELECT id, claim_seq, not_before, priority, queue, func_name, 'time'
  FROM inserted
  WHERE status = 'created' AND not_before > now();

  PERFORM pg_notify("firefly".channel(queue), '')
  FROM (SELECT DISTINCT queue FROM inserted WHERE status = 'created') AS notified;
  RETURN NULL;
END
$body$;

CREATE TRIGGER place_inserted AFTER INSERT ON "firefly".task
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION "firefly"._place_inserted();

-- Schedules a task from any language, inside any transaction; returns its id. NULL takes the default.
CREATE FUNCTION "firefly".schedule(
  func_name text,
  params jsonb DEFAULT '[]',
  queue text DEFAULT 'default',
  not_before timestamptz DEFAULT now(),
  priority integer DEFAULT 0,
  max_retries integer DEFAULT NULL,
  retry_delay double precision DEFAULT NULL,
  timeout double precision DEFAULT NULL,
  tags text[] DEFAULT '{}'
) RETURNS bigint
LANGUAGE plpgsql AS $body$
DECLARE
  task_id bigint;
BEGIN
  IF jsonb_typeof(COALESCE(params, '[]')) <> 'array' THEN
    RAISE EXCEPTION 'Cannot schedule task "%" as params must be a JSON array of its arguments: current value is of type %',
      func_name, jsonb_typeof(params) USING ERRCODE = 'invalid_parameter_value';
  END IF;
  INSERT INTO "firefly".task (
    func_name, params, queue, not_before, priority, max_retries, retry_delay, timeout, tags
  ) VALUES (
    schedule.func_name, "firefly".encode(COALESCE(schedule.params, '[]')), COALESCE(schedule.queue, 'default'),
    COALESCE(schedule.not_before, now()), COALESCE(schedule.priority, 0), schedule.max_retries, schedule.retry_delay,
    schedule.timeout, COALESCE(schedule.tags, '{}')
  ) RETURNING id INTO task_id;
  RETURN task_id;
END
$body$;

-- Cancels a task that has not ended, and says whether it did. A running handler is fenced off at once, and its
-- consumer is told to abort it.
CREATE FUNCTION "firefly".cancel(task_id bigint) RETURNS boolean
LANGUAGE plpgsql AS $body$
BEGIN
  UPDATE "firefly".task
  SET status = 'cancelled', cancelled = now(), claim_seq = claim_seq + 1
  WHERE id = task_id AND status = 'created';
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  IF NOT "firefly"._take_from_place(task_id) THEN
    PERFORM pg_notify("firefly".control_channel(), '');
  END IF;
  DELETE FROM "firefly".result_waiter WHERE result_waiter.task_id = cancel.task_id;
  IF FOUND THEN
    PERFORM pg_notify("firefly".ended_channel(), '');
  END IF;
  RETURN true;
END
$body$;

-- Takes a task out of ready or waiting, and says whether it stood there; if not, it is leased or has ended.
CREATE FUNCTION "firefly"._take_from_place(task_id bigint) RETURNS boolean
LANGUAGE plpgsql AS $body$
BEGIN
  -- By the columns of the record, since ready has no index on id alone: the hot path would pay for it.
  DELETE FROM "firefly".ready
  USING "firefly".task
  WHERE task.id = task_id
    AND ready.queue = task.queue AND ready.priority = task.priority
    AND ready.not_before = task.not_before AND ready.id = task_id;
  IF FOUND THEN
    RETURN true;
  END IF;
  DELETE FROM "firefly".waiting WHERE id = task_id;
  RETURN FOUND;
END
$body$;

-- Schedules a failed or cancelled task again, now and with all of its retries, and says whether it did. The history
-- of its errors stays, and claim_seq grows, so that no attempt from before can end it, however it came to be failed.
CREATE FUNCTION "firefly".retry(task_id bigint) RETURNS boolean
LANGUAGE plpgsql AS $body$
DECLARE
  notified text;
BEGIN
  UPDATE "firefly".task
  SET status = 'created', claim_seq = claim_seq + 1, not_before = now(), retry_attempts = 0, rescues = 0, crash_count = 0,
    failed = NULL, cancelled = NULL, started = NULL, progress = NULL, progress_note = NULL
  WHERE id = task_id AND status IN ('failed', 'cancelled')
  RETURNING queue INTO notified;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  INSERT INTO "firefly".ready (id, claim_seq, not_before, priority, queue, func_name)
  SELECT id, claim_seq, not_before, priority, queue, func_name
  FROM "firefly".task
  WHERE id = task_id;
  PERFORM pg_notify("firefly".channel(notified), '');
  RETURN true;
END
$body$;

-- The records as users see them: with running as a status, and with the number of the current or next attempt.
CREATE VIEW "firefly".task_record AS
SELECT task.id, task.func_name, task.queue,
  CASE WHEN task.status = 'created' AND leased.id IS NOT NULL THEN 'running' ELSE task.status END AS status,
  task.priority, task.created, task.not_before,
  CASE WHEN task.status = 'created' THEN COALESCE(leased.claimed, task.started) ELSE task.started END AS started,
  task.completed, task.failed, task.cancelled, task.params, task.returned,
  task.retry_attempts + task.rescues + 1 AS attempt,
  task.retry_attempts, task.max_retries, task.retry_delay, task.backoff, task.timeout, task.rescues, task.snoozes,
  task.progress, task.progress_note, task.errors, task.tags
FROM "firefly".task
LEFT JOIN (
  SELECT u.id, u.claim_seq, claim_batch.claimed
  FROM "firefly".claim_batch, unnest(claim_batch.ids, claim_batch.claim_seqs) AS u (id, claim_seq)
) AS leased ON leased.id = task.id AND leased.claim_seq = task.claim_seq;

-- The same with params and returned as jsonb; NULL where they cannot be decoded.
CREATE VIEW "firefly".task_json AS
SELECT id, func_name, queue, status, priority, created, not_before, started, completed, failed, cancelled,
  "firefly".try_decode(params) AS params, "firefly".try_decode(returned) AS returned,
  attempt, retry_attempts, max_retries, retry_delay, backoff, timeout, rescues, snoozes, progress, progress_note, errors, tags
FROM "firefly".task_record;
