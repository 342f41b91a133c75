// Generated from migrations/*.sql by `deno task migrations`: edit those instead.

/** One step of the schema, from `migrations/`. */
export interface Migration {
  /** Its number, from 1. */
  readonly version: number;
  /** What it is called. */
  readonly name: string;
  /** The oldest migration that a package must know to work with the schema from here on. */
  readonly oldest?: number;
  /** False when its statements run outside a transaction, each on its own. */
  readonly transaction?: false;
  /** Its statements, for the schema `firefly`. */
  readonly sql: string;
}

/** Every migration, in the order in which they are applied. */
export const MIGRATIONS: readonly Migration[] = [
  {
    version: 1,
    name: "wire",
    sql: `-- Firefly: the wire format in SQL, part 1: values without parts, buffers, and encoding.
--
-- \`task.params\` and \`task.returned\` hold Base64 of UTF-8 JSON in which an object with the key "$" stands for a value
-- that JSON lacks. decode() shows such a text as plain jsonb and encode() makes one of plain jsonb. What JSON lacks is
-- shown as the closest thing it has: undefined and holes as null, NaN as text, a Date as ISO text, a Map as pairs,
-- bytes as Base64. \`src/wire/\` is the same format in TypeScript.
--
-- The functions that walk a value pass these along: \`refs\`, the values that occur more than once; \`path\`, the refs that
-- are being expanded; \`depth\`; and \`budget\`, the bytes that expanding refs may still produce, since a short text of
-- shared references can stand for a value of any size. A part that is malformed, unknown, cyclic or over the budget
-- stays as it is written.

-- Not STRICT: the planner inlines a STRICT function only if its body is strict too.
CREATE FUNCTION "firefly"._mentions_tag(source text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $body$
  SELECT strpos(source, '"$"') > 0 OR strpos(source, E'\\\\u0024') > 0
$body$;

-- A string, or the tag "string", in which U+FFFD stands for characters that text cannot hold.
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

-- A tagged value without parts; NULL for any other. In PL/pgSQL, since an SQL function that cannot be inlined takes ten
-- times as long to call.
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

-- Base64 on one line: PostgreSQL's own encode() wraps it.
CREATE FUNCTION "firefly"._base64(bytes bytea) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $body$
  SELECT translate(pg_catalog.encode(bytes, 'base64'), E'\\n', '')
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

-- A typed array or DataView: the Base64 of the bytes that it shows of its buffer.
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

-- Plain data such that decode() returns it unchanged: an object with a key "$" becomes pairs.
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

-- Encodes JSON that may contain tags: '{"$":"Date","v":"2026-01-31T08:00:00Z"}' is a Date.
CREATE FUNCTION "firefly".encode_raw(tagged jsonb) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $body$
  SELECT "firefly"._base64(convert_to(tagged::text, 'UTF8'))
$body$;

-- Encodes plain data.
CREATE FUNCTION "firefly".encode(plain jsonb) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $body$
  SELECT "firefly".encode_raw("firefly"._escape(plain))
$body$;
`,
  },
  {
    version: 2,
    name: "wire_decode",
    sql: `-- Firefly: the wire format in SQL, part 2: decoding. 0001_wire.sql explains what the functions pass along.

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

-- The tag "Ref": the value that it refers to, unless the reference is inside that value.
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

-- Replaces the most common tags in the text as the encoder writes them, far faster than the walk finds them. This is
-- exact: in JSON no string contains an unescaped quote.
CREATE FUNCTION "firefly"._decode_leaves(source text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $body$
BEGIN
  source := replace(source, '{"$":"undefined"}', 'null');
  IF strpos(source, '"Date"') > 0 THEN
    source := regexp_replace(source, E'\\\\{"\\\\$":"Date","v":("[^"\\\\\\\\]*"|null)\\\\}', E'\\\\1', 'g');
  END IF;
  IF strpos(source, '"bigint"') > 0 THEN
    source := regexp_replace(
      source, E'\\\\{"\\\\$":"bigint","v":"(0|-?[1-9][0-9]{0,200})"\\\\}', E'\\\\1', 'g'
    );
  END IF;
  RETURN source;
END
$body$;

-- Decodes what a task took or returned. Raises an error if the text is not Base64 of UTF-8 JSON.
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

-- Like decode(), but NULL where that raises. Not for parallel plans: it needs a subtransaction.
CREATE FUNCTION "firefly".try_decode(encoded text) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL UNSAFE AS $body$
BEGIN
  RETURN "firefly".decode(encoded);
EXCEPTION WHEN OTHERS THEN
  RETURN NULL;
END
$body$;
`,
  },
  {
    version: 3,
    name: "tables",
    sql: `-- Firefly: the tables. docs/tables.md draws them.
--
-- A task has one record in \`task\` from its INSERT on, and while it has not ended exactly one of these beside it: a row
-- in \`ready\` or \`waiting\`, which is its place, or an entry in a row of \`claim_batch\`, which is the claim of a consumer.
-- The tables behind the hot path have few constraints on purpose. The keys of tasks are checked by the tables into which
-- they get.

-- Domains instead of CHECKs: the server evaluates every CHECK of a table with each UPDATE, but a domain only where a value
-- of it is made.
CREATE DOMAIN "firefly".task_status AS text
  CONSTRAINT task_status_known CHECK (VALUE IN ('created', 'completed', 'failed', 'cancelled'));
CREATE DOMAIN "firefly".task_name AS text
  CONSTRAINT task_func_name CHECK (VALUE <> '' AND length(VALUE) <= 200);
-- The second condition is that channel(queue) is a name for PostgreSQL. It is written out, since every INSERT would
-- inline the function again.
CREATE DOMAIN "firefly".queue_name AS text
  CONSTRAINT task_queue_name CHECK (VALUE ~ '^[a-z0-9][a-z0-9_.-]*$')
  CONSTRAINT task_queue_channel CHECK (octet_length('firefly' || '_' || VALUE) <= 63);
CREATE DOMAIN "firefly".retry_count AS integer
  CONSTRAINT task_max_retries CHECK (VALUE >= 0);
-- Seconds, as the following two. NaN is larger than Infinity for PostgreSQL. A retry may be however far away: the
-- statement that settles shortens it.
CREATE DOMAIN "firefly".delay_seconds AS double precision
  CONSTRAINT task_retry_delay CHECK (VALUE >= 0 AND VALUE < 'Infinity');
CREATE DOMAIN "firefly".timeout_seconds AS double precision
  CONSTRAINT task_timeout CHECK (VALUE > 0 AND VALUE <= 31557600000);
CREATE DOMAIN "firefly".unique_seconds AS double precision
  CONSTRAINT task_unique_for CHECK (VALUE BETWEEN 0 AND 31557600000);
CREATE DOMAIN "firefly".error_list AS jsonb
  CONSTRAINT task_errors CHECK (jsonb_typeof(VALUE) = 'array');

-- The columns stand in the order in which they change: what completion sets comes last, so that the log of a completion
-- holds the end of the row alone. NULL is what most tasks have, and takes no room: the view task_record shows 0 or an
-- empty list for it.
CREATE TABLE "firefly".task (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  created timestamptz NOT NULL DEFAULT now(),
  not_before timestamptz NOT NULL DEFAULT now(),
  -- NULL takes the value of the task's definition, as it does for max_retries and timeout.
  retry_delay "firefly".delay_seconds,
  timeout "firefly".timeout_seconds,
  priority integer NOT NULL DEFAULT 0,
  max_retries "firefly".retry_count,
  func_name "firefly".task_name NOT NULL,
  queue "firefly".queue_name NOT NULL DEFAULT 'default',
  -- In the wire format. W10= is [], no arguments.
  params text NOT NULL DEFAULT 'W10=',
  -- { kind, delay, max, jitter } where retry_delay is not a number of seconds.
  backoff jsonb,
  tags text[],
  -- The unique key and the limits. All are NULL for a task that uses none of them, which then pays nothing for them.
  unique_key text,
  -- The statuses in which it rejects duplicates. NULL means created and running.
  unique_among text[],
  -- Seconds after its completion in which it still does.
  unique_for "firefly".unique_seconds,
  concurrency_key text,
  rate_key text,
  -- The span that scheduled the task, or that of the attempt that was suspended last: 16 bytes of its trace, 8 of its
  -- own, and the flags of W3C Trace Context. The 55 characters of the text would cost a drain twice as much. NULL if
  -- nothing was traced.
  traceparent bytea,
  -- How many dependencies it was scheduled with: the rows of \`dependency\`. NULL for a task that waits for no other.
  dependencies integer,
  -- Whether its end is to be noted in \`ended\`: a task depends on it, or it has called tasks, which are cancelled with it.
  -- Set by the statement that schedules a dependant or a callee, and never taken back. NULL for a task whose end
  -- concerns no other task.
  dependants boolean,
  -- Whether a step of it that can be compensated has begun: its steps are read before its handler is called, and a retry
  -- looks at them. Set by the attempt that begins the first of them, and never taken back. NULL for all others.
  compensates boolean,
  -- The task with whose steps it began: fork().
  forked_from bigint,
  errors "firefly".error_list,
  progress double precision,
  progress_note text,
  failed timestamptz,
  cancelled timestamptz,
  -- An attempt has the number retry_attempts + rescues + 1. Only retry_attempts is compared with max_retries.
  retry_attempts integer,
  rescues integer,
  -- Claims that ended without counting: by a shutdown, a lost database, Retry.
  snoozes integer,
  -- Consumers in a row that crashed while they held it. Two put it in quarantine, three more fail it. Any other end of
  -- a claim resets it.
  crash_count smallint,
  -- The fence: it grows whenever a claim ends, in whatever way. A statement that ends a claim must find it as the claim
  -- read it.
  claim_seq integer NOT NULL DEFAULT 0,
  -- The id in consumer_process of the consumer that ran the last attempt that has ended. Four bytes here: what that row
  -- has would take so much room that a third of the completions would not be HOT.
  attempted_by integer,
  -- Running is not among them: it is \`created\` with a claim. The view task_record shows it.
  status "firefly".task_status NOT NULL DEFAULT 'created',
  started timestamptz,
  completed timestamptz,
  -- In the wire format. NULL for a result that is undefined, as most are: it takes no room.
  returned text
  -- UPDATEs stay HOT, for which a fillfactor of 40 leaves room on the page, as long as no index mentions a column that
  -- they set, not even in its predicate.
) WITH (fillfactor = 40);
COMMENT ON TABLE "firefly".task IS
  'A task and its record, from schedule() until it is pruned. Inserted by schedule() or any INSERT; updated as a rule '
  'once, by the consumer that ends it, else by progress, retry, rescue and cancel; deleted when it is pruned or '
  'deleted.';

-- A row is a run: \`length\` tasks, at most 1,000, with consecutive ids from \`id\` on, that are alike in all other columns.
CREATE TABLE "firefly".ready (
  id bigint NOT NULL,
  not_before timestamptz NOT NULL,
  length integer NOT NULL DEFAULT 1,
  claim_seq integer NOT NULL,
  priority integer NOT NULL,
  -- It is claimed alone, and each consumer runs one such task at a time: task.crash_count.
  quarantined boolean NOT NULL DEFAULT false,
  queue text NOT NULL,
  func_name text NOT NULL
) WITH (
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 20000,
  autovacuum_vacuum_cost_delay = 0
);
-- With this, a publication of all tables does not forbid its DELETE. It writes more to the log only if wal_level is
-- logical: a row has no key, and a primary key would cost the hot path an index. So do waiting and slot.
ALTER TABLE "firefly".ready REPLICA IDENTITY FULL;
CREATE INDEX ready_order ON "firefly".ready (queue, priority DESC, not_before, id);
CREATE INDEX ready_quarantined ON "firefly".ready (queue, priority DESC, not_before, id) WHERE quarantined;
COMMENT ON TABLE "firefly".ready IS
  'A run of tasks that may run now, in the order of claiming: length tasks from id on. Inserted with the tasks, or for '
  'one when it is due, admitted, retried or rescued; deleted by the claim, which puts back what it leaves of a run. '
  'Where claim_seq is not that of a task, its part of the run is stale.';

CREATE TABLE "firefly".waiting (
  id bigint NOT NULL,
  claim_seq integer NOT NULL,
  not_before timestamptz NOT NULL,
  priority integer NOT NULL,
  queue text NOT NULL,
  func_name text NOT NULL,
  -- \`time\`: its not_before is in the future. \`unknown\`: no live consumer of its queue knows its name. \`concurrency\`: it
  -- waits for a slot of concurrency_key and, if it has a rate_key, for one of that at the same time, since a task that
  -- waited with one slot in hand would keep it from others. \`rate\`: it waits for a slot of rate_key alone.
  -- \`dependencies\`: it waits for the end of \`pending\` tasks, whatever its not_before and its keys are. \`suspended\`: an
  -- attempt was suspended until one of \`signals\` comes or \`pending\` callees have ended. Where that wait also has an end
  -- in time, the reason is \`time\`, with the same columns set.
  reason text NOT NULL,
  quarantined boolean NOT NULL DEFAULT false,
  concurrency_key text,
  rate_key text,
  -- When a consumer must try to admit tasks of the row's limit queue: at once for a task that has just joined it, and
  -- for the first task of a rate when the oldest slot ends.
  admit_at timestamptz,
  -- Of \`dependencies\`, how many it has not been told the end of: the rows of \`dependency\` without a status. Of a
  -- suspended task, the smallest number of ends that may complete one of the calls that it waits for.
  pending integer,
  -- The names of the signals that a suspended task waits for.
  signals text[],
  -- Whether an attempt was suspended. NULL for all others.
  suspended boolean,
  CONSTRAINT waiting_reason_check
    CHECK (reason IN ('time', 'unknown', 'concurrency', 'rate', 'dependencies', 'suspended')),
  CONSTRAINT waiting_concurrency_key CHECK (concurrency_key <> '' AND octet_length(concurrency_key) <= 1000),
  CONSTRAINT waiting_rate_key CHECK (rate_key <> '' AND octet_length(rate_key) <= 1000)
) WITH (
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 20000,
  autovacuum_vacuum_cost_delay = 0
);
ALTER TABLE "firefly".waiting REPLICA IDENTITY FULL;
CREATE INDEX waiting_id ON "firefly".waiting (id);
CREATE INDEX waiting_due ON "firefly".waiting (queue, not_before) WHERE reason = 'time';
CREATE INDEX waiting_unknown ON "firefly".waiting (func_name) WHERE reason = 'unknown';
CREATE INDEX waiting_concurrency ON "firefly".waiting (concurrency_key, priority DESC, not_before, id)
  WHERE reason = 'concurrency';
CREATE INDEX waiting_rate ON "firefly".waiting (rate_key, priority DESC, not_before, id) WHERE reason = 'rate';
CREATE INDEX waiting_both ON "firefly".waiting (rate_key, priority DESC, not_before, id)
  WHERE reason = 'concurrency' AND rate_key IS NOT NULL;
CREATE INDEX waiting_admit_at ON "firefly".waiting (queue, admit_at) WHERE admit_at IS NOT NULL;
COMMENT ON TABLE "firefly".waiting IS
  'A task that may not run yet, and the reason. Inserted with the task, by a retry or rescue, or when it is parked, '
  'loses its slot, or when an attempt is suspended; deleted by consumers when it is due, gets its slots, its name is '
  'known, its dependencies or callees ended, and by what sends the signal that it waits for.';

CREATE TABLE "firefly".consumer (
  id uuid PRIMARY KEY,
  -- The option name, to tell consumers apart: several may have one name. Statements that unnest queues call these name.
  consumer_name text,
  host text NOT NULL,
  pid integer NOT NULL,
  version text NOT NULL,
  -- Of the application, not of this package: the option release.
  release text,
  queues text[] NOT NULL,
  -- Whether queues are those that it has found, and new ones are to be announced to it.
  all_queues boolean NOT NULL DEFAULT false,
  tasks text[] NOT NULL,
  concurrency integer NOT NULL,
  -- The concurrency that an operator asked for, until the consumer has taken it over.
  wanted_concurrency integer,
  started timestamptz NOT NULL DEFAULT now(),
  seen timestamptz NOT NULL DEFAULT now(),
  lease_until timestamptz NOT NULL,
  -- The resident memory of the process in bytes, when it renewed its lease last.
  memory bigint,
  process_id integer
) WITH (fillfactor = 50);
COMMENT ON TABLE "firefly".consumer IS
  'A process that runs tasks. It inserts the row, renews lease_until, and deletes the row when it stops. Once '
  'lease_until has passed, any other consumer deletes it, as that of a crashed consumer.';

CREATE TABLE "firefly".consumer_process (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  host text NOT NULL,
  pid integer NOT NULL,
  release text,
  -- When a consumer of it was last known to live, within an hour.
  seen timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX consumer_process_key ON "firefly".consumer_process (host, pid, COALESCE(release, ''));
COMMENT ON TABLE "firefly".consumer_process IS
  'A process that has run tasks: what task.attempted_by names. Inserted by the consumer when it registers; deleted by '
  'consumers once it has been gone for longer than any record is kept.';

CREATE TABLE "firefly".claim_batch (
  -- The consumer makes it up: a sequence may repeat a number after a crash of the server.
  id uuid PRIMARY KEY,
  consumer_id uuid NOT NULL,
  claimed timestamptz NOT NULL DEFAULT now(),
  -- Its only task is in quarantine.
  quarantined boolean NOT NULL DEFAULT false,
  -- The runs that it took: the first id of each, how many tasks it has, and their claim_seq as the claim read it.
  ids bigint[] NOT NULL,
  lengths integer[] NOT NULL,
  claim_seqs integer[] NOT NULL,
  -- As task.attempted_by, for the end of a claim that its consumer does not write: a cancel or a rescue.
  attempted_by integer
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
COMMENT ON TABLE "firefly".claim_batch IS
  'The tasks that a consumer took with one claim, as runs. Inserted by the claim; deleted with the end of its last task, or by '
  'another consumer that rescues the tasks once the consumer has no row.';

CREATE TABLE "firefly".queue (
  name text PRIMARY KEY,
  paused boolean NOT NULL DEFAULT false,
  -- While it is paused: since when, by whom, and why, as pause() was told.
  paused_since timestamptz,
  paused_by text,
  paused_reason text,
  -- Seconds after its end for which a task's record is kept; cancelled counts as failed. 'Infinity' keeps it for ever.
  -- The first that is not NULL counts: that of \`definition\`, of \`queue\`, of \`retention\`.
  retain_completed double precision CHECK (retain_completed >= 0 AND retain_completed <> 'NaN'),
  retain_failed double precision CHECK (retain_failed >= 0 AND retain_failed <> 'NaN'),
  -- 'always' is for programs of others that listen on its channel. NULL is 'asleep'.
  notify text CHECK (notify IN ('asleep', 'always'))
);
COMMENT ON TABLE "firefly".queue IS
  'The settings of a queue; one without a row has none. Written by pause() and resume(), and by consumers when they '
  'start, from the option queues. Never deleted.';

CREATE UNLOGGED TABLE "firefly".result_waiter (
  task_id bigint PRIMARY KEY,
  until timestamptz NOT NULL
);
COMMENT ON TABLE "firefly".result_waiter IS
  'A task whose end a program waits for. Only the end of such a task sends NOTIFY, as every NOTIFY takes a lock that '
  'all commits share. Inserted by programs that await or watch a task; deleted with its end, or once the row expires. '
  'Lost in a crash, which costs one poll.';

-- A table, not an index of \`task\`: an index that mentions \`status\` would keep completion from being HOT.
CREATE TABLE "firefly".unique_key (
  func_name text NOT NULL,
  key text NOT NULL CHECK (key <> '' AND octet_length(key) <= 1000),
  task_id bigint NOT NULL,
  -- Set once the holder has completed, where its key outlasts it: task.unique_for.
  until timestamptz,
  PRIMARY KEY (func_name, key)
);
CREATE INDEX unique_key_task ON "firefly".unique_key (task_id);
CREATE INDEX unique_key_until ON "firefly".unique_key (until) WHERE until IS NOT NULL;
COMMENT ON TABLE "firefly".unique_key IS
  'A unique key and the task that holds it. Inserted with the task; deleted by the trigger release when the task '
  'ends, by the claim where it does not reject duplicates while it runs, or by maintenance after \`until\`.';

CREATE TABLE "firefly".definition (
  func_name text PRIMARY KEY,
  -- Where firefly.schedule() puts the task unless it is told; NULL is 'default'.
  queue text,
  concurrency_limit integer CHECK (concurrency_limit > 0),
  rate_limit integer CHECK (rate_limit > 0),
  -- Seconds.
  rate_per double precision CHECK (rate_per > 0 AND rate_per <= 31557600000),
  retain_completed double precision CHECK (retain_completed >= 0 AND retain_completed <> 'NaN'),
  retain_failed double precision CHECK (retain_failed >= 0 AND retain_failed <> 'NaN'),
  defined timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE "firefly".definition IS
  'The queue, the limits and the retention of the tasks of a name; NULL is none of its own. Written by '
  'consumers when they start: the last one counts. Never deleted.';

-- A limited task gets into \`ready\` only with a slot for each of its keys, so that limits play no part in a claim.
CREATE TABLE "firefly".slot (
  kind text NOT NULL CHECK (kind IN ('concurrency', 'rate')),
  key text NOT NULL,
  task_id bigint NOT NULL,
  taken timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- Of a rate, the seconds for which an attempt that has begun keeps it.
  per double precision,
  -- A slot of \`concurrency\` is held until the claim ends, and this stays NULL. One of \`rate\` is NULL until the task is
  -- claimed, then 'infinity', since the task may wait in its consumer's buffer, and from the call of its handler on a
  -- time.
  until timestamptz
) WITH (
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 20000,
  autovacuum_vacuum_cost_delay = 0
);
ALTER TABLE "firefly".slot REPLICA IDENTITY FULL;
CREATE INDEX slot_key ON "firefly".slot (key, kind);
CREATE INDEX slot_task ON "firefly".slot (task_id);
CREATE INDEX slot_until ON "firefly".slot (until) WHERE until IS NOT NULL;
COMMENT ON TABLE "firefly".slot IS
  'The right of a task to run under a limit. Inserted by _admit(), together with the row in ready; deleted by the '
  'trigger release when the claim ends, and that of a rate by consumers once \`until\` has passed.';

CREATE TABLE "firefly".cron (
  name text PRIMARY KEY,
  -- The name of the task and its aliases: two rows that share one are the same task, renamed.
  names text[] NOT NULL,
  expression text NOT NULL,
  timezone text NOT NULL,
  missed text NOT NULL CHECK (missed IN ('skip', 'one', 'all')),
  -- The row that a slot inserts, by the names of the columns.
  task jsonb NOT NULL,
  -- All of the above that decides when and what is scheduled, as the code has it: only a consumer with the same text
  -- may fire its slots.
  definition text NOT NULL,
  paused boolean NOT NULL DEFAULT false,
  -- While it is paused: since when.
  paused_since timestamptz,
  -- When a consumer started that knows the task and no cron of it.
  removed timestamptz,
  -- Slots up to here are not made up for, whatever \`missed\` is.
  since timestamptz NOT NULL DEFAULT now(),
  defined timestamptz NOT NULL DEFAULT now(),
  -- A consumer with the same definition: _own_crons().
  consumer_id uuid
);
COMMENT ON TABLE "firefly".cron IS
  'A task with a cron, by the name of the task. Written by consumers when they start, the last one counts, and by '
  'pause_cron() and resume_cron(); deleted by the command cron delete.';

-- The primary key lets one of any number of consumers fire a slot.
CREATE TABLE "firefly".cron_slot (
  cron text NOT NULL REFERENCES "firefly".cron (name) ON DELETE CASCADE,
  slot timestamptz NOT NULL,
  -- The task that it scheduled, or the duplicate that kept it from that.
  task_id bigint,
  fired timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (cron, slot)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
COMMENT ON TABLE "firefly".cron_slot IS
  'A time at which a cron fired. Inserted by the consumer that fired it; all but the last hundred of a cron are '
  'deleted, as no slot fires that is older than the newest.';

-- A walk by id needs no index that the hot path would pay for.
CREATE TABLE "firefly".retention (
  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  retain_completed double precision NOT NULL DEFAULT 7 * 86400 CHECK (retain_completed >= 0 AND retain_completed <> 'NaN'),
  retain_failed double precision NOT NULL DEFAULT 30 * 86400 CHECK (retain_failed >= 0 AND retain_failed <> 'NaN'),
  -- The id of the last record that pruning has looked at.
  prune_cursor bigint NOT NULL DEFAULT 0,
  -- Pruning does not go on before, however many consumers there are.
  next_prune timestamptz NOT NULL DEFAULT '-infinity',
  -- The last minute for which a consumer has looked at what is in the queues: queue_minute.
  sampled timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 50);
INSERT INTO "firefly".retention DEFAULT VALUES;
COMMENT ON TABLE "firefly".retention IS
  'One row: how long records are kept where neither their task nor their queue decides, and how far pruning has come. '
  'Written by consumers, when they start, when they prune, and once a minute.';
`,
  },
  {
    version: 4,
    name: "views",
    sql: `-- Firefly: the views.

CREATE VIEW "firefly"._ready_task AS
SELECT task.id, run.claim_seq, run.not_before, run.priority, run.quarantined, run.queue, run.func_name
FROM "firefly".ready AS run
CROSS JOIN generate_series(run.id, run.id + run.length - 1) AS task (id);
COMMENT ON VIEW "firefly"._ready_task IS
  'A task of a run of ready: a row for each.';

-- A claim holds runs, as \`ready\` does: to find a task by its id, look for the run that reaches over it.
CREATE VIEW "firefly"._claimed_run AS
SELECT batch.id AS batch_id, batch.consumer_id, batch.claimed, batch.quarantined, batch.attempted_by,
  run.id, run.length, run.claim_seq
FROM "firefly".claim_batch AS batch
CROSS JOIN unnest(batch.ids, batch.lengths, batch.claim_seqs) AS run (id, length, claim_seq);
COMMENT ON VIEW "firefly"._claimed_run IS
  'A run of tasks that a consumer took: length tasks from id on. One whose record has another claim_seq, or has ended, '
  'is not held any more, or never was.';

CREATE VIEW "firefly"._claimed_task AS
SELECT run.batch_id, run.consumer_id, run.claimed, run.quarantined, run.attempted_by, claim.id, run.claim_seq
FROM "firefly"._claimed_run AS run
CROSS JOIN generate_series(run.id, run.id + run.length - 1) AS claim (id);
COMMENT ON VIEW "firefly"._claimed_task IS
  'A task of a run of _claimed_run: a row for each.';

CREATE VIEW "firefly".task_record AS
SELECT task.id, task.func_name::text, task.queue::text,
  CASE WHEN task.status = 'created' AND leased.id IS NOT NULL THEN 'running' ELSE task.status END AS status,
  -- One subquery after the other, each by an index, and none where the task has ended, or where
  -- the column is not read. No function, as the role viewer may call none.
  CASE
    WHEN task.status <> 'created' THEN task.status
    WHEN leased.id IS NOT NULL THEN 'running'
    ELSE COALESCE(
      (
        -- The run that begins last before the task reaches over it, or none does.
        SELECT CASE WHEN ready.id + ready.length > task.id THEN 'ready' END
        FROM "firefly".ready
        WHERE ready.queue = task.queue AND ready.priority = task.priority AND ready.not_before = task.not_before
          AND ready.id <= task.id AND ready.claim_seq = task.claim_seq
        ORDER BY ready.id DESC
        LIMIT 1
      ),
      (
        -- A task whose time has come is not delayed any more, although a consumer has yet to move it.
        SELECT CASE
          WHEN waiting.reason = 'unknown' THEN 'unknown'
          WHEN waiting.reason = 'dependencies' THEN 'dependent'
          WHEN waiting.reason = 'suspended' THEN 'suspended'
          WHEN waiting.reason <> 'time' THEN 'limited'
          WHEN waiting.not_before > statement_timestamp() AND waiting.suspended THEN 'suspended'
          WHEN waiting.not_before > statement_timestamp() AND task.started IS NULL THEN 'delayed'
          WHEN waiting.not_before > statement_timestamp() THEN 'retrying'
          WHEN waiting.concurrency_key IS NULL AND waiting.rate_key IS NULL THEN 'ready'
          ELSE 'limited'
        END
        FROM "firefly".waiting
        WHERE waiting.id = task.id AND waiting.claim_seq = task.claim_seq
        LIMIT 1
      ),
      'unplaced'
    )
  END AS state,
  task.priority, task.created, task.not_before,
  CASE WHEN task.status = 'created' THEN COALESCE(leased.claimed, task.started) ELSE task.started END AS started,
  task.completed, task.failed, task.cancelled, task.params, task.returned,
  COALESCE(task.retry_attempts, 0) + COALESCE(task.rescues, 0) + 1 AS attempt,
  COALESCE(task.retry_attempts, 0) AS retry_attempts, task.max_retries::integer, task.retry_delay::double precision,
  task.backoff, task.timeout::double precision, COALESCE(task.rescues, 0) AS rescues,
  COALESCE(task.snoozes, 0) AS snoozes, task.progress, task.progress_note,
  COALESCE(task.errors, '[]')::jsonb AS errors, COALESCE(task.tags, '{}') AS tags, task.unique_key,
  task.concurrency_key, task.rate_key,
  CASE
    WHEN octet_length(task.traceparent) = 25
      THEN '00-' || regexp_replace(encode(task.traceparent, 'hex'), '^(.{32})(.{16})', '\\1-\\2-')
  END AS traceparent, COALESCE(task.dependencies, 0) AS dependencies,
  task.forked_from,
  CASE
    WHEN by.id IS NOT NULL THEN jsonb_build_object('host', by.host, 'pid', by.pid, 'release', by.release)
  END AS attempted_by
FROM "firefly".task
LEFT JOIN "firefly"._claimed_task AS leased ON leased.id = task.id AND leased.claim_seq = task.claim_seq
LEFT JOIN "firefly".consumer_process AS by ON by.id = COALESCE(leased.attempted_by, task.attempted_by);
COMMENT ON VIEW "firefly".task_record IS
  'A task as users see it: with running as a status, and the number of its current or next attempt. state tells apart '
  'what created is one word for: ready, delayed, retrying, limited, dependent, suspended, unknown or, after an edit '
  'by hand, unplaced. '
  'attempted_by is the host, process id and release of the consumer that runs it, else of the last one that ran it.';

CREATE VIEW "firefly".task_json AS
SELECT id, func_name, queue, status, state, priority, created, not_before, started, completed, failed, cancelled,
  "firefly".try_decode(params) AS params, "firefly".try_decode(returned) AS returned,
  attempt, retry_attempts, max_retries, retry_delay, backoff, timeout, rescues, snoozes, progress,
  progress_note, errors, tags, unique_key, concurrency_key, rate_key, traceparent, dependencies,
  forked_from, attempted_by
FROM "firefly".task_record;
COMMENT ON VIEW "firefly".task_json IS
  'task_record with params and returned as jsonb, NULL where they cannot be decoded.';

CREATE VIEW "firefly".task_overview AS
SELECT id, func_name, queue, status, state, priority, created, not_before, started, completed, failed, cancelled,
  attempt, retry_attempts, max_retries, retry_delay, timeout, rescues, snoozes, progress,
  errors -> -1 ->> 'name' AS error, tags, dependencies, forked_from, attempted_by
FROM "firefly".task_record;
COMMENT ON VIEW "firefly".task_overview IS
  'task_record without anything that arguments, handlers or errors may have left in it, for the role viewer: '
  'no params and results, no keys, of the last error only its name, and no note of the progress.';

CREATE VIEW "firefly".cron_record AS
SELECT cron.name, cron.expression, cron.timezone, cron.missed, cron.task ->> 'queue' AS queue,
  CASE
    WHEN cron.removed IS NOT NULL
      OR NOT EXISTS (SELECT FROM "firefly".consumer WHERE lease_until > now() AND cron.name = ANY (consumer.tasks))
      THEN 'orphaned'
    WHEN cron.paused THEN 'paused'
    ELSE 'active'
  END AS state,
  cron.paused_since, cron.since, cron.defined, last.slot AS last_slot, last.fired AS last_fired, last.task_id AS last_task_id,
  CASE
    WHEN task.status = 'created' AND EXISTS (
      SELECT FROM "firefly"._claimed_run AS run
      WHERE task.id >= run.id AND task.id < run.id + run.length AND run.claim_seq = task.claim_seq
    ) THEN 'running'
    ELSE task.status
  END AS last_status
FROM "firefly".cron
LEFT JOIN LATERAL (
  SELECT slot, fired, task_id FROM "firefly".cron_slot WHERE cron_slot.cron = cron.name ORDER BY slot DESC LIMIT 1
) AS last ON true
LEFT JOIN "firefly".task ON task.id = last.task_id;
COMMENT ON VIEW "firefly".cron_record IS
  'A cron and its state: orphaned (no live consumer knows the task, or its cron was removed from the code), paused or '
  'active. The next slot is missing, as the database does not read cron expressions.';

CREATE VIEW "firefly".consumer_record AS
SELECT consumer.id, consumer.consumer_name AS name, consumer.host, consumer.pid, consumer.release, consumer.version,
  CASE WHEN consumer.lease_until > now() THEN 'live' ELSE 'crashed' END AS state,
  consumer.queues, consumer.tasks, consumer.concurrency, consumer.wanted_concurrency, consumer.memory,
  consumer.started, consumer.seen, consumer.lease_until,
  held.running, held.running_since, held.running_tasks
FROM "firefly".consumer
CROSS JOIN LATERAL (
  SELECT count(*)::integer AS running, min(claim.since) AS running_since,
    COALESCE(
      jsonb_agg(
        jsonb_build_object('id', claim.id, 'func_name', claim.func_name, 'since', claim.since) ORDER BY claim.rank
      ) FILTER (WHERE claim.rank <= 20),
      '[]'
    ) AS running_tasks
  FROM (
    SELECT task.id, task.func_name, held.claimed AS since, row_number() OVER (ORDER BY held.claimed, task.id) AS rank
    FROM "firefly"._claimed_task AS held
    JOIN "firefly".task ON task.id = held.id AND task.claim_seq = held.claim_seq AND task.status = 'created'
    WHERE held.consumer_id = consumer.id
  ) AS claim
) AS held;
COMMENT ON VIEW "firefly".consumer_record IS
  'A consumer and what it runs: crashed if its lease has expired, until another consumer removes it; running_tasks has '
  'the 20 that it has held longest.';
`,
  },
  {
    version: 5,
    name: "placing",
    sql: `-- Firefly: channels, the wake lock, and the place of a task in \`ready\` or \`waiting\`.

-- The channel on which the consumers of a queue listen.
CREATE FUNCTION "firefly".channel(queue text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN 'firefly' || '_' || queue;

-- The channel on which consumers are asked to look for cancelled tasks and paused queues. No queue has it, as the name
-- of a queue contains no colon.
CREATE FUNCTION "firefly".control_channel() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 'firefly' || ':control';

-- The channel on which programs that wait for results are asked to look again.
CREATE FUNCTION "firefly".ended_channel() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 'firefly' || ':ended';

-- The channel on which consumers that serve all queues are asked to look for new ones.
CREATE FUNCTION "firefly".queues_channel() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 'firefly' || ':queues';

-- NOTIFY takes a lock that serializes all commits of the database, so it is saved where no consumer needs it. Before a
-- consumer sleeps, it acquires the wake lock of its queue: an advisory lock, exclusive, on the connection that listens.
-- Then it looks for tasks once more. A transaction that makes a task ready tries to acquire the same lock, shared,
-- until it ends. If it gets the lock, no consumer sleeps, and one that wants to sleep must wait for this transaction
-- and then sees its tasks. If not, a consumer sleeps, and is notified.
CREATE FUNCTION "firefly"._wake_lock(queue text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN hashtextextended("firefly".channel(queue), 0);

-- Asks consumers that serve all queues to look for this one, if no live consumer serves it. As _notify() calls it, every
-- name in it is qualified.
CREATE FUNCTION "firefly"._announce(queue text) RETURNS void
LANGUAGE plpgsql AS $body$
BEGIN
  IF EXISTS (
    SELECT FROM "firefly".consumer
    WHERE consumer.all_queues AND consumer.lease_until OPERATOR(pg_catalog.>) pg_catalog.now()
  ) AND NOT EXISTS (
    SELECT FROM "firefly".consumer
    WHERE consumer.lease_until OPERATOR(pg_catalog.>) pg_catalog.now()
      AND _announce.queue OPERATOR(pg_catalog.=) ANY (consumer.queues)
  ) THEN
    PERFORM pg_catalog.pg_notify("firefly".queues_channel(), '');
  END IF;
END
$body$;

-- Notifies the consumers of a queue if one of them sleeps. A queue that no live consumer serves is always notified:
-- whatever listens there is not a consumer. SECURITY DEFINER, since a role that may insert tasks need not be allowed to
-- read the consumers. Every name in it is qualified: with a search_path of its own, it would take twice as long.
CREATE FUNCTION "firefly"._notify(queue text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER AS $body$
BEGIN
  IF pg_catalog.pg_try_advisory_xact_lock_shared("firefly"._wake_lock(_notify.queue)) AND EXISTS (
    SELECT FROM "firefly".consumer
    WHERE consumer.lease_until OPERATOR(pg_catalog.>) pg_catalog.now()
      AND _notify.queue OPERATOR(pg_catalog.=) ANY (consumer.queues)
      AND NOT EXISTS (
        SELECT FROM "firefly".queue AS its
        WHERE its.name OPERATOR(pg_catalog.=) _notify.queue AND its.notify OPERATOR(pg_catalog.=) 'always'
      )
  ) THEN
    RETURN;
  END IF;
  PERFORM pg_catalog.pg_notify("firefly".channel(_notify.queue), ''), "firefly"._announce(_notify.queue);
END
$body$;

-- Cuts ascending ids into runs: consecutive ones, and not too many of them in one, so that several consumers can claim
-- parts of what one statement inserted. A claim takes a run, or a part of it, while it keeps others from all of it.
CREATE FUNCTION "firefly"._runs(ids bigint[]) RETURNS TABLE (id bigint, length integer)
LANGUAGE plpgsql IMMUTABLE AS $body$
DECLARE
  total integer := cardinality(ids);
  most integer := LEAST(GREATEST(10, total / 16), 1000);
BEGIN
  IF ids[total] - ids[1] = total - 1 THEN
    RETURN QUERY SELECT first, LEAST(most, ids[total] - first + 1)::integer
      FROM generate_series(ids[1], ids[total], most) AS first;
  ELSE
    RETURN QUERY SELECT min(given.id), count(*)::integer
      FROM unnest(ids) WITH ORDINALITY AS given (id, place)
      GROUP BY given.id - place, (place - 1) / most;
  END IF;
END
$body$;

-- Removes a task from ready or waiting, and returns whether it was there: if not, it is claimed or has ended. Its place
-- is that of a record with this queue, priority and not_before; with \`fence\`, only a place with that claim_seq counts.
--
-- It cuts the task out of its run. A claim that takes a part of the run meanwhile puts the rest back as another row, so
-- it looks again until it has got the run's row, or no run reaches over the task. It looks twice at both tables, since a
-- task that is moved from waiting to ready meanwhile is in neither when each is looked at.
CREATE FUNCTION "firefly"._unplace(
  task_id bigint, queue text, priority integer, not_before timestamptz, fence bigint DEFAULT NULL
) RETURNS boolean
LANGUAGE plpgsql AS $body$
DECLARE
  run record;
BEGIN
  FOR look IN 1 .. 2 LOOP
    LOOP
      -- By these columns, since ready has no index on id alone: the hot path would pay for it.
      SELECT ready.ctid AS place INTO run
      FROM "firefly".ready
      WHERE ready.queue = _unplace.queue AND ready.priority = _unplace.priority
        AND ready.not_before = _unplace.not_before AND ready.id BETWEEN task_id - 999 AND task_id
        AND ready.id + ready.length > task_id
        AND (fence IS NULL OR ready.claim_seq = fence)
      ORDER BY ready.id DESC
      LIMIT 1;
      EXIT WHEN NOT FOUND;
      DELETE FROM "firefly".ready
      WHERE ready.ctid = run.place AND ready.queue = _unplace.queue AND ready.id <= task_id
        AND ready.id + ready.length > task_id
      RETURNING * INTO run;
      CONTINUE WHEN NOT FOUND;
      INSERT INTO "firefly".ready (id, length, claim_seq, not_before, priority, quarantined, queue, func_name)
      SELECT part.id, part.length, run.claim_seq, run.not_before, run.priority, run.quarantined, run.queue, run.func_name
      FROM (
        VALUES (run.id, (task_id - run.id)::integer), (task_id + 1, (run.id + run.length - 1 - task_id)::integer)
      ) AS part (id, length)
      WHERE part.length > 0;
      RETURN true;
    END LOOP;
    DELETE FROM "firefly".waiting WHERE waiting.id = task_id AND (fence IS NULL OR waiting.claim_seq = fence);
    IF FOUND THEN
      RETURN true;
    END IF;
  END LOOP;
  RETURN false;
END
$body$;

-- Whether a consumer holds a task with this claim_seq.
CREATE FUNCTION "firefly"._is_claimed(task_id bigint, fence bigint) RETURNS boolean
LANGUAGE sql AS $body$
  SELECT EXISTS (
    SELECT FROM "firefly"._claimed_run AS run
    WHERE task_id >= run.id AND task_id < run.id + run.length AND run.claim_seq = fence
  )
$body$;

-- Takes a created task out of its place, so that it can be given another; false if a consumer holds it. The caller has
-- locked the record: a claim takes the place without that lock, but cannot end before the lock is released. So of this
-- and a claim, one gets the row of ready, and the other sees it. A task that is nowhere, as after an edit by hand, counts
-- as taken. The caller then increments claim_seq: no other place of the task is current any more.
CREATE FUNCTION "firefly"._take_place(
  task_id bigint, queue text, priority integer, not_before timestamptz, fence bigint
) RETURNS boolean
LANGUAGE plpgsql AS $body$
BEGIN
  FOR look IN 1 .. 3 LOOP
    IF "firefly"._unplace(task_id, queue, priority, not_before, fence) THEN
      RETURN true;
    ELSIF "firefly"._is_claimed(task_id, fence) THEN
      RETURN false;
    END IF;
  END LOOP;
  RETURN true;
END
$body$;

-- Puts a created task without a place where it belongs, and notifies. \`it\` is its record as it is now, or is about to
-- be stored; the caller has locked it if it has dependencies. It is in quarantine from the second crash on: each other
-- end of a claim resets crash_count.
CREATE FUNCTION "firefly"._place_record(it "firefly".task) RETURNS void
LANGUAGE plpgsql AS $body$
DECLARE
  unmet integer := 0;
BEGIN
  IF it.dependencies IS NOT NULL THEN
    SELECT count(*) INTO unmet FROM "firefly".dependency WHERE task_id = it.id AND dependency.status IS NULL AND NOT called;
  END IF;
  IF unmet > 0 THEN
    INSERT INTO "firefly".waiting (
      id, claim_seq, not_before, priority, quarantined, queue, func_name, concurrency_key, rate_key, reason, pending
    ) VALUES (
      it.id, it.claim_seq, it.not_before, it.priority, COALESCE(it.crash_count >= 2, false), it.queue, it.func_name,
      it.concurrency_key, it.rate_key, 'dependencies', unmet
    );
    RETURN;
  END IF;
  IF it.not_before <= clock_timestamp() AND it.concurrency_key IS NULL AND it.rate_key IS NULL THEN
    INSERT INTO "firefly".ready (id, claim_seq, not_before, priority, quarantined, queue, func_name)
    VALUES (it.id, it.claim_seq, it.not_before, it.priority, COALESCE(it.crash_count >= 2, false), it.queue, it.func_name);
  ELSE
    INSERT INTO "firefly".waiting (
      id, claim_seq, not_before, priority, quarantined, queue, func_name, concurrency_key, rate_key, reason, admit_at
    ) VALUES (
      it.id, it.claim_seq, it.not_before, it.priority, COALESCE(it.crash_count >= 2, false), it.queue, it.func_name,
      it.concurrency_key, it.rate_key,
      CASE
        WHEN it.not_before > clock_timestamp() THEN 'time'
        WHEN it.concurrency_key IS NULL THEN 'rate'
        ELSE 'concurrency'
      END,
      CASE WHEN it.not_before <= clock_timestamp() THEN clock_timestamp() END
    );
  END IF;
  PERFORM pg_notify("firefly".channel(it.queue), ''), "firefly"._announce(it.queue);
END
$body$;

-- The same for the stored record; nothing if it is not created.
CREATE FUNCTION "firefly"._place(task_id bigint) RETURNS void
LANGUAGE plpgsql AS $body$
DECLARE
  it "firefly".task;
BEGIN
  SELECT * INTO it FROM "firefly".task WHERE id = task_id AND status = 'created';
  IF FOUND THEN
    PERFORM "firefly"._place_record(it);
  END IF;
END
$body$;

-- Makes a plain INSERT, from psql, an ORM or another language, a scheduled task like any other. A limited task waits
-- until a consumer admits it: a slot that was taken here would keep all others of its key waiting until this
-- transaction ends. Of the tasks that join a limit queue together, one with admit_at is enough for a consumer to look
-- at it.
CREATE FUNCTION "firefly"._place_inserted() RETURNS trigger
LANGUAGE plpgsql AS $body$
DECLARE
  has record;
  duplicate record;
BEGIN
  -- Each statement costs time, and most tasks need only the last of them.
  SELECT bool_or(
      not_before > now() OR concurrency_key IS NOT NULL OR rate_key IS NOT NULL OR dependencies IS NOT NULL
    ) FILTER (WHERE status = 'created') AS waiting,
    bool_or(unique_key IS NOT NULL) FILTER (WHERE status = 'created') AS unique_keys,
    bool_or(status = 'failed') AS failed INTO has
  FROM inserted;

  IF has.failed THEN
    INSERT INTO "firefly".failed_task (task_id, failed, queue, func_name, fingerprint)
    SELECT id, COALESCE(failed, now()), queue, func_name,
      "firefly"._fingerprint(func_name, errors -> -1 ->> 'name', errors -> -1 ->> 'message')
    FROM inserted
    WHERE status = 'failed'
    ORDER BY id
    ON CONFLICT (task_id) DO NOTHING;
  END IF;

  IF has.waiting THEN
    INSERT INTO "firefly".waiting (
      id, claim_seq, not_before, priority, queue, func_name, concurrency_key, rate_key, reason, admit_at, pending
    )
    SELECT id, claim_seq, not_before, priority, queue, func_name, concurrency_key, rate_key,
      CASE
        WHEN dependencies IS NOT NULL THEN 'dependencies'
        WHEN not_before > now() THEN 'time'
        WHEN concurrency_key IS NULL THEN 'rate'
        ELSE 'concurrency'
      END,
      CASE
        WHEN not_before <= now() AND dependencies IS NULL
          AND row_number() OVER (
            PARTITION BY not_before > now(), dependencies IS NULL, queue, concurrency_key, rate_key ORDER BY id
          ) = 1
        THEN now()
      END,
      dependencies
    FROM inserted
    WHERE status = 'created' AND (
      not_before > now() OR concurrency_key IS NOT NULL OR rate_key IS NOT NULL OR dependencies IS NOT NULL
    );
  END IF;

  -- In the order of the keys, as everywhere, so that two transactions cannot deadlock. The volatile functions of a
  -- select list are called after its rows are sorted. Tasks that _schedule() inserts hold their keys already.
  IF has.unique_keys THEN
    FOR duplicate IN
      SELECT inserted.func_name, inserted.unique_key, inserted.id,
        "firefly"._take_unique_key(inserted.func_name, inserted.unique_key, inserted.id) AS holder
      FROM inserted
      LEFT JOIN "firefly".unique_key AS held ON held.func_name = inserted.func_name AND held.key = inserted.unique_key
      WHERE inserted.status = 'created' AND inserted.unique_key IS NOT NULL
        AND (held.task_id IS DISTINCT FROM inserted.id OR held.until IS NOT NULL)
      ORDER BY inserted.func_name COLLATE "C", inserted.unique_key COLLATE "C", inserted.id
    LOOP
      IF duplicate.holder <> duplicate.id THEN
        RAISE EXCEPTION 'Cannot schedule task "%" as task % has its unique key "%"',
          duplicate.func_name, duplicate.holder, duplicate.unique_key
          USING ERRCODE = 'unique_violation', CONSTRAINT = 'unique_key',
            HINT = 'firefly.schedule() keeps the duplicate instead';
      END IF;
    END LOOP;
  END IF;

  INSERT INTO "firefly".ready (id, length, claim_seq, not_before, priority, queue, func_name)
  SELECT run.id, run.length, alike.claim_seq, alike.not_before, alike.priority, alike.queue, alike.func_name
  FROM (
    SELECT array_agg(id ORDER BY id) AS ids, claim_seq, not_before, priority, queue, func_name
    FROM inserted
    WHERE status = 'created' AND not_before <= now() AND concurrency_key IS NULL AND rate_key IS NULL
      AND dependencies IS NULL
    GROUP BY claim_seq, not_before, priority, queue, func_name
  ) AS alike, LATERAL (
    SELECT ids[1], 1 WHERE cardinality(ids) = 1
    UNION ALL
    SELECT * FROM "firefly"._runs(ids) WHERE cardinality(ids) > 1
  ) AS run (id, length);

  PERFORM "firefly"._notify(queue) FROM (SELECT DISTINCT queue FROM inserted WHERE status = 'created') AS filled;
  RETURN NULL;
END
$body$;

-- Statements of Firefly's own that place what they insert set this mark for as long as they insert.
CREATE TRIGGER place_inserted AFTER INSERT ON "firefly".task
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT
WHEN (current_setting('firefly.placed', true) IS DISTINCT FROM 'on')
EXECUTE FUNCTION "firefly"._place_inserted();
`,
  },
  {
    version: 6,
    name: "keys_and_slots",
    sql: `-- Firefly: taking unique keys, and releasing unique keys and slots.

-- Takes a unique key for a task, and returns which task holds it then: this one or its duplicate. Waits for a
-- transaction that is about to take or release the key, and locks no key of another task.
CREATE FUNCTION "firefly"._take_unique_key(func_name text, key text, task_id bigint) RETURNS bigint
LANGUAGE plpgsql AS $body$
DECLARE
  holder bigint;
BEGIN
  -- The holder may be gone between the INSERT that met it and the SELECT that reads it: then the key is free.
  LOOP
    INSERT INTO "firefly".unique_key (func_name, key, task_id)
    VALUES (_take_unique_key.func_name, _take_unique_key.key, _take_unique_key.task_id)
    ON CONFLICT DO NOTHING;
    IF FOUND THEN
      RETURN _take_unique_key.task_id;
    END IF;
    UPDATE "firefly".unique_key AS held
    SET task_id = _take_unique_key.task_id, until = NULL
    WHERE held.func_name = _take_unique_key.func_name AND held.key = _take_unique_key.key
      AND (held.until <= clock_timestamp() OR held.until IS NOT NULL AND held.task_id = _take_unique_key.task_id);
    IF FOUND THEN
      RETURN _take_unique_key.task_id;
    END IF;
    SELECT held.task_id INTO holder
    FROM "firefly".unique_key AS held
    WHERE held.func_name = _take_unique_key.func_name AND held.key = _take_unique_key.key;
    IF FOUND THEN
      RETURN holder;
    END IF;
  END LOOP;
END
$body$;

-- The same for a task that goes back to \`created\`, or has ended: NULL if an open transaction is about to take or
-- release the key. One transaction must not hold up the many tasks that are settled together: all waits of one
-- statement share half a second, which is also less than the server waits before it looks for a deadlock.
CREATE FUNCTION "firefly"._try_unique_key(func_name text, key text, task_id bigint) RETURNS bigint
LANGUAGE plpgsql SET lock_timeout = '500ms' AS $body$
BEGIN
  PERFORM set_config('lock_timeout', GREATEST(
    500 - 1000 * EXTRACT(epoch FROM clock_timestamp() - statement_timestamp()), 10
  )::integer::text, true);
  RETURN "firefly"._take_unique_key(func_name, key, task_id);
EXCEPTION WHEN lock_not_available THEN
  RETURN NULL;
END
$body$;

-- Encrypted values are bound to the name and the queue of their task: moved, they could never be read again. Arguments
-- that were scheduled with on_conflict "replace" are bound to the name alone. A value is taken for encrypted by how its
-- Base64 begins: isEncrypted() in src/privacy/encryption.ts.
CREATE FUNCTION "firefly"._refuse_move(it "firefly".task, func_name text, queue text) RETURNS void
LANGUAGE plpgsql AS $body$
DECLARE
  value text;
BEGIN
  FOREACH value IN ARRAY ARRAY[it.params, it.returned] LOOP
    IF value LIKE 'eyIkIjoiRW5jcnlwdGVkIiwia2V5Ijoi%' AND (
      it.func_name <> _refuse_move.func_name
      OR it.queue <> _refuse_move.queue AND NOT "firefly".decode(value) @> '{"anyQueue": true}'
    ) THEN
      RAISE EXCEPTION 'Cannot move task % from "%" in queue "%" to "%" in queue "%" as its values are encrypted for the former',
        it.id, it.func_name, it.queue, _refuse_move.func_name, _refuse_move.queue
        USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Cancel it and schedule it again';
    END IF;
  END LOOP;
END
$body$;

-- Whether a task that goes back to \`created\` keeps its unique key, or takes it again, where it rejects duplicates then; if
-- not, a duplicate has it, or is about to, and the caller ends the task as \`failed\`, with _duplicate_error().
CREATE FUNCTION "firefly"._keeps_unique_key(
  task_id bigint, func_name text, key text, among text[]
) RETURNS boolean
LANGUAGE plpgsql AS $body$
BEGIN
  IF key IS NULL OR 'created' <> ALL (COALESCE(among, '{created}')) THEN
    RETURN true;
  END IF;
  PERFORM FROM "firefly".unique_key AS held
  WHERE held.func_name = _keeps_unique_key.func_name AND held.key = _keeps_unique_key.key
    AND held.task_id = _keeps_unique_key.task_id AND held.until IS NULL;
  RETURN FOUND
    OR "firefly"._try_unique_key(func_name, key, task_id) IS NOT DISTINCT FROM _keeps_unique_key.task_id;
END
$body$;

-- The error of a task that cannot run again, for its record.
CREATE FUNCTION "firefly"._duplicate_error(task_id bigint, func_name text, key text, attempt integer) RETURNS jsonb
LANGUAGE plpgsql AS $body$
DECLARE
  holder bigint := (
    SELECT held.task_id
    FROM "firefly".unique_key AS held
    WHERE held.func_name = _duplicate_error.func_name AND held.key = _duplicate_error.key
      AND held.task_id <> _duplicate_error.task_id
  );
BEGIN
  RETURN jsonb_build_array(jsonb_build_object(
    'name', 'TaskExists',
    'message', format('Cannot run this task again as %s its unique key "%s"',
      COALESCE('task ' || holder || ' has', 'a task that is being scheduled takes'), key),
    'at', statement_timestamp(), 'attempt', attempt
  ));
END
$body$;

-- Makes an UPDATE by hand take effect at once: \`was\` is the record before, \`it\` as the statement has stored it. A created
-- task loses its place, and gets another; a running one keeps its claim, and what was edited counts where the task is
-- placed next. What it has of its status is as firefly.cancel() and firefly.retry() leave it. It increments claim_seq
-- wherever a place or a claim must not count any more.
CREATE FUNCTION "firefly"._edit(was "firefly".task, it "firefly".task) RETURNS void
LANGUAGE plpgsql AS $body$
DECLARE
  held boolean;
  keeps boolean := true;
BEGIN
  IF (was.func_name, was.queue) IS DISTINCT FROM (it.func_name, it.queue) THEN
    PERFORM "firefly"._refuse_move(was, it.func_name, it.queue);
  END IF;
  IF was.status = 'failed' AND it.status <> 'failed' THEN
    DELETE FROM "firefly".failed_task WHERE failed_task.task_id = was.id;
  ELSIF it.status = 'failed' AND was.status <> 'created' THEN
    PERFORM "firefly"._note_failure(it);
  END IF;
  IF was.status <> 'created' AND it.status <> 'created' OR was.status = it.status AND
    (was.queue, was.priority, was.not_before, was.func_name, was.unique_key, was.concurrency_key, was.rate_key)
    IS NOT DISTINCT FROM
    (it.queue, it.priority, it.not_before, it.func_name, it.unique_key, it.concurrency_key, it.rate_key)
  THEN
    RETURN;
  END IF;
  IF was.status = it.status AND (
    was.unique_key IS DISTINCT FROM it.unique_key OR was.unique_key IS NOT NULL AND was.func_name <> it.func_name
  ) THEN
    RAISE EXCEPTION 'Cannot change the unique key of task % "%" as it has not ended', was.id, was.func_name
      USING ERRCODE = 'object_not_in_prerequisite_state',
        HINT = 'Cancel it with firefly.cancel() and schedule it again';
  END IF;

  IF was.status = 'created' THEN
    held := NOT "firefly"._take_place(was.id, was.queue, was.priority, was.not_before, was.claim_seq);
    IF held AND it.status = 'created' THEN
      IF it.concurrency_key IS NULL AND it.rate_key IS NULL THEN
        DELETE FROM "firefly".slot WHERE slot.task_id = was.id; -- the end of its claim has no reason to look for them
      END IF;
      RETURN;
    END IF;
    IF held OR was.concurrency_key IS NOT NULL OR was.rate_key IS NOT NULL THEN
      PERFORM pg_notify("firefly".control_channel(), '');
    END IF;
    -- Also where it has no limit any more, so that the trigger has none to look for.
    DELETE FROM "firefly".slot WHERE slot.task_id = was.id AND slot.until IS NULL;
  END IF;
  IF it.status = 'created' THEN
    keeps := "firefly"._keeps_unique_key(it.id, it.func_name, it.unique_key, it.unique_among);
    IF NOT keeps THEN
      it.errors := COALESCE(it.errors, '[]') || "firefly"._duplicate_error(
        it.id, it.func_name, it.unique_key, COALESCE(it.retry_attempts, 0) + COALESCE(it.rescues, 0) + 1
      );
      it.status := 'failed';
      it.failed := statement_timestamp();
    ELSE
      it.failed := NULL;
    END IF;
    it.completed := NULL;
    it.cancelled := NULL;
  ELSE
    it.completed := CASE WHEN it.status = 'completed' THEN COALESCE(it.completed, now()) END;
    it.failed := CASE WHEN it.status = 'failed' THEN COALESCE(it.failed, now()) END;
    it.cancelled := CASE WHEN it.status = 'cancelled' THEN COALESCE(it.cancelled, now()) END;
    DELETE FROM "firefly".result_waiter WHERE result_waiter.task_id = was.id;
    IF FOUND THEN
      PERFORM pg_notify("firefly".ended_channel(), '');
    END IF;
  END IF;
  UPDATE "firefly".task
  SET claim_seq = task.claim_seq + 1, status = it.status, completed = it.completed, failed = it.failed,
    cancelled = it.cancelled, errors = it.errors
  WHERE task.id = it.id;
  IF it.status = 'failed' THEN
    PERFORM "firefly"._note_failure(it);
  END IF;
  PERFORM "firefly"._place(it.id);
  IF was.status <> 'created' AND it.status = 'created' AND it.dependants THEN
    PERFORM "firefly"._revive_dependants(it.id);
  END IF;
END
$body$;

-- The end of a claim or of a task releases what the task holds: its slots, and its unique key where the new status does
-- not reject duplicates. It is one trigger for settling, rescue, cancel, retry, statements that ignore keys, and edits
-- by hand. An attempt that began, or may have begun, counts for its rate: that slot stays until its time is over. The
-- end of a task on which others depend is noted in \`ended\`, by the same transaction.
--
-- Every statement of Firefly that sets a column which this trigger names increments claim_seq: one that does not is an
-- edit by hand. Such a task gets its new place from _edit().
CREATE FUNCTION "firefly"._release() RETURNS trigger
LANGUAGE plpgsql AS $body$
DECLARE
  keeps boolean;
  outlasts boolean;
BEGIN
  IF NEW.dependants AND NEW.status <> 'created' AND OLD.status = 'created' THEN
    INSERT INTO "firefly".ended (task_id) VALUES (NEW.id);
  END IF;
  IF NEW.claim_seq = OLD.claim_seq THEN
    PERFORM "firefly"._edit(OLD, NEW);
    -- That has seen to the rest, by an UPDATE of its own, except where a task that has ended was given another end.
    IF NEW.status = OLD.status OR 'created' IN (OLD.status, NEW.status) THEN
      RETURN NULL;
    END IF;
  END IF;

  IF NEW.concurrency_key IS NOT NULL OR NEW.rate_key IS NOT NULL THEN
    IF NEW.status <> 'created' OR NEW.rescues IS DISTINCT FROM OLD.rescues OR NEW.started IS DISTINCT FROM OLD.started THEN
      UPDATE "firefly".slot
      SET until = clock_timestamp() + make_interval(secs => slot.per)
      WHERE slot.task_id = NEW.id AND slot.until = 'infinity';
    END IF;
    DELETE FROM "firefly".slot WHERE slot.task_id = NEW.id AND (slot.until IS NULL OR slot.until = 'infinity');
  END IF;

  IF NEW.unique_key IS NOT NULL THEN
    keeps := NEW.status = ANY (COALESCE(NEW.unique_among, '{created,running}'));
    outlasts := NEW.status = 'completed' AND NEW.unique_for IS NOT NULL AND NOT keeps;
    IF NOT keeps AND NOT outlasts THEN
      DELETE FROM "firefly".unique_key AS held
      WHERE held.func_name = NEW.func_name AND held.key = NEW.unique_key AND held.task_id = NEW.id;
    ELSIF NEW.status <> 'created' THEN
      -- The statement that made it \`created\` has seen to its key.
      PERFORM FROM "firefly".unique_key AS held
      WHERE held.func_name = NEW.func_name AND held.key = NEW.unique_key AND held.task_id = NEW.id
        AND held.until IS NULL;
      IF NOT FOUND AND "firefly"._try_unique_key(NEW.func_name, NEW.unique_key, NEW.id) IS DISTINCT FROM NEW.id THEN
        RETURN NULL;
      END IF;
      IF outlasts THEN
        UPDATE "firefly".unique_key AS held
        SET until = statement_timestamp() + make_interval(secs => NEW.unique_for)
        WHERE held.func_name = NEW.func_name AND held.key = NEW.unique_key AND held.task_id = NEW.id;
      END IF;
    END IF;
  END IF;
  RETURN NULL;
END
$body$;

-- One trigger for both. AFTER, since the server locks each row for a trigger BEFORE, whatever its condition is.
CREATE TRIGGER release AFTER UPDATE OF
  status, claim_seq, queue, priority, not_before, func_name, unique_key, concurrency_key, rate_key
ON "firefly".task
FOR EACH ROW
WHEN (
  NEW.unique_key IS NOT NULL OR NEW.concurrency_key IS NOT NULL OR NEW.rate_key IS NOT NULL OR NEW.dependants
  OR NEW.claim_seq = OLD.claim_seq
)
EXECUTE FUNCTION "firefly"._release();

-- A key that outlasts its holder outlasts the record too, and so does the slot of a rate. A limited task leaves its
-- limit queue.
CREATE FUNCTION "firefly"._release_deleted() RETURNS trigger
LANGUAGE plpgsql AS $body$
BEGIN
  UPDATE "firefly".slot
  SET until = clock_timestamp() + make_interval(secs => slot.per)
  WHERE slot.task_id = OLD.id AND slot.until = 'infinity';
  DELETE FROM "firefly".slot WHERE slot.task_id = OLD.id AND (slot.until IS NULL OR slot.until = 'infinity');
  DELETE FROM "firefly".waiting WHERE waiting.id = OLD.id;
  DELETE FROM "firefly".unique_key WHERE unique_key.task_id = OLD.id AND unique_key.until IS NULL;
  RETURN NULL;
END
$body$;

CREATE TRIGGER release_deleted AFTER DELETE ON "firefly".task
FOR EACH ROW
WHEN (OLD.unique_key IS NOT NULL OR OLD.concurrency_key IS NOT NULL OR OLD.rate_key IS NOT NULL)
EXECUTE FUNCTION "firefly"._release_deleted();

CREATE FUNCTION "firefly"._release_all() RETURNS trigger
LANGUAGE plpgsql AS $body$
BEGIN
  DELETE FROM "firefly".slot;
  DELETE FROM "firefly".unique_key;
  DELETE FROM "firefly".failed_task;
  DELETE FROM "firefly".waiting WHERE waiting.reason IN ('dependencies', 'suspended');
  DELETE FROM "firefly".dependency;
  DELETE FROM "firefly".ended;
  RETURN NULL;
END
$body$;

CREATE TRIGGER release_all AFTER TRUNCATE ON "firefly".task
FOR EACH STATEMENT EXECUTE FUNCTION "firefly"._release_all();
`,
  },
  {
    version: 7,
    name: "limits",
    sql: `-- Firefly: admitting tasks under limits.

-- The subqueries are not joins, so that a limit queue is read in the order of its index, and no further than needed.
CREATE VIEW "firefly"._limit_queue AS
SELECT waiting.ctid AS place, waiting.*
FROM "firefly".waiting
WHERE reason IN ('concurrency', 'rate')
  AND (
    SELECT true
    FROM "firefly".consumer
    WHERE consumer.lease_until > now()
      AND (consumer.all_queues OR waiting.queue = ANY (consumer.queues)) AND waiting.func_name = ANY (consumer.tasks)
    LIMIT 1
  )
  AND NOT COALESCE((SELECT queue.paused FROM "firefly".queue WHERE queue.name = waiting.queue), false);
COMMENT ON VIEW "firefly"._limit_queue IS
  'A task that waits for a slot and could run at once: a live consumer knows it, and its queue is not paused. '
  'A task that no consumer would claim must not keep a slot from others.';

-- Admits tasks that wait for these keys, as far as there are free slots, the most urgent of each key first. The limit
-- is that of the first task in the limit queue, and a task without a definition has none. A task with two keys gets
-- both slots or none. \`again\`: tasks with two keys were among those looked at. Others of the same keys may have been
-- kept back by their other key alone, so the caller calls again, which passes over tasks whose other key has no free
-- slot.
--
-- A lock for each key, held for the few milliseconds of this call, makes the count of slots exact: each statement below
-- sees what was committed before the lock was granted. Keys are locked in order, concurrency before rate, so that two
-- callers cannot deadlock. Neither inserting nor settling takes these locks. Records are locked too, so that a task
-- that is being cancelled or deleted takes no slot that would never be released.
--
-- Call it after the commit of what made it necessary, a task that joined a limit queue or a slot that was released.
-- Each side first commits what it did and then looks, so the later of two sees both, and no slot stays idle.
CREATE FUNCTION "firefly"._admit(
  concurrency_keys text[], rate_keys text[], OUT admitted integer, OUT again boolean
)
LANGUAGE plpgsql AS $body$
DECLARE
  wanted text;
  room bigint;
  span double precision;
  ends timestamptz;
  picked record;
  admission record;
  two_keyed tid[] := '{}';
  filled text[] := '{}';
BEGIN
  admitted := 0;
  -- A crash of the server that undoes this undoes the slots and the places alike, and no claim outlives it.
  PERFORM set_config('synchronous_commit', 'off', true);

  -- A rate with free slots admits tasks of two keys as well, if their other key has a free slot.
  concurrency_keys := concurrency_keys || ARRAY(
    SELECT DISTINCT next.concurrency_key
    FROM unnest(rate_keys) AS rate (key), LATERAL (
      SELECT queued.concurrency_key
      FROM "firefly"._limit_queue AS queued
      WHERE queued.reason = 'concurrency' AND queued.rate_key = rate.key
        AND (SELECT count(*) FROM "firefly".slot WHERE slot.kind = 'concurrency' AND slot.key = queued.concurrency_key)
          < COALESCE((SELECT concurrency_limit FROM "firefly".definition WHERE func_name = queued.func_name),
            2147483647)
      ORDER BY queued.priority DESC, queued.not_before, queued.id
      LIMIT 100
    ) AS next
  );

  FOR wanted IN SELECT DISTINCT key FROM unnest(concurrency_keys) AS key WHERE key IS NOT NULL ORDER BY key LOOP
    PERFORM pg_advisory_xact_lock(hashtextextended('firefly' || ':concurrency:' || wanted, 0));
    SELECT COALESCE(definition.concurrency_limit, 2147483647)
      - (SELECT count(*) FROM "firefly".slot WHERE kind = 'concurrency' AND key = wanted) INTO room
    FROM "firefly"._limit_queue AS queued
    LEFT JOIN "firefly".definition USING (func_name)
    WHERE queued.reason = 'concurrency' AND queued.concurrency_key = wanted
    ORDER BY queued.priority DESC, queued.not_before, queued.id
    LIMIT 1;
    CONTINUE WHEN NOT FOUND OR room <= 0;

    SELECT array_agg(place) FILTER (WHERE rate_key IS NULL) AS one_keyed,
      array_agg(place) FILTER (WHERE rate_key IS NOT NULL) AS two_keyed,
      array_agg(rate_key) FILTER (WHERE rate_key IS NOT NULL) AS rate_keys
    INTO picked
    FROM (
      SELECT queued.place, queued.rate_key
      FROM "firefly"._limit_queue AS queued, LATERAL (
        SELECT FROM "firefly".task
        WHERE task.id = queued.id AND task.claim_seq = queued.claim_seq AND task.status = 'created'
        FOR NO KEY UPDATE SKIP LOCKED
      ) AS record
      WHERE queued.reason = 'concurrency' AND queued.concurrency_key = wanted
        AND (queued.rate_key IS NULL
          OR (
            SELECT count(*)
            FROM "firefly".slot
            WHERE slot.kind = 'rate' AND slot.key = queued.rate_key
              AND (slot.until IS NULL OR slot.until > clock_timestamp())
          ) < COALESCE((SELECT rate_limit FROM "firefly".definition WHERE func_name = queued.func_name), 2147483647))
      ORDER BY queued.priority DESC, queued.not_before, queued.id
      LIMIT LEAST(room, 1000)
      FOR UPDATE OF queued
    ) AS admissible;
    two_keyed := two_keyed || picked.two_keyed;
    rate_keys := rate_keys || picked.rate_keys;
    CONTINUE WHEN picked.one_keyed IS NULL;

    WITH moved AS (
      DELETE FROM "firefly".waiting WHERE ctid = ANY (picked.one_keyed) RETURNING *
    ), slots_taken AS (
      INSERT INTO "firefly".slot (kind, key, task_id) SELECT 'concurrency', wanted, id FROM moved
    ), placed AS (
      INSERT INTO "firefly".ready (id, claim_seq, not_before, priority, quarantined, queue, func_name)
      SELECT id, claim_seq, not_before, priority, quarantined, queue, func_name FROM moved
      RETURNING queue
    )
    SELECT count(*), array_agg(DISTINCT queue) AS queues INTO admission FROM placed;
    admitted := admitted + admission.count;
    filled := filled || admission.queues;
  END LOOP;
  again := two_keyed <> '{}';

  FOR wanted IN SELECT DISTINCT key FROM unnest(rate_keys) AS key WHERE key IS NOT NULL ORDER BY key LOOP
    PERFORM pg_advisory_xact_lock(hashtextextended('firefly' || ':rate:' || wanted, 0));
    DELETE FROM "firefly".slot
    WHERE ctid = ANY (ARRAY(
      SELECT ctid FROM "firefly".slot
      WHERE kind = 'rate' AND key = wanted AND until <= clock_timestamp()
      FOR UPDATE SKIP LOCKED
    ));
    SELECT
      COALESCE(definition.rate_limit, 2147483647) - (
        SELECT count(*)
        FROM "firefly".slot
        WHERE kind = 'rate' AND key = wanted AND (until IS NULL OR until > clock_timestamp())
      ),
      COALESCE(definition.rate_per, 1)
    INTO room, span
    FROM (
      (
        SELECT func_name, priority, not_before, id
        FROM "firefly"._limit_queue AS queued
        WHERE queued.reason = 'rate' AND queued.rate_key = wanted
        ORDER BY queued.priority DESC, queued.not_before, queued.id
        LIMIT 1
      )
      UNION ALL
      SELECT func_name, priority, not_before, id
      FROM "firefly".waiting
      WHERE ctid = ANY (two_keyed) AND rate_key = wanted
    ) AS candidate
    LEFT JOIN "firefly".definition USING (func_name)
    ORDER BY candidate.priority DESC, candidate.not_before, candidate.id
    LIMIT 1;

    IF FOUND AND room > 0 THEN
      SELECT array_agg(place) AS places INTO picked
      FROM (
        SELECT candidate.place
        FROM (
          SELECT *
          FROM (
            SELECT queued.place, queued.priority, queued.not_before, queued.id
            FROM "firefly"._limit_queue AS queued, LATERAL (
              SELECT FROM "firefly".task
              WHERE task.id = queued.id AND task.claim_seq = queued.claim_seq AND task.status = 'created'
              FOR NO KEY UPDATE SKIP LOCKED
            ) AS record
            WHERE queued.reason = 'rate' AND queued.rate_key = wanted
            ORDER BY queued.priority DESC, queued.not_before, queued.id
            LIMIT LEAST(room, 1000)
            FOR UPDATE OF queued
          ) AS one_keyed
          UNION ALL
          SELECT ctid, priority, not_before, id
          FROM "firefly".waiting
          WHERE ctid = ANY (two_keyed) AND rate_key = wanted
        ) AS candidate
        ORDER BY candidate.priority DESC, candidate.not_before, candidate.id
        LIMIT LEAST(room, 1000)
      ) AS candidate;
      WITH moved AS (
        DELETE FROM "firefly".waiting WHERE ctid = ANY (picked.places) RETURNING *
      ), slots_taken AS (
        INSERT INTO "firefly".slot (kind, key, task_id, per)
        SELECT 'rate', wanted, id, span FROM moved
        UNION ALL
        SELECT 'concurrency', concurrency_key, id, NULL FROM moved WHERE concurrency_key IS NOT NULL
      ), placed AS (
        INSERT INTO "firefly".ready (id, claim_seq, not_before, priority, quarantined, queue, func_name)
        SELECT id, claim_seq, not_before, priority, quarantined, queue, func_name FROM moved
        RETURNING queue
      )
      SELECT count(*), array_agg(DISTINCT queue) AS queues INTO admission FROM placed;
      admitted := admitted + admission.count;
      filled := filled || admission.queues;
    END IF;

    -- The task that is first in the limit queue now is looked at when the oldest slot ends. Its consumers are notified
    -- of that time, since the caller may be too busy by then. Slots of tasks that have not begun have no end yet: the
    -- consumer that begins one calls again.
    SELECT min(until) INTO ends
    FROM "firefly".slot
    WHERE kind = 'rate' AND key = wanted AND until > clock_timestamp() AND until < 'infinity';
    WITH dated AS (
      UPDATE "firefly".waiting
      SET admit_at = ends
      WHERE admit_at IS DISTINCT FROM ends AND ctid = ANY (ARRAY(
        SELECT *
        FROM (
          SELECT queued.place
          FROM "firefly"._limit_queue AS queued
          WHERE queued.reason = 'rate' AND queued.rate_key = wanted
          ORDER BY queued.priority DESC, queued.not_before, queued.id
          LIMIT 1
          FOR UPDATE OF queued SKIP LOCKED
        ) AS one_keyed
        UNION ALL
        SELECT *
        FROM (
          SELECT queued.place
          FROM "firefly"._limit_queue AS queued
          WHERE queued.reason = 'concurrency' AND queued.rate_key = wanted
          ORDER BY queued.priority DESC, queued.not_before, queued.id
          LIMIT 1
          FOR UPDATE OF queued SKIP LOCKED
        ) AS two_keyed
      ))
      RETURNING queue
    )
    SELECT array_agg(queue) AS queues INTO admission FROM dated WHERE ends IS NOT NULL;
    filled := filled || admission.queues;
  END LOOP;

  PERFORM pg_notify("firefly".channel(queue), ''), "firefly"._announce(queue)
  FROM (SELECT DISTINCT unnest(filled) AS queue) AS notified;
END
$body$;
`,
  },
  {
    version: 8,
    name: "schedule",
    sql: `-- Firefly: scheduling tasks.

-- Returns the bytes of a traceparent, or NULL for a text that is none: what is wrong with a trace must not keep a task
-- from being scheduled.
CREATE FUNCTION "firefly"._traceparent(given text) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN decode(replace(substring(
  given FROM '^(?!ff)[0-9a-f]{2}-((?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2})$'
), '-', ''), 'hex');

-- Schedules tasks that may have unique keys and dependencies, given as a list of objects by the names of the columns.
-- \`depends\` is a list of the tasks that must end first: { id }, or { ref }, the place in this list, from 0, of one that
-- stands before; with \`settled\` any end will do, else it must complete. Returns for each, in their order, the id of the
-- record that exists then, whether that is new, and the record where it is not just what was given. Where a duplicate
-- forbids it, it schedules nothing, and returns one row: the duplicate and its key. The end of each is noted if it is \`called\`.
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
-- that of the task's definition. The task waits until all tasks of \`after\` have completed. With a unique key, on_conflict decides about a duplicate: keep (its id is returned),
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
`,
  },
  {
    version: 9,
    name: "operations",
    sql: `-- Firefly: what operators do with tasks and queues.

-- Cancels a task that has not ended, and returns whether it did. A running handler is fenced off at once, and its
-- consumer is asked to abort it. The slots of a limited task are free: consumers are asked to admit others, and to
-- cancel the tasks that depend on it.
CREATE FUNCTION "firefly".cancel(task_id bigint) RETURNS boolean
LANGUAGE plpgsql AS $body$
DECLARE
  it record;
  was_placed boolean;
BEGIN
  UPDATE "firefly".task
  SET status = 'cancelled', cancelled = now(), claim_seq = claim_seq + 1
  WHERE id = task_id AND status = 'created'
  RETURNING queue, priority, not_before, claim_seq,
    concurrency_key IS NOT NULL OR rate_key IS NOT NULL OR dependants IS NOT NULL AS matters
  INTO it;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  was_placed := "firefly"._unplace(task_id, it.queue, it.priority, it.not_before);
  IF NOT was_placed THEN
    -- It ran: only its claim knows since when, and where.
    UPDATE "firefly".task
    SET started = run.claimed, attempted_by = run.attempted_by
    FROM "firefly"._claimed_run AS run
    WHERE task.id = task_id AND task_id >= run.id AND task_id < run.id + run.length
      AND run.claim_seq = it.claim_seq - 1;
  END IF;
  IF NOT was_placed OR it.matters THEN
    PERFORM pg_notify("firefly".control_channel(), '');
  END IF;
  DELETE FROM "firefly".result_waiter WHERE result_waiter.task_id = cancel.task_id;
  IF FOUND THEN
    PERFORM pg_notify("firefly".ended_channel(), '');
  END IF;
  RETURN true;
END
$body$;

-- Schedules a failed or cancelled task again, now and with all of its retries. Returns \`done\`, or what keeps it from that:
-- it is missing, its status if it is another one, \`dependencies\` if a task that it depends on has not completed and will
-- not, \`compensated\` if it has undone its steps, or \`duplicate\` if a duplicate has its unique key by now, or is about to in
-- a transaction that is still open. The history of its errors stays, and claim_seq grows, so that no earlier attempt can end it, however it came to be failed.
CREATE FUNCTION "firefly"._retry_record(task_id bigint) RETURNS text
LANGUAGE plpgsql AS $body$
DECLARE
  it record;
BEGIN
  SELECT status, func_name, unique_key, dependencies, dependants, compensates, false AS undoes INTO it
  FROM "firefly".task WHERE id = task_id FOR UPDATE;
  IF NOT FOUND THEN
    RETURN 'missing';
  ELSIF it.status NOT IN ('failed', 'cancelled') THEN
    RETURN it.status;
  ELSIF it.dependencies IS NOT NULL AND NOT "firefly"._may_depend_again(task_id) THEN
    RETURN 'dependencies';
  ELSIF it.compensates AND NOT "firefly"._may_compensate_again(task_id) THEN
    RETURN 'compensated';
  ELSIF it.unique_key IS NOT NULL
    AND "firefly"._try_unique_key(it.func_name, it.unique_key, task_id) IS DISTINCT FROM task_id
  THEN
    RETURN 'duplicate';
  END IF;
  UPDATE "firefly".task
  SET status = 'created', claim_seq = claim_seq + 1, not_before = now(), retry_attempts = NULL, rescues = NULL,
    crash_count = NULL, failed = NULL, cancelled = NULL, started = NULL, attempted_by = NULL, progress = NULL, progress_note = NULL
  WHERE id = task_id;
  DELETE FROM "firefly".failed_task WHERE failed_task.task_id = _retry_record.task_id;
  IF it.compensates THEN
    it.undoes := "firefly"._compensate_again(task_id);
  END IF;
  IF it.dependants AND NOT it.undoes THEN
    PERFORM "firefly"._retry_callees(task_id);
  END IF;
  IF it.dependencies IS NOT NULL OR it.dependants THEN
    PERFORM "firefly"._depend_again(task_id);
  END IF;
  PERFORM "firefly"._place(task_id);
  RETURN 'done';
END
$body$;

-- The same, and those that were cancelled because it did not complete wait for it again.
CREATE FUNCTION "firefly"._retry(task_id bigint) RETURNS text
LANGUAGE plpgsql AS $body$
DECLARE
  outcome text := "firefly"._retry_record(task_id);
BEGIN
  IF outcome = 'done' THEN
    PERFORM "firefly"._revive_dependants(task_id);
  END IF;
  RETURN outcome;
END
$body$;

-- Schedules a failed or cancelled task again, and returns whether it did: not if a duplicate has its unique key, nor if a
-- task that it depends on did not complete, which is the one to retry: those that were cancelled because of that are
-- scheduled again with it.
CREATE FUNCTION "firefly".retry(task_id bigint) RETURNS boolean
LANGUAGE plpgsql AS $body$
BEGIN
  RETURN "firefly"._retry(task_id) = 'done';
END
$body$;

-- Makes a task that waits for its time due now, with the attempts that it has left. Returns \`done\`, or what keeps it from
-- that: it is missing, its status if it has ended, \`running\`, \`ready\` if it is due already, the limit for which it waits
-- (\`concurrency\`, \`rate\`), \`dependencies\` if it waits for other tasks, \`suspended\` if its handler waits, or \`unknown\` if no
-- live consumer of its queue knows its name. It locks the record in any case.
CREATE FUNCTION "firefly"._run(task_id bigint) RETURNS text
LANGUAGE plpgsql AS $body$
DECLARE
  it "firefly".task;
  place text;
BEGIN
  SELECT * INTO it FROM "firefly".task WHERE id = task_id FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RETURN 'missing';
  ELSIF it.status <> 'created' THEN
    RETURN it.status;
  END IF;
  SELECT CASE WHEN waiting.suspended THEN 'suspended' ELSE waiting.reason END INTO place
  FROM "firefly".waiting
  WHERE waiting.id = it.id AND waiting.claim_seq = it.claim_seq AND (waiting.reason <> 'time' OR waiting.suspended);
  IF NOT FOUND THEN
    SELECT 'ready' INTO place
    FROM "firefly".ready
    WHERE ready.queue = it.queue AND ready.priority = it.priority AND ready.not_before = it.not_before
      AND ready.id BETWEEN it.id - 999 AND it.id AND ready.id + ready.length > it.id AND ready.claim_seq = it.claim_seq;
  END IF;
  IF FOUND THEN
    RETURN place;
  ELSIF NOT "firefly"._take_place(it.id, it.queue, it.priority, it.not_before, it.claim_seq) THEN
    RETURN 'running';
  END IF;
  UPDATE "firefly".task
  SET not_before = LEAST(not_before, now()), claim_seq = claim_seq + 1
  WHERE id = it.id;
  PERFORM "firefly"._place(it.id);
  RETURN 'done';
END
$body$;

-- Makes a task that waits for its time due now, and returns whether it did. It keeps its attempts, and waits for its
-- limits as any other. A task that is due already, runs or has ended is left as it is.
CREATE FUNCTION "firefly".run(task_id bigint) RETURNS boolean
LANGUAGE plpgsql AS $body$
BEGIN
  IF "firefly"._run(task_id) <> 'done' THEN
    -- Rolled back to the beginning, so that the record of a running task is not locked until the caller's transaction
    -- ends: its consumer could not settle it.
    RAISE SQLSTATE 'FFRUN';
  END IF;
  RETURN true;
EXCEPTION WHEN SQLSTATE 'FFRUN' THEN
  RETURN false;
END
$body$;

-- Gives a task that waits to run another time, queue or priority; NULL keeps what it has. Returns \`done\`, or what keeps
-- it from that: it is missing, its status if it has ended, or \`running\`. It locks the record in any case.
CREATE FUNCTION "firefly"._reschedule(
  task_id bigint, new_not_before timestamptz, new_queue text, new_priority integer
) RETURNS text
LANGUAGE plpgsql AS $body$
DECLARE
  it "firefly".task;
BEGIN
  SELECT * INTO it FROM "firefly".task WHERE id = task_id FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RETURN 'missing';
  ELSIF it.status <> 'created' THEN
    RETURN it.status;
  END IF;
  PERFORM "firefly"._refuse_move(it, it.func_name, COALESCE(new_queue, it.queue));
  IF NOT "firefly"._take_place(it.id, it.queue, it.priority, it.not_before, it.claim_seq) THEN
    RETURN 'running';
  END IF;
  UPDATE "firefly".task
  SET not_before = COALESCE(new_not_before, not_before), queue = COALESCE(new_queue, queue),
    priority = COALESCE(new_priority, priority), claim_seq = claim_seq + 1
  WHERE id = it.id;
  PERFORM "firefly"._place(it.id);
  IF it.concurrency_key IS NOT NULL OR it.rate_key IS NOT NULL THEN
    PERFORM pg_notify("firefly".control_channel(), ''); -- a slot that it had is free
  END IF;
  RETURN 'done';
END
$body$;

-- Gives a task that waits to run another time, queue or priority, and returns whether it did: not if the task runs or
-- has ended. NULL keeps what it has. It keeps its attempts and its unique key.
CREATE FUNCTION "firefly".reschedule(
  task_id bigint, not_before timestamptz DEFAULT NULL, queue text DEFAULT NULL, priority integer DEFAULT NULL
) RETURNS boolean
LANGUAGE plpgsql AS $body$
BEGIN
  IF num_nonnulls(not_before, queue, priority) = 0 THEN
    RAISE EXCEPTION 'Cannot reschedule task % as not_before, queue or priority must be given', task_id
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
  IF "firefly"._reschedule(task_id, not_before, queue, priority) <> 'done' THEN
    RAISE SQLSTATE 'FFRUN'; -- as in run()
  END IF;
  RETURN true;
EXCEPTION WHEN SQLSTATE 'FFRUN' THEN
  RETURN false;
END
$body$;

-- Stops the claiming of a queue's tasks until it is resumed; returns whether that is new. Running tasks go on, and
-- consumers are asked to release what they have claimed and not begun. It stores when this was, by whom, which is the
-- role unless it is given, and why. Of a queue that is paused already, it replaces the reason if one is given.
CREATE FUNCTION "firefly".pause(queue text, reason text DEFAULT NULL, by text DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql AS $body$
BEGIN
  INSERT INTO "firefly".queue (name, paused, paused_since, paused_by, paused_reason)
  VALUES (pause.queue, true, now(), COALESCE(pause.by, session_user), pause.reason)
  ON CONFLICT (name) DO UPDATE
  SET paused = true, paused_since = excluded.paused_since, paused_by = excluded.paused_by,
    paused_reason = excluded.paused_reason
  WHERE NOT "queue".paused;
  IF FOUND THEN
    PERFORM pg_notify("firefly".control_channel(), '');
    RETURN true;
  END IF;
  UPDATE "firefly".queue SET paused_reason = pause.reason WHERE name = pause.queue AND pause.reason IS NOT NULL;
  RETURN false;
END
$body$;

-- Resumes a paused queue, and notifies; returns whether it was paused.
CREATE FUNCTION "firefly".resume(queue text) RETURNS boolean
LANGUAGE plpgsql AS $body$
BEGIN
  UPDATE "firefly".queue
  SET paused = false, paused_since = NULL, paused_by = NULL, paused_reason = NULL
  WHERE name = resume.queue AND paused;
  IF FOUND THEN
    PERFORM pg_notify("firefly".channel(resume.queue), '');
    PERFORM pg_notify("firefly".control_channel(), '');
    RETURN true;
  END IF;
  RETURN false;
END
$body$;

-- Deletes ended records one by one, and returns those that cannot be deleted, with the reason: a foreign key of the
-- user's refers to them, or a trigger of the user's raises. It waits for no lock of the user's tables for long.
CREATE FUNCTION "firefly"._delete_each(ids bigint[])
RETURNS TABLE (id bigint, code text, message text)
LANGUAGE plpgsql SET lock_timeout = '10ms' AS $body$
BEGIN
  -- A constraint that is deferred would fail at the end, for all of them.
  SET CONSTRAINTS ALL IMMEDIATE;
  FOREACH id IN ARRAY ids LOOP
    BEGIN
      DELETE FROM "firefly".task WHERE task.id = _delete_each.id;
    EXCEPTION WHEN OTHERS THEN
      code := SQLSTATE;
      message := SQLERRM;
      RETURN NEXT;
    END;
  END LOOP;
END
$body$;
`,
  },
  {
    version: 10,
    name: "cron",
    sql: `-- Firefly: scheduling by cron.

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
`,
  },
  {
    version: 11,
    name: "explain_parts",
    sql: `-- Firefly: explain(), part 1: how its sentences are written, and who could run a task or holds it.

-- One reason: its code, a sentence for people, and the content of the sentence as data.
CREATE TYPE "firefly".task_reason AS (reason text, message text, data jsonb);

-- All functions of explain() are STABLE, so that they see one snapshot, that of the statement that calls it: a task
-- that is claimed meanwhile is in one place, never in none. They call the task \`it\`, as their sentences do.

-- A time to the second, in the time zone of the session.
CREATE FUNCTION "firefly"._format_time(at timestamptz) RETURNS text
LANGUAGE sql STABLE AS $body$
  SELECT date_trunc('second', at)::text
$body$;

-- \`1 task\`, \`3 tasks\` and, since counting stops after 10,000, \`more than 10000 tasks\`.
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

-- Up to three of the known words that share at least half of their pairs of letters with \`word\`, the most similar
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
`,
  },
  {
    version: 12,
    name: "explain",
    sql: `-- Firefly: explain(), part 2: what keeps a task waiting.

-- A concurrency key without a free slot for it: the tasks that hold the slots, and how many come before it.
CREATE FUNCTION "firefly"._explain_concurrency(it "firefly".task) RETURNS SETOF "firefly".task_reason
LANGUAGE plpgsql STABLE AS $body$
DECLARE
  most integer := (SELECT concurrency_limit FROM "firefly".definition WHERE func_name = it.func_name);
  taken bigint;
  ahead bigint;
  holders jsonb;
BEGIN
  SELECT count(*) INTO taken FROM "firefly".slot WHERE kind = 'concurrency' AND key = it.concurrency_key;
  -- Two ranges of the index instead of one OR, for which it would be read to its end. Tasks of paused queues are not
  -- admitted, and so keep no task waiting.
  SELECT count(*) INTO ahead
  FROM (
    (SELECT queue FROM "firefly".waiting
    WHERE reason = 'concurrency' AND concurrency_key = it.concurrency_key AND priority > it.priority
    ORDER BY priority DESC, not_before, id)
    UNION ALL
    (SELECT queue FROM "firefly".waiting
    WHERE reason = 'concurrency' AND concurrency_key = it.concurrency_key AND priority = it.priority
      AND (not_before, id) < (it.not_before, it.id)
    ORDER BY not_before, id)
    LIMIT 10001
  ) AS earlier
  WHERE NOT EXISTS (SELECT FROM "firefly".queue WHERE name = earlier.queue AND paused);
  IF most IS NULL OR taken + ahead < most THEN
    RETURN;
  END IF;

  SELECT COALESCE(jsonb_agg(to_jsonb(holder) ORDER BY holder.since, holder.task_id), '[]') INTO holders
  FROM (
    SELECT slot.task_id, slot.taken AS since, claimed.consumer, claimed.host, claimed.pid
    FROM "firefly".slot
    LEFT JOIN LATERAL (
      SELECT run.consumer_id AS consumer, consumer.host, consumer.pid
      FROM "firefly"._claimed_run AS run
      LEFT JOIN "firefly".consumer ON consumer.id = run.consumer_id
      JOIN "firefly".task AS held ON held.id = slot.task_id
      WHERE held.id >= run.id AND held.id < run.id + run.length AND run.claim_seq = held.claim_seq
      LIMIT 1
    ) AS claimed ON true
    WHERE slot.kind = 'concurrency' AND slot.key = it.concurrency_key
    ORDER BY slot.taken, slot.task_id
    LIMIT 20
  ) AS holder;
  RETURN QUERY SELECT 'concurrency',
    format('Its concurrency key "%s" has %s of %s taken: ', it.concurrency_key, taken,
      "firefly"._format_count(most, 'slot'))
      || concat_ws(', and ',
        (SELECT 'held by ' || string_agg(
          'task ' || (holder ->> 'task_id')
            || COALESCE(' on ' || (holder ->> 'host') || ', process ' || (holder ->> 'pid'), ''),
          ', '
        ) FROM jsonb_path_query(holders, '$[0 to 2]') AS holder),
        CASE WHEN ahead > 0 THEN "firefly"._format_count(ahead, 'task') || ' before it' END
      ),
    jsonb_build_object('key', it.concurrency_key, 'limit', most, 'taken', taken, 'holders', holders,
      'ahead', LEAST(ahead, 10000), 'more', ahead > 10000);
END
$body$;

-- A rate key without a free slot for it: when its turn comes. That is exact for the first of the limit queue. For
-- others it is a forecast, and too early where admitted tasks are still to be claimed.
CREATE FUNCTION "firefly"._explain_rate(it "firefly".task) RETURNS SETOF "firefly".task_reason
LANGUAGE plpgsql STABLE AS $body$
DECLARE
  defined record;
  ends timestamptz[];
  ahead bigint;
  rounds bigint;
  position integer;
  turn timestamptz;
BEGIN
  SELECT rate_limit AS most, rate_per AS per INTO defined FROM "firefly".definition WHERE func_name = it.func_name;
  -- The slot of a task that is admitted or claimed and has not begun has no end yet.
  SELECT COALESCE(array_agg(
    COALESCE(NULLIF(until, 'infinity'), statement_timestamp() + make_interval(secs => defined.per)) ORDER BY until
  ), '{}')
  INTO ends
  FROM "firefly".slot
  WHERE kind = 'rate' AND key = it.rate_key AND (until IS NULL OR until > statement_timestamp());
  SELECT count(*) INTO ahead
  FROM (
    (SELECT queue FROM "firefly".waiting
    WHERE reason = 'rate' AND rate_key = it.rate_key AND priority > it.priority
    ORDER BY priority DESC, not_before, id)
    UNION ALL
    (SELECT queue FROM "firefly".waiting
    WHERE reason = 'rate' AND rate_key = it.rate_key AND priority = it.priority
      AND (not_before, id) < (it.not_before, it.id)
    ORDER BY not_before, id)
    LIMIT 10001
  ) AS earlier
  WHERE NOT EXISTS (SELECT FROM "firefly".queue WHERE name = earlier.queue AND paused);
  IF defined.most IS NULL OR cardinality(ends) + ahead < defined.most THEN
    RETURN;
  END IF;

  -- Each slot serves one task of the limit queue in every span: the first of them takes the slot that ends first.
  rounds := ahead / defined.most;
  position := ahead % defined.most - (defined.most - cardinality(ends)) + 1;
  turn := CASE WHEN position > 0 THEN ends[position] ELSE statement_timestamp() END
    + make_interval(secs => rounds * defined.per);
  RETURN QUERY SELECT 'rate',
    format('Its rate key "%s" allows %s to start every %s s: ', it.rate_key,
      "firefly"._format_count(defined.most, 'task'), defined.per)
      || format('its turn does not come before %s', "firefly"._format_time(turn))
      || CASE WHEN ahead > 0 THEN format(', with %s before it', "firefly"._format_count(ahead, 'task')) ELSE '' END,
    jsonb_build_object('key', it.rate_key, 'limit', defined.most, 'per', defined.per, 'taken', cardinality(ends),
      'until', turn, 'ahead', LEAST(ahead, 10000), 'more', ahead > 10000);
END
$body$;

-- A task that is ready: how many are claimed before it, and whether a consumer has room.
CREATE FUNCTION "firefly"._explain_order(it "firefly".task, is_quarantined boolean) RETURNS SETOF "firefly".task_reason
LANGUAGE plpgsql STABLE AS $body$
DECLARE
  -- The names that are claimed at all: others are passed over. NULL if no consumer claims from this queue.
  known text[] := (
    SELECT array_agg(DISTINCT name)
    FROM "firefly".consumer, unnest(consumer.tasks) AS name
    WHERE consumer.lease_until > statement_timestamp()
      AND (consumer.all_queues OR it.queue = ANY (consumer.queues))
  );
  ahead bigint;
  able record;
BEGIN
  IF is_quarantined THEN
    RETURN QUERY SELECT 'quarantined',
      'Consumers crashed while they held it: it is claimed alone, and each consumer runs one such task at a time',
      jsonb_build_object('rescues', COALESCE(it.rescues, 0), 'crashes', COALESCE(it.crash_count, 0));
  END IF;

  -- Of the run that it stands in, those before it.
  SELECT COALESCE(sum(
    CASE WHEN earlier.not_before = it.not_before AND earlier.priority = it.priority
      THEN LEAST(earlier.length, it.id - earlier.id) ELSE earlier.length END
  ), 0) INTO ahead
  FROM (
    (SELECT id, length, priority, not_before FROM "firefly".ready
    WHERE queue = it.queue AND priority > it.priority AND quarantined = is_quarantined
      AND (known IS NULL OR func_name = ANY (known))
    ORDER BY priority DESC, not_before, id)
    UNION ALL
    (SELECT id, length, priority, not_before FROM "firefly".ready
    WHERE queue = it.queue AND priority = it.priority AND (not_before, id) < (it.not_before, it.id)
      AND quarantined = is_quarantined AND (known IS NULL OR func_name = ANY (known))
    ORDER BY not_before, id)
    LIMIT 10001
  ) AS earlier;
  IF ahead > 0 THEN
    RETURN QUERY SELECT 'behind',
      format('It stands behind %s in its queue "%s"', "firefly"._format_count(ahead, 'task'), it.queue),
      jsonb_build_object('queue', it.queue, 'ahead', LEAST(ahead, 10000), 'more', ahead > 10000);
  END IF;

  SELECT count(*) AS consumers, sum(consumer.concurrency) AS most, sum(claims.count) AS running,
    bool_and(claims.count >= consumer.concurrency OR is_quarantined AND claims.with_quarantined) AS busy
  INTO able
  FROM "firefly".consumer, LATERAL (
    SELECT count(*), COALESCE(bool_or(claim.quarantined), false) AS with_quarantined
    FROM "firefly"._claimed_task AS claim
    JOIN "firefly".task ON task.id = claim.id AND task.claim_seq = claim.claim_seq AND task.status = 'created'
    WHERE claim.consumer_id = consumer.id
  ) AS claims
  WHERE consumer.lease_until > statement_timestamp()
    AND (consumer.all_queues OR it.queue = ANY (consumer.queues)) AND it.func_name = ANY (consumer.tasks);
  IF able.busy THEN
    RETURN QUERY SELECT 'busy',
      format('The consumers that could run it have no room: they run %s of %s tasks', able.running, able.most),
      jsonb_build_object('consumers', able.consumers, 'running', able.running, 'concurrency', able.most);
  END IF;
END
$body$;

-- A task that waits for a consumer: what keeps it, first what an operator must act on.
CREATE FUNCTION "firefly"._explain_waiting(it "firefly".task) RETURNS SETOF "firefly".task_reason
LANGUAGE plpgsql STABLE AS $body$
DECLARE
  error jsonb := it.errors -> -1;
  place record;
  limited integer := 0;
  dependent integer;
  suspended integer;
BEGIN
  RETURN QUERY SELECT * FROM "firefly"._explain_dependencies(it);
  GET DIAGNOSTICS dependent = ROW_COUNT;
  RETURN QUERY SELECT * FROM "firefly"._explain_suspension(it);
  GET DIAGNOSTICS suspended = ROW_COUNT;
  IF EXISTS (SELECT FROM "firefly".queue WHERE name = it.queue AND paused) THEN
    RETURN QUERY SELECT 'paused', format('Its queue "%s" is paused', it.queue), jsonb_build_object('queue', it.queue);
  END IF;

  IF it.not_before > statement_timestamp() AND suspended = 0 THEN
    IF it.started IS NULL OR NOT COALESCE(error ? 'delay', false) THEN
      error := NULL;
    END IF;
    RETURN QUERY SELECT 'not_due',
      CASE
        WHEN it.not_before = 'infinity' THEN 'It is never due, as its not_before is infinity'
        ELSE format('It is not due before %s', "firefly"._format_time(it.not_before))
      END
        || COALESCE(', when it is tried again after ' || "firefly"._format_error(error), ''),
      jsonb_build_object(
        'until', it.not_before, 'retry', it.started IS NOT NULL, 'error', "firefly"._brief_error(error)
      );
  END IF;

  RETURN QUERY SELECT * FROM "firefly"._explain_consumers(it);
  IF dependent > 0 OR suspended > 0 THEN
    RETURN;
  END IF;

  SELECT 'ready' AS reason, quarantined INTO place
  FROM "firefly".ready
  WHERE queue = it.queue AND priority = it.priority AND not_before = it.not_before AND id BETWEEN it.id - 999 AND it.id
    AND id + length > it.id AND claim_seq = it.claim_seq;
  IF NOT FOUND THEN
    SELECT reason, quarantined INTO place FROM "firefly".waiting WHERE id = it.id AND claim_seq = it.claim_seq;
  END IF;
  IF NOT FOUND THEN
    RETURN QUERY SELECT 'unplaced',
      'It is neither ready nor waiting, as after an edit by hand: consumers look for such tasks and requeue them',
      '{}'::jsonb;
  ELSIF it.not_before > statement_timestamp() THEN
    NULL;
  ELSIF place.reason = 'ready' THEN
    RETURN QUERY SELECT * FROM "firefly"._explain_order(it, place.quarantined);
  ELSE
    IF it.concurrency_key IS NOT NULL AND place.reason IN ('time', 'concurrency') THEN
      RETURN QUERY SELECT * FROM "firefly"._explain_concurrency(it);
      GET DIAGNOSTICS limited = ROW_COUNT;
    END IF;
    IF it.rate_key IS NOT NULL AND place.reason IN ('time', 'concurrency', 'rate') AND limited = 0 THEN
      RETURN QUERY SELECT * FROM "firefly"._explain_rate(it);
    END IF;
  END IF;
END
$body$;

-- Explains why a task does not run, in the order in which the reasons matter: first what an operator must act on, then
-- what time resolves. No row means that there is no such task. The reasons, each with its data:
--
-- ended         status, at, error: it is over; unmet (task_id, root): a task that it depends on did not complete, and is
--               to be retried first; unique (key, task_id, until): a duplicate keeps it from being retried; compensated
--               (since): it has undone its steps, and is not retried
-- running       attempt, since, consumer, host, pid, lease_until
-- orphaned      the same: that consumer crashed, and the task will be rescued
-- compensating  since, error: it failed, and undoes its steps before it ends
-- dependencies  open, of, tasks (task_id, func_name, status; at most 20): it waits for other tasks
-- released      of: they have ended, and it is about to be told
-- sleeping      name, key, since, until: its handler sleeps
-- signal        name, key, since, until: its handler waits for a signal
-- step_retry    name, key, until, failures, error: a step of its handler is tried again
-- calls         name, key, since, open, of, tasks: its handler waits for tasks that it called
-- paused        queue
-- not_due       until, retry (it was tried before), error
-- no_consumer   queue, served: the queues that live consumers serve, elsewhere: those whose consumers know its name
-- unknown_name  queue, func_name, near: names like it, elsewhere: queues whose consumers know it
-- unplaced      it was edited by hand
-- concurrency   key, limit, taken, holders (task_id, since, consumer, host, pid; at most 20), ahead, more (than 10,000)
-- rate          key, limit, per, taken, until, ahead, more
-- quarantined   rescues, crashes: consumers crashed while they ran it
-- behind        queue, ahead, more
-- busy          consumers, running, concurrency: those that could run it have no room
-- due           since: nothing keeps it: it is about to be claimed, or admitted where it has limits
CREATE FUNCTION "firefly".explain(task_id bigint) RETURNS SETOF "firefly".task_reason
LANGUAGE plpgsql STABLE AS $body$
DECLARE
  it "firefly".task;
  reasons integer;
BEGIN
  SELECT * INTO it FROM "firefly".task WHERE id = task_id;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  it.params := ''; -- large at times, and copied with each call
  it.returned := NULL;
  IF it.status <> 'created' THEN
    RETURN QUERY SELECT * FROM "firefly"._explain_ended(it);
    RETURN QUERY SELECT * FROM "firefly"._explain_compensation(it);
    RETURN;
  END IF;
  RETURN QUERY SELECT * FROM "firefly"._explain_claim(it);
  GET DIAGNOSTICS reasons = ROW_COUNT;
  RETURN QUERY SELECT * FROM "firefly"._explain_compensation(it);
  IF reasons > 0 THEN
    RETURN;
  END IF;
  RETURN QUERY SELECT * FROM "firefly"._explain_waiting(it);
  GET DIAGNOSTICS reasons = ROW_COUNT;
  IF reasons = 0 THEN
    RETURN QUERY SELECT 'due',
      format('It has been due since %s, and is about to be claimed', "firefly"._format_time(it.not_before)),
      jsonb_build_object('since', it.not_before);
  END IF;
END
$body$;
`,
  },
  {
    version: 13,
    name: "statistics",
    sql: `-- Firefly: what consumers did by the minute, and what failed.
--
-- \`task\` cannot answer either: an index that mentions what completion sets would keep it from being HOT. Consumers count
-- in memory and write every few seconds, so that a task costs no statement here, and a crash loses a few seconds of
-- counts. Only a failed task has a row of its own.

-- A histogram has four buckets for each factor of ten. The first is for less than 1 ms, the second ends at 10^0.25 ms,
-- the fifth at 10 ms; the array ends with its last bucket that is not 0.
CREATE TABLE "firefly".queue_minute (
  minute timestamptz NOT NULL,
  queue text NOT NULL,
  -- Attempts that ended in this minute: failed is for good, snoozed used up no retry.
  completed integer NOT NULL DEFAULT 0,
  failed integer NOT NULL DEFAULT 0,
  retried integer NOT NULL DEFAULT 0,
  snoozed integer NOT NULL DEFAULT 0,
  -- From when the tasks were due to the starts of their attempts.
  wait integer[] NOT NULL DEFAULT '{}',
  -- As one consumer found them in this minute; NULL if none did. Of tasks due, 100,000 runs are counted at most. places
  -- are the tasks that the live consumers of the queue can run at a time; oldest is for how many seconds one has been due.
  due integer,
  waiting integer,
  running integer,
  places integer,
  oldest real,
  -- Of those waiting, how many wait for other tasks (\`dependencies\`), and how many are suspended: until a \`signal\` comes,
  -- until a \`call\` has ended, or for a time alone (\`sleep\`). NULL for none of either.
  waits jsonb,
  PRIMARY KEY (minute, queue)
) WITH (fillfactor = 70);
COMMENT ON TABLE "firefly".queue_minute IS
  'What a queue did in a minute, and what was in it. Added to by each consumer every few seconds, and by one of them a '
  'minute for what was in it; deleted by consumers after 30 days.';

CREATE TABLE "firefly".task_minute (
  minute timestamptz NOT NULL,
  queue text NOT NULL,
  func_name text NOT NULL,
  completed integer NOT NULL DEFAULT 0,
  failed integer NOT NULL DEFAULT 0,
  retried integer NOT NULL DEFAULT 0,
  -- How long attempts ran.
  run integer[] NOT NULL DEFAULT '{}',
  PRIMARY KEY (minute, queue, func_name)
) WITH (fillfactor = 70);
COMMENT ON TABLE "firefly".task_minute IS
  'What the tasks of a name did in a minute, in a queue. Added to by each consumer every few seconds; deleted by '
  'consumers after 48 hours.';

CREATE TABLE "firefly".failed_task (
  task_id bigint PRIMARY KEY,
  failed timestamptz NOT NULL,
  queue text NOT NULL,
  func_name text NOT NULL,
  fingerprint bigint NOT NULL
);
CREATE INDEX failed_task_name ON "firefly".failed_task (func_name, task_id);
CREATE INDEX failed_task_fingerprint ON "firefly".failed_task (fingerprint, task_id);
CREATE INDEX failed_task_failed ON "firefly".failed_task (failed);
COMMENT ON TABLE "firefly".failed_task IS
  'A task that failed, for lists and counts of them. Inserted by every statement that sets the status failed; deleted '
  'when the task is retried, edited, deleted or pruned. A row whose task has not failed is stale: maintenance deletes it.';

CREATE TABLE "firefly".error_group (
  fingerprint bigint PRIMARY KEY,
  queue text NOT NULL,
  func_name text NOT NULL,
  name text NOT NULL,
  -- That of the last one, redacted as in task.errors, and cut off.
  message text NOT NULL,
  first timestamptz NOT NULL,
  last timestamptz NOT NULL,
  -- How many attempts ended with it, those that were retried included.
  attempts bigint NOT NULL,
  last_task_id bigint NOT NULL
) WITH (fillfactor = 70);
COMMENT ON TABLE "firefly".error_group IS
  'Errors of a task that differ in numbers and quoted words alone: see _fingerprint(). Added to by each consumer every '
  'few seconds; deleted by consumers 48 hours after the last one, once no failed task has it.';

CREATE VIEW "firefly".error_overview AS
SELECT fingerprint, queue, func_name, name, first, last, attempts, last_task_id
FROM "firefly".error_group;
COMMENT ON VIEW "firefly".error_overview IS
  'error_group without the message, which may have data of arguments in it, for the role viewer.';

-- Returns what the errors of a task have in common that differ in what they were about: quoted words, UUIDs, and words
-- with a digit or of eight and more hexadecimal digits. The beginning of the message is enough.
CREATE FUNCTION "firefly"._fingerprint(func_name text, name text, message text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN hashtextextended(
  func_name || E'\\n' || COALESCE(name, '') || E'\\n' || regexp_replace(
    left(COALESCE(message, ''), 300),
    '"[^"]*"|\`[^\`]*\`|(?<!\\w)''[^'']*''|[[:xdigit:]]{8}(-[[:xdigit:]]{4}){3}-[[:xdigit:]]{12}|\\w*\\d\\w*([.,:-]\\w*\\d\\w*)*'
      || '|\\m[[:xdigit:]]{8,}\\M',
    '?', 'g'
  ),
  0
);

-- Adds a failed task to failed_task.
CREATE FUNCTION "firefly"._note_failure(it "firefly".task) RETURNS void
LANGUAGE sql AS $body$
  INSERT INTO "firefly".failed_task (task_id, failed, queue, func_name, fingerprint)
  VALUES (
    it.id, COALESCE(it.failed, now()), it.queue, it.func_name,
    "firefly"._fingerprint(it.func_name, it.errors -> -1 ->> 'name', it.errors -> -1 ->> 'message')
  )
  ON CONFLICT (task_id) DO UPDATE
  SET failed = excluded.failed, queue = excluded.queue, func_name = excluded.func_name,
    fingerprint = excluded.fingerprint
$body$;
`,
  },
  {
    version: 14,
    name: "alerts",
    sql: `-- Firefly: what alerts have been sent, so that one of any number of consumers sends each.

CREATE TABLE "firefly".alert (
  -- failed:<fingerprint>, backlog:<queue>:<condition>, or lost:<consumer>. The empty one is the look for causes itself.
  cause text PRIMARY KEY,
  kind text NOT NULL CHECK (kind IN ('look', 'failed', 'backlog', 'lost')),
  -- When it was seen last; of a look, when alerts were switched on.
  seen timestamptz NOT NULL DEFAULT now(),
  -- Up to when the alert reports it. NULL: not yet, or it is over. Of a look, when the one before was.
  reported timestamptz,
  -- When an alert was scheduled last. Of a look, when it was.
  fired timestamptz,
  -- Of a lost consumer, what the alert says.
  detail jsonb
) WITH (fillfactor = 50);
COMMENT ON TABLE "firefly".alert IS
  'A cause of alerts, and when one was scheduled. Written by the consumers of an instance with the option alerts, and '
  'by any consumer that removes a crashed one; deleted a week after it was seen last.';
`,
  },
  {
    version: 15,
    name: "log",
    sql: `-- Firefly: the log lines of attempts.

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
`,
  },
  {
    version: 16,
    name: "import",
    sql: `-- Firefly: imports from queues that are not in this database.

CREATE TABLE "firefly".unfinished_import (
  id uuid PRIMARY KEY,
  -- The queues that its jobs come from, for people.
  source text NOT NULL,
  committed timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE "firefly".unfinished_import IS
  'An import whose tasks are here, and whose jobs may not all have been removed from their queue yet. Inserted in the '
  'transaction that schedules the tasks; deleted by the import when the jobs are removed.';
`,
  },
  {
    version: 17,
    name: "dependencies",
    sql: `-- Firefly: tasks that wait for other tasks.
--
-- One rule for all of it: what decides about a dependant holds the lock of its record, and reads after it has that lock.
-- The rows of \`dependency\`, and \`pending\` of its row in \`waiting\`, are written under that lock alone.

CREATE TABLE "firefly".dependency (
  task_id bigint NOT NULL,
  -- Its place among the dependencies of task_id, from 0: the tags of \`params\` name it.
  ordinal integer NOT NULL,
  dependency_id bigint NOT NULL,
  -- Any end will do, not only \`completed\`.
  settled boolean NOT NULL DEFAULT false,
  -- The handler of task_id scheduled it and waits for it: it is cancelled when that task ends without it. It never keeps
  -- task_id from running, and never cancels it.
  called boolean NOT NULL DEFAULT false,
  -- Of a call: the task was there before, as a duplicate of the one to be scheduled. It outlives task_id.
  shared boolean NOT NULL DEFAULT false,
  -- How the dependency ended, once task_id has been told: completed, failed, cancelled or deleted. No index mentions it,
  -- so that telling it is HOT.
  status text,
  PRIMARY KEY (task_id, ordinal)
) WITH (fillfactor = 80);
CREATE INDEX dependency_dependants ON "firefly".dependency (dependency_id);
COMMENT ON TABLE "firefly".dependency IS
  'A task that waits, or has waited, for another. Inserted with the dependant, by _schedule(), or with the callee, by '
  '_call(); updated once, by _release_dependants(), and by retry; deleted with the dependant or caller.';

CREATE TABLE "firefly".ended (
  task_id bigint NOT NULL
) WITH (
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 20000,
  autovacuum_vacuum_cost_delay = 0
);
ALTER TABLE "firefly".ended REPLICA IDENTITY FULL;
CREATE INDEX ended_task ON "firefly".ended (task_id);
COMMENT ON TABLE "firefly".ended IS
  'A task whose end its dependants are to be told. Inserted by the trigger release in the transaction that ends the '
  'task, so that no crash loses it; deleted by consumers, which call _release_dependants().';

-- Returns for each place of the list whether others in it depend on that task; raises if one of \`depends\` is none.
CREATE FUNCTION "firefly"._check_dependencies(tasks json) RETURNS boolean[]
LANGUAGE plpgsql IMMUTABLE AS $body$
DECLARE
  edge record;
BEGIN
  -- What a task has is read once for all of its dependencies, which may be many.
  SELECT task.func_name, task.on_conflict, dependency.value INTO edge
  FROM ROWS FROM (json_to_recordset(tasks) AS (func_name text, on_conflict text, depends json))
    WITH ORDINALITY AS task (func_name, on_conflict, depends, place),
    json_array_elements(CASE json_typeof(task.depends) WHEN 'array' THEN task.depends END) AS dependency (value)
  WHERE json_typeof(dependency.value) <> 'object'
    OR num_nonnulls(dependency.value ->> 'id', dependency.value ->> 'ref') <> 1
    OR (dependency.value ->> 'ref')::bigint NOT BETWEEN 0 AND task.place - 2
    OR task.on_conflict = 'replace'
  LIMIT 1;
  IF edge.on_conflict = 'replace' THEN
    RAISE EXCEPTION 'Cannot schedule task "%" with dependencies and on_conflict "replace": its duplicate keeps its own',
      edge.func_name USING ERRCODE = 'invalid_parameter_value';
  ELSIF FOUND THEN
    RAISE EXCEPTION 'Cannot schedule task "%" as it can depend only on the id of a task, or on one before it in the call: '
      'current value is %', edge.func_name, edge.value USING ERRCODE = 'invalid_parameter_value';
  END IF;
  RETURN ARRAY(
    SELECT referred.ref IS NOT NULL
    FROM generate_series(0, json_array_length(tasks) - 1) AS task (place)
    LEFT JOIN (
      SELECT DISTINCT (dependency.value ->> 'ref')::integer AS ref
      FROM json_to_recordset(tasks) AS task (depends json),
        json_array_elements(CASE json_typeof(task.depends) WHEN 'array' THEN task.depends END) AS dependency (value)
      WHERE dependency.value ->> 'ref' IS NOT NULL
    ) AS referred ON referred.ref = task.place
    ORDER BY task.place
  );
END
$body$;

-- Stores the dependencies of tasks that this transaction has inserted: a row for each place of the arrays. \`others\` are
-- the dependencies that it has not inserted, in the order of their ids: they are marked under their locks. The end of a
-- task needs the same lock: it sees the mark and notes itself in \`ended\`, or this sees the end. One that has ended is
-- marked, too: it may be retried, and is not to be pruned.
CREATE FUNCTION "firefly"._depend(
  task_ids bigint[], ordinals integer[], dependency_ids bigint[], settled boolean[], others bigint[]
) RETURNS void
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
DECLARE
  met bigint[];
  unmet boolean;
BEGIN
  PERFORM FROM "firefly".task WHERE task.id = ANY (others) ORDER BY task.id FOR NO KEY UPDATE;
  IF (SELECT count(*) FROM "firefly".task WHERE task.id = ANY (others)) < cardinality(others) THEN
    RAISE EXCEPTION 'Cannot depend on task % as there is no such task', (
      SELECT given.id
      FROM unnest(others) AS given (id)
      WHERE NOT EXISTS (SELECT FROM "firefly".task WHERE task.id = given.id)
      ORDER BY given.id
      LIMIT 1
    ) USING ERRCODE = 'foreign_key_violation';
  END IF;
  UPDATE "firefly".task
  SET dependants = true
  WHERE task.id = ANY (others) AND task.dependants IS NULL;

  WITH stored AS (
    INSERT INTO "firefly".dependency (task_id, ordinal, dependency_id, settled, status)
    SELECT edge.task_id, edge.ordinal, edge.dependency_id, edge.settled,
      CASE WHEN task.status = 'completed' OR task.status <> 'created' AND edge.settled THEN task.status END
    FROM unnest(task_ids, ordinals, dependency_ids, settled) AS edge (task_id, ordinal, dependency_id, settled)
    -- OFFSET 0 has each looked up by its id, however many the planner expects.
    CROSS JOIN LATERAL (
      SELECT task.status FROM "firefly".task WHERE task.id = edge.dependency_id OFFSET 0
    ) AS task
    RETURNING dependency.task_id, dependency.dependency_id, dependency.status
  ), counted AS (
    UPDATE "firefly".waiting
    SET pending = waiting.pending - told.ends
    FROM (
      SELECT stored.task_id, count(*)::integer AS ends FROM stored WHERE stored.status IS NOT NULL GROUP BY stored.task_id
    ) AS told
    WHERE waiting.id = told.task_id
    RETURNING waiting.id, waiting.pending
  ), doomed AS (
    -- It has ended, and not completed: the dependant is cancelled as if that happened a moment later.
    INSERT INTO "firefly".ended (task_id)
    SELECT DISTINCT stored.dependency_id
    FROM stored
    CROSS JOIN LATERAL (
      SELECT task.status FROM "firefly".task WHERE task.id = stored.dependency_id OFFSET 0
    ) AS task
    WHERE stored.status IS NULL AND task.status <> 'created'
    RETURNING ended.task_id
  )
  SELECT (SELECT array_agg(counted.id) FROM counted WHERE counted.pending = 0), EXISTS (SELECT FROM doomed)
  INTO met, unmet;
  IF met IS NOT NULL THEN
    DELETE FROM "firefly".waiting WHERE waiting.id = ANY (met);
    PERFORM "firefly"._place(given.id) FROM unnest(met) AS given (id);
  END IF;
  IF unmet THEN
    PERFORM pg_notify("firefly".control_channel(), '');
  END IF;
END
$body$;

-- Tells the dependants of tasks that these have ended: of those of \`ids\` that are noted in \`ended\`, or of any for NULL,
-- up to 1,000. A dependant whose last dependency has ended gets a place; one whose dependency has not completed is
-- cancelled, and has dependants of its own then. A caller is woken, and callees of a caller that has ended are cancelled.
-- \`again\`: there is more to do, since a call tells 5,000 dependants at most, cancels only those that are next, and leaves
-- those whose records another transaction has locked: an open transaction must not hold up the dependants of others. The
-- caller then calls again, with NULL.
--
-- Three statements do it where all have completed. The first takes the notes, the second the locks; the third has a
-- snapshot of its own, and so reads what was committed before the locks were granted. Of two calls that tell a dependant
-- of its last two dependencies, the second sees what the first has written, and exactly one finds none pending.
--
-- It does not wait for the disk: a crash of the server that undoes it undoes what followed from it, and leaves the notes.
CREATE FUNCTION "firefly"._release_dependants(ids bigint[], OUT released integer, OUT cancelled integer, OUT again boolean)
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
DECLARE
  taken bigint[];
  edge record;
  rest record;
BEGIN
  released := 0;
  cancelled := 0;
  again := false;
  PERFORM set_config('synchronous_commit', 'off', true);

  IF ids IS NULL THEN
    WITH gone AS (
      DELETE FROM "firefly".ended
      WHERE ended.ctid = ANY (ARRAY(
        SELECT noted.ctid FROM "firefly".ended AS noted ORDER BY noted.task_id LIMIT 1000 FOR UPDATE SKIP LOCKED
      ))
      RETURNING ended.task_id
    )
    SELECT array_agg(DISTINCT gone.task_id), count(*) = 1000 INTO taken, again FROM gone;
  ELSE
    WITH gone AS (
      DELETE FROM "firefly".ended
      WHERE ended.ctid = ANY (ARRAY(
        SELECT noted.ctid FROM "firefly".ended AS noted WHERE noted.task_id = ANY (ids) FOR UPDATE SKIP LOCKED
      ))
      RETURNING ended.task_id
    )
    SELECT array_agg(DISTINCT gone.task_id) INTO taken FROM gone;
  END IF;
  IF taken IS NULL THEN
    RETURN;
  END IF;

  -- An end that has been told matters again only if its record, and so its result, is deleted too early.
  WITH open AS MATERIALIZED (
    SELECT dependency.task_id, dependency.ordinal, dependency.dependency_id, dependency.settled, dependency.called,
      COALESCE(task.status, 'deleted') AS status
    FROM unnest(taken) AS gone (id)
    LEFT JOIN "firefly".task ON task.id = gone.id
    JOIN "firefly".dependency ON dependency.dependency_id = gone.id
    WHERE task.status IS DISTINCT FROM 'created' AND (
      dependency.status IS NULL OR task.id IS NULL AND NOT dependency.settled AND dependency.status <> 'deleted'
    )
    LIMIT 5000
  ), held AS MATERIALIZED (
    SELECT task.id
    FROM "firefly".task
    WHERE task.id = ANY (ARRAY(SELECT open.task_id FROM open))
    ORDER BY task.id
    FOR NO KEY UPDATE SKIP LOCKED
  )
  SELECT array_agg(open.task_id) FILTER (WHERE open.met AND NOT open.called) AS task_ids,
    array_agg(open.ordinal) FILTER (WHERE open.met AND NOT open.called) AS ordinals,
    array_agg(open.status) FILTER (WHERE open.met AND NOT open.called) AS statuses,
    array_agg(open.task_id) FILTER (WHERE open.met AND open.called) AS call_ids,
    array_agg(open.ordinal) FILTER (WHERE open.met AND open.called) AS call_ordinals,
    array_agg(open.status) FILTER (WHERE open.met AND open.called) AS call_statuses,
    array_agg(open.task_id) FILTER (WHERE open.is_held AND NOT open.met) AS unmet_ids,
    array_agg(open.ordinal) FILTER (WHERE open.is_held AND NOT open.met) AS unmet_ordinals,
    COALESCE(bool_or(NOT open.is_held), false) OR count(*) = 5000 AS is_left,
    ARRAY(
      SELECT gone.id
      FROM unnest(taken) AS gone (id)
      -- Not EXISTS, for which the planner might read all of them.
      WHERE (SELECT true FROM "firefly".dependency WHERE dependency.task_id = gone.id AND dependency.called LIMIT 1)
    ) AS callers
  INTO edge
  FROM (
    SELECT open.*, held.id IS NOT NULL AS is_held,
      held.id IS NOT NULL AND (open.settled OR open.status = 'completed') AS met
    FROM open
    LEFT JOIN held ON held.id = open.task_id
  ) AS open;

  IF edge.task_ids IS NOT NULL THEN
    WITH told AS (
      UPDATE "firefly".dependency
      SET status = given.status
      FROM unnest(edge.task_ids, edge.ordinals, edge.statuses) AS given (task_id, ordinal, status)
      WHERE dependency.task_id = given.task_id AND dependency.ordinal = given.ordinal AND dependency.status IS NULL
      RETURNING dependency.task_id
    ), counted AS MATERIALIZED (
      SELECT waiting.ctid AS place, waiting.id, waiting.pending - told.ends AS pending, waiting.pending <= told.ends
        AND waiting.not_before <= now() AND waiting.concurrency_key IS NULL AND waiting.rate_key IS NULL AS is_ready
      FROM (SELECT told.task_id, count(*)::integer AS ends FROM told GROUP BY told.task_id) AS told
      JOIN "firefly".waiting ON waiting.id = told.task_id
      WHERE waiting.reason = 'dependencies'
    ), moved AS (
      DELETE FROM "firefly".waiting
      WHERE waiting.ctid = ANY (ARRAY(SELECT counted.place FROM counted WHERE counted.is_ready))
      RETURNING waiting.*
    ), made_ready AS (
      INSERT INTO "firefly".ready (id, length, claim_seq, not_before, priority, quarantined, queue, func_name)
      SELECT run.id, run.length, alike.claim_seq, alike.not_before, alike.priority, alike.quarantined, alike.queue,
        alike.func_name
      FROM (
        SELECT array_agg(moved.id ORDER BY moved.id) AS ids, moved.claim_seq, moved.not_before, moved.priority,
          moved.quarantined, moved.queue, moved.func_name
        FROM moved
        GROUP BY moved.claim_seq, moved.not_before, moved.priority, moved.quarantined, moved.queue, moved.func_name
      ) AS alike, LATERAL (
        SELECT alike.ids[1], 1 WHERE cardinality(alike.ids) = 1
        UNION ALL
        SELECT * FROM "firefly"._runs(alike.ids) WHERE cardinality(alike.ids) > 1
      ) AS run (id, length)
    ), notified AS MATERIALIZED (
      SELECT "firefly"._notify(filled.queue) FROM (SELECT DISTINCT moved.queue FROM moved) AS filled
    )
    SELECT (SELECT count(*) FROM moved) + 0 * (SELECT count(*) FROM notified) AS moved,
      array_agg(counted.place) FILTER (WHERE NOT counted.is_ready) AS places,
      array_agg(counted.pending) FILTER (WHERE NOT counted.is_ready) AS pending
    INTO rest
    FROM counted;
    released := rest.moved;
    -- A statement of its own: of all that one of them could do, the server prepares each part, and opens each index.
    IF rest.places IS NOT NULL THEN
      WITH kept AS (
        UPDATE "firefly".waiting
        SET pending = NULLIF(GREATEST(counted.pending, 0), 0),
          reason = CASE
            WHEN counted.pending > 0 THEN waiting.reason
            WHEN waiting.not_before > now() THEN 'time'
            WHEN waiting.concurrency_key IS NULL THEN 'rate'
            ELSE 'concurrency'
          END,
          admit_at = CASE WHEN counted.pending <= 0 AND waiting.not_before <= now() THEN now() END
        FROM unnest(rest.places, rest.pending) AS counted (place, pending)
        WHERE waiting.ctid = counted.place
        RETURNING waiting.queue, waiting.reason
      ), notified AS MATERIALIZED (
        SELECT "firefly"._notify(filled.queue)
        FROM (SELECT DISTINCT kept.queue FROM kept WHERE kept.reason <> 'dependencies') AS filled
      )
      SELECT released + count(*) FILTER (WHERE kept.reason <> 'dependencies') + 0 * (SELECT count(*) FROM notified)
      INTO released
      FROM kept;
    END IF;
  END IF;

  IF edge.call_ids IS NOT NULL THEN
    released := released + "firefly"._tell_callers(edge.call_ids, edge.call_ordinals, edge.call_statuses);
  END IF;
  IF edge.unmet_ids IS NOT NULL THEN
    SELECT told.cancelled, _release_dependants.again OR told.again INTO cancelled, again
    FROM "firefly"._cancel_dependants(edge.unmet_ids, edge.unmet_ordinals) AS told;
  END IF;
  IF edge.callers <> '{}' THEN
    SELECT _release_dependants.cancelled + left_behind.cancelled, _release_dependants.again OR left_behind.again
    INTO cancelled, again
    FROM "firefly"._cancel_callees(edge.callers) AS left_behind;
  END IF;

  IF edge.is_left THEN
    INSERT INTO "firefly".ended (task_id)
    SELECT gone.id
    FROM unnest(taken) AS gone (id)
    WHERE (
      SELECT true
      FROM "firefly".dependency
      CROSS JOIN LATERAL (SELECT FROM "firefly".task WHERE task.id = dependency.task_id OFFSET 0) AS dependant
      WHERE dependency.dependency_id = gone.id AND dependency.status IS NULL
      LIMIT 1
    );
    again := again OR FOUND;
  END IF;
END
$body$;

-- Whether a task was cancelled because a dependency did not complete, not by hand since. Its last error alone does not
-- tell: it stays when the task is revived.
CREATE FUNCTION "firefly"._is_unmet(it "firefly".task) RETURNS boolean
LANGUAGE sql STABLE
RETURN it.status = 'cancelled' AND it.errors -> -1 ->> 'name' = 'DependencyFailed'
  AND (it.errors -> -1 ->> 'at')::timestamptz = it.cancelled;

-- Cancels dependants, whose records the caller has locked, because these dependencies of theirs have ended and not
-- completed. A retry of the dependency holds its record: this passes over it then, as the retry makes it \`created\` again.
-- The lock keeps a retry that begins now waiting until it can see what it has to revive.
CREATE FUNCTION "firefly"._cancel_dependants(
  task_ids bigint[], ordinals integer[], OUT cancelled integer, OUT again boolean
)
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
DECLARE
  culprits bigint[] := ARRAY(
    SELECT DISTINCT dependency.dependency_id
    FROM unnest(task_ids, ordinals) AS given (task_id, ordinal)
    JOIN "firefly".dependency ON dependency.task_id = given.task_id AND dependency.ordinal = given.ordinal
  );
  held bigint[];
BEGIN
  SELECT array_agg(locked.id) INTO held
  FROM (
    SELECT task.id FROM "firefly".task WHERE task.id = ANY (culprits) ORDER BY task.id FOR SHARE SKIP LOCKED
  ) AS locked;

  WITH told AS (
    UPDATE "firefly".dependency
    SET status = COALESCE(culprit.status, 'deleted')
    FROM unnest(task_ids, ordinals) AS given (task_id, ordinal), unnest(culprits) AS ended (id)
    LEFT JOIN "firefly".task AS culprit ON culprit.id = ended.id
    WHERE dependency.task_id = given.task_id AND dependency.ordinal = given.ordinal
      AND dependency.dependency_id = ended.id AND NOT dependency.settled
      AND (culprit.id IS NULL OR culprit.id = ANY (held) AND culprit.status IN ('failed', 'cancelled'))
    RETURNING dependency.task_id, dependency.dependency_id
  ), doomed AS MATERIALIZED (
    SELECT told.task_id AS id, min(told.dependency_id) AS culprit_id FROM told GROUP BY told.task_id
  ), unplaced AS (
    DELETE FROM "firefly".waiting
    USING doomed
    WHERE waiting.id = doomed.id AND waiting.reason = 'dependencies'
    RETURNING doomed.id, waiting.claim_seq, doomed.culprit_id
  ), culprit AS MATERIALIZED (
    SELECT unplaced.id, unplaced.claim_seq, unplaced.culprit_id, task.func_name, COALESCE(task.status, 'deleted') AS status,
      -- The task whose end began it.
      CASE
        WHEN "firefly"._is_unmet(task) THEN (task.errors -> -1 ->> 'root')::bigint
        ELSE unplaced.culprit_id
      END AS root
    FROM unplaced
    LEFT JOIN "firefly".task ON task.id = unplaced.culprit_id
  ), over AS (
    UPDATE "firefly".task
    SET status = 'cancelled', cancelled = now(), claim_seq = task.claim_seq + 1,
      errors = CASE
        WHEN jsonb_array_length(task.errors) < 100 THEN task.errors ELSE COALESCE(task.errors - 0, '[]')
      END || jsonb_build_array(jsonb_build_object(
        'name', 'DependencyFailed',
        'message', format(
          'Cannot run this task as task %s%s, which it depends on, %s%s', culprit.culprit_id,
          COALESCE(' "' || culprit.func_name || '"', ''),
          CASE culprit.status WHEN 'failed' THEN 'failed' ELSE 'was ' || culprit.status END,
          CASE WHEN culprit.root <> culprit.culprit_id THEN format(', since task %s did not complete', culprit.root) END
        ),
        'dependency', culprit.culprit_id, 'root', culprit.root, 'at', now(),
        'attempt', COALESCE(task.retry_attempts, 0) + COALESCE(task.rescues, 0) + 1
      ))
    FROM culprit
    WHERE task.id = culprit.id AND task.claim_seq = culprit.claim_seq AND task.status = 'created'
    RETURNING task.id, task.dependants
  ), waiter AS (
    DELETE FROM "firefly".result_waiter USING over WHERE result_waiter.task_id = over.id RETURNING result_waiter.task_id
  ), notified AS MATERIALIZED (
    SELECT pg_notify("firefly".ended_channel(), '') WHERE EXISTS (SELECT FROM waiter)
  )
  SELECT count(*) + 0 * (SELECT count(*) FROM notified), COALESCE(bool_or(over.dependants), false) INTO cancelled, again
  FROM over;

  -- Of those that a retry holds, it notes the end of none: they stay noted in case it is rolled back.
  INSERT INTO "firefly".ended (task_id)
  SELECT DISTINCT given.id
  FROM unnest(culprits) AS given (id)
  JOIN "firefly".task ON task.id = given.id AND task.status <> 'created'
  WHERE given.id <> ALL (COALESCE(held, '{}'));
  again := again OR FOUND;
END
$body$;

-- Whether a task that is retried has only dependencies that have completed or may still do.
CREATE FUNCTION "firefly"._may_depend_again(task_id bigint) RETURNS boolean
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
BEGIN
  RETURN NOT EXISTS (
    SELECT
    FROM "firefly".dependency
    LEFT JOIN LATERAL (
      SELECT task.status FROM "firefly".task WHERE task.id = dependency.dependency_id OFFSET 0
    ) AS task ON true
    WHERE dependency.task_id = _may_depend_again.task_id AND NOT dependency.settled
      AND COALESCE(task.status IN ('failed', 'cancelled'), dependency.status IS DISTINCT FROM 'completed')
  );
END
$body$;

-- Makes a task that is retried wait for those of its dependencies and callees that are \`created\` again. Their records are
-- not locked, since a retry holds that of the dependant already: instead each is noted in \`ended\`, and so looked at once
-- more after the commit, if it ends at this moment.
CREATE FUNCTION "firefly"._depend_again(task_id bigint) RETURNS void
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
BEGIN
  WITH reopened AS (
    UPDATE "firefly".dependency
    SET status = CASE WHEN edge.status <> 'created' THEN edge.status END
    FROM (
      SELECT own.ordinal, task.status
      FROM "firefly".dependency AS own
      CROSS JOIN LATERAL (
        SELECT task.status FROM "firefly".task WHERE task.id = own.dependency_id OFFSET 0
      ) AS task
      WHERE own.task_id = _depend_again.task_id
    ) AS edge
    WHERE dependency.task_id = _depend_again.task_id AND dependency.ordinal = edge.ordinal
    RETURNING dependency.dependency_id, dependency.status
  )
  INSERT INTO "firefly".ended (task_id)
  SELECT DISTINCT reopened.dependency_id FROM reopened WHERE reopened.status IS NULL;
END
$body$;

-- Retries the tasks that were cancelled because this one did not complete, and the dependants of these. Such a task may
-- have several dependencies that failed: the retry of the last of them revives it. The smallest id comes first, as a
-- dependency has a smaller one than its dependants: so records are locked in the order of their ids.
CREATE FUNCTION "firefly"._revive_dependants(task_id bigint) RETURNS integer
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
DECLARE
  next bigint := task_id;
  todo bigint[] := '{}';
  found bigint[];
  revived integer := 0;
BEGIN
  LOOP
    SELECT array_agg(DISTINCT dependency.task_id) INTO found
    FROM "firefly".dependency
    CROSS JOIN LATERAL (
      SELECT task AS record FROM "firefly".task WHERE task.id = dependency.task_id OFFSET 0
    ) AS dependant
    WHERE dependency.dependency_id = next AND NOT dependency.settled AND "firefly"._is_unmet(dependant.record);
    IF found IS NOT NULL THEN
      todo := ARRAY(SELECT DISTINCT given.id FROM unnest(todo || found) AS given (id) ORDER BY given.id);
    END IF;
    LOOP
      IF cardinality(todo) = 0 THEN
        RETURN revived;
      END IF;
      next := todo[1];
      todo := todo[2:];
      EXIT WHEN "firefly"._retry_record(next) = 'done';
    END LOOP;
    revived := revived + 1;
  END LOOP;
END
$body$;

-- Puts a task with dependencies back that an edit by hand left without a place; returns whether it did. It fails one
-- whose unique key a duplicate has by now.
CREATE FUNCTION "firefly"._requeue_dependant(task_id bigint) RETURNS boolean
LANGUAGE plpgsql AS $body$
DECLARE
  it "firefly".task;
BEGIN
  SELECT * INTO it FROM "firefly".task WHERE id = task_id AND status = 'created' FOR NO KEY UPDATE SKIP LOCKED;
  IF NOT FOUND OR NOT "firefly"._take_place(it.id, it.queue, it.priority, it.not_before, it.claim_seq) THEN
    RETURN false;
  END IF;
  IF "firefly"._keeps_unique_key(it.id, it.func_name, it.unique_key, it.unique_among) THEN
    UPDATE "firefly".task SET claim_seq = claim_seq + 1 WHERE id = it.id;
    PERFORM "firefly"._place(it.id);
    RETURN true;
  END IF;
  it.status := 'failed';
  it.failed := statement_timestamp();
  it.errors := COALESCE(it.errors, '[]') || "firefly"._duplicate_error(
    it.id, it.func_name, it.unique_key, COALESCE(it.retry_attempts, 0) + COALESCE(it.rescues, 0) + 1
  );
  UPDATE "firefly".task
  SET claim_seq = claim_seq + 1, status = it.status, failed = it.failed, errors = it.errors
  WHERE id = it.id;
  PERFORM "firefly"._note_failure(it);
  RETURN false;
END
$body$;

-- By statement, as a prune deletes a thousand. The dependants of a task that is deleted too early are cancelled, and so
-- are its callees.
CREATE FUNCTION "firefly"._forget_dependencies() RETURNS trigger
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
DECLARE
  of_tasks bigint[];
  on_tasks bigint[];
BEGIN
  SELECT array_agg(gone.id) FILTER (WHERE gone.dependencies IS NOT NULL OR gone.dependants),
    array_agg(gone.id) FILTER (WHERE gone.dependants)
  INTO of_tasks, on_tasks
  FROM gone;
  IF of_tasks IS NOT NULL THEN
    DELETE FROM "firefly".dependency
    WHERE dependency.task_id = ANY (of_tasks) AND NOT (dependency.called AND dependency.status IS NULL);
    DELETE FROM "firefly".waiting WHERE waiting.id = ANY (of_tasks) AND waiting.reason = 'dependencies';
  END IF;
  IF on_tasks IS NOT NULL THEN
    INSERT INTO "firefly".ended (task_id)
    SELECT DISTINCT dependency.dependency_id
    FROM "firefly".dependency
    CROSS JOIN LATERAL (
      SELECT task.status FROM "firefly".task WHERE task.id = dependency.task_id OFFSET 0
    ) AS task
    WHERE dependency.dependency_id = ANY (on_tasks) AND (dependency.status IS NULL OR task.status = 'created')
    UNION ALL
    -- Callers: what is left of theirs is deleted once their callees are cancelled.
    SELECT gone.id
    FROM unnest(on_tasks) AS gone (id)
    WHERE (SELECT true FROM "firefly".dependency WHERE dependency.task_id = gone.id LIMIT 1);
    IF FOUND THEN
      PERFORM pg_notify("firefly".control_channel(), '');
    END IF;
  END IF;
  RETURN NULL;
END
$body$;

CREATE TRIGGER forget_dependencies AFTER DELETE ON "firefly".task
REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION "firefly"._forget_dependencies();

-- Returns the tasks that hang together with one by their dependencies and calls, in the order of their ids; at most
-- 10,000. \`called_by\` is the task whose handler scheduled it by a call, and waits for it.
CREATE FUNCTION "firefly".graph(task_id bigint)
RETURNS TABLE (id bigint, func_name text, status text, dependencies bigint[], called_by bigint)
LANGUAGE sql STABLE AS $body$
  WITH RECURSIVE member (id) AS (
    SELECT graph.task_id
    UNION
    SELECT beside.id
    FROM member, LATERAL (
      SELECT dependency.dependency_id FROM "firefly".dependency WHERE dependency.task_id = member.id
      UNION ALL
      SELECT dependency.task_id FROM "firefly".dependency WHERE dependency.dependency_id = member.id
    ) AS beside (id)
  )
  SELECT record.id, record.func_name, record.status, ARRAY(
    SELECT dependency.dependency_id
    FROM "firefly".dependency
    WHERE dependency.task_id = record.id AND NOT dependency.called
    ORDER BY dependency.ordinal
  ), (
    SELECT dependency.task_id
    FROM "firefly".dependency
    WHERE dependency.dependency_id = record.id AND dependency.called
    ORDER BY dependency.shared, dependency.task_id
    LIMIT 1
  )
  FROM "firefly".task_record AS record
  WHERE record.id = ANY (ARRAY(SELECT member.id FROM member LIMIT 10000))
  ORDER BY record.id
$body$;

-- Returns the same as a flowchart for Mermaid, as Markdown of many sites draws it. A dashed arrow is a call.
CREATE FUNCTION "firefly".mermaid(task_id bigint) RETURNS text
LANGUAGE sql STABLE AS $body$
  WITH node AS MATERIALIZED (SELECT * FROM "firefly".graph(mermaid.task_id))
  SELECT 'flowchart LR' || string_agg(part.line, '' ORDER BY part.kind, part.id, part.line)
  FROM (
    SELECT 1 AS kind, node.id,
      format(E'\\n  t%s["%s %s"]:::%s', node.id, node.id, replace(node.func_name, '"', '#quot;'), node.status) AS line
    FROM node
    UNION ALL
    SELECT DISTINCT 2, node.id, format(E'\\n  t%s --> t%s', dependency.id, node.id)
    FROM node, unnest(node.dependencies) AS dependency (id)
    UNION ALL
    SELECT 3, node.id, format(E'\\n  t%s -.-> t%s', node.called_by, node.id) FROM node WHERE node.called_by IS NOT NULL
  ) AS part
$body$;
`,
  },
  {
    version: 18,
    name: "steps",
    sql: `-- Firefly: steps, the parts of a handler whose results outlive its attempt.

-- The primary key keeps the effects of a step from happening twice: of two attempts that do the same step, the second
-- commits nothing.
CREATE TABLE "firefly".step (
  task_id bigint NOT NULL,
  name text NOT NULL CHECK (name <> ''),
  -- Tells steps of one name apart: the handler's own key, or the number of the call from the second on.
  key text NOT NULL DEFAULT '',
  -- A step with a function, or a wait: a sleep, a wait for a signal, a call of other tasks. \`compensation\` undoes a step
  -- of a task that failed.
  kind text NOT NULL DEFAULT 'step' CHECK (kind IN ('step', 'sleep', 'signal', 'call', 'compensation')),
  -- \`waiting\` is a wait that has not ended, or a step that has failed and is tried again.
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
`,
  },
  {
    version: 19,
    name: "waits",
    sql: `-- Firefly: waits of handlers: sleeps, signals, calls of other tasks, and steps that are tried again.
--
-- The rule of dependencies holds here, too: what decides about a suspended task holds the lock of its record, and reads
-- after it has that lock. So a signal that is sent while the task is being suspended is either seen by _suspend(), or
-- finds the task suspended.

CREATE TABLE "firefly".signal (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  task_id bigint NOT NULL,
  name text NOT NULL CHECK (name <> '' AND length(name) <= 200),
  -- In the wire format. NULL for a payload that is undefined.
  payload text,
  sent timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX signal_task ON "firefly".signal (task_id, name, id);
COMMENT ON TABLE "firefly".signal IS
  'A message to a task that no step has received. Inserted by signal(); deleted by the statement that stores the step '
  'that received it, or with the task.';

-- By statement, as _forget_log(). Most databases have no steps and no signals: then no id is looked up.
CREATE FUNCTION "firefly"._forget_steps() RETURNS trigger
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
BEGIN
  IF EXISTS (SELECT FROM "firefly".step) THEN
    DELETE FROM "firefly".step WHERE step.task_id = ANY (ARRAY(SELECT gone.id FROM gone));
    DELETE FROM "firefly".waiting WHERE waiting.id = ANY (ARRAY(SELECT gone.id FROM gone)) AND waiting.suspended;
  END IF;
  IF EXISTS (SELECT FROM "firefly".signal) THEN
    DELETE FROM "firefly".signal WHERE signal.task_id = ANY (ARRAY(SELECT gone.id FROM gone));
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
  DELETE FROM "firefly".signal;
  RETURN NULL;
END
$body$;

CREATE TRIGGER forget_all_steps AFTER TRUNCATE ON "firefly".task
FOR EACH STATEMENT EXECUTE FUNCTION "firefly"._forget_all_steps();

-- Stores steps: over those that wait, and none that is there already; a call only if it is new. Takes the signals away
-- that they have received. \`steps\` is a list of rows; times are seconds before now, or from now on for \`delay\`. \`callees\`
-- are those of a call. Returns how many it stored. The caller has locked the records of the tasks.
CREATE FUNCTION "firefly"._store_steps(steps json, callees bigint[] DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
DECLARE
  stored integer;
BEGIN
  WITH memo AS MATERIALIZED (
    SELECT *
    FROM json_to_recordset(steps) AS memo (
      task_id bigint, name text, key text, kind text, status text, seq integer, version integer, attempt integer,
      failures integer, ran double precision, age double precision, delay double precision, due timestamptz,
      received bigint, returned text, error text
    )
  ), stored AS (
    INSERT INTO "firefly".step AS old
      (task_id, name, key, kind, status, seq, version, attempt, failures, began, ended, due, callees, returned, error)
    SELECT memo.task_id, memo.name, memo.key, memo.kind, memo.status, memo.seq, memo.version, memo.attempt, memo.failures,
      clock_timestamp() - make_interval(secs => memo.age + memo.ran),
      CASE WHEN memo.status <> 'waiting' THEN clock_timestamp() - make_interval(secs => memo.age) END,
      COALESCE(memo.due, "firefly"._due_in(memo.delay)), _store_steps.callees, memo.returned, memo.error::jsonb
    FROM memo
    ORDER BY memo.task_id, memo.seq, memo.name, memo.key
    ON CONFLICT (task_id, name, key) DO UPDATE
    SET status = excluded.status, seq = excluded.seq, version = excluded.version, attempt = excluded.attempt,
      failures = excluded.failures, ended = excluded.ended, due = COALESCE(excluded.due, old.due),
      returned = excluded.returned, error = excluded.error
    WHERE old.status = 'waiting' AND _store_steps.callees IS NULL
    RETURNING old.task_id, old.name, old.key
  ), received AS (
    DELETE FROM "firefly".signal
    USING memo
    JOIN stored USING (task_id, name, key)
    WHERE signal.id = memo.received AND signal.task_id = memo.task_id
  )
  SELECT count(*) INTO stored FROM stored;
  RETURN stored;
END
$body$;

-- The time in so many seconds; a time that the server cannot add is never.
CREATE FUNCTION "firefly"._due_in(seconds double precision) RETURNS timestamptz
LANGUAGE sql
RETURN CASE WHEN seconds > 1e11 THEN 'infinity' ELSE clock_timestamp() + make_interval(secs => seconds) END;

-- How many of the callees of a call its caller has not been told the end of.
CREATE FUNCTION "firefly"._count_open(caller bigint, callees bigint[]) RETURNS integer
LANGUAGE sql STABLE AS $body$
  SELECT count(*)::integer
  FROM "firefly".dependency
  WHERE dependency.task_id = caller AND dependency.called AND dependency.status IS NULL
    AND dependency.dependency_id = ANY (callees)
$body$;

-- Suspends attempts: ends their claims, stores what their handlers have done, and lets the tasks wait for the steps that
-- their handlers await, until the first of them may go on. A task whose signal has come, whose callees have ended, or
-- whose time is over may run at once. Returns the ids of the tasks that it suspended, and of those that failed here, as a
-- duplicate has the unique key that was free while they ran. The others are held no more, or another transaction has
-- locked their records.
--
-- \`claims\` is a list of { id, claim_seq, elapsed, span }: the seconds since the attempt began, and its span in hex, if it
-- has one, to which the next attempt has a link; \`steps\` as _store_steps() has them, and \`awaits\` is a list of
-- { task_id, name, key }. \`by\` is the process that ran the attempts, and \`batches\` are deleted if no claim is left.
CREATE FUNCTION "firefly"._suspend(
  claims json, steps json, awaits json, by integer, batches uuid[], OUT suspended_ids bigint[], OUT failed_ids bigint[]
)
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
DECLARE
  ids bigint[] := ARRAY(SELECT given.id FROM json_to_recordset(claims) AS given (id bigint));
  held bigint[];
  it "firefly".task;
  filled text[];
  its_queue text;
BEGIN
  suspended_ids := '{}';
  failed_ids := '{}';
  SELECT array_agg(locked.id) INTO held
  FROM (
    -- By the ids alone, so that the planner joins what is found, and not all records.
    SELECT task.id, task.claim_seq, task.status
    FROM "firefly".task
    WHERE task.id = ANY (ids)
    ORDER BY task.id
    FOR NO KEY UPDATE SKIP LOCKED
  ) AS locked
  JOIN json_to_recordset(claims) AS given (id bigint, claim_seq integer)
    ON given.id = locked.id AND given.claim_seq = locked.claim_seq
  WHERE locked.status = 'created';
  IF held IS NULL THEN
    RETURN;
  END IF;
  IF cardinality(held) < json_array_length(claims) THEN
    steps := (
      SELECT COALESCE(json_agg(step.value), '[]')
      FROM json_array_elements(steps) AS step (value)
      WHERE (step.value ->> 'task_id')::bigint = ANY (held)
    );
  END IF;
  PERFORM "firefly"._store_steps(steps);

  -- A suspended task rejects duplicates as any that waits: so it takes a key again that is not for running tasks.
  FOR it IN
    SELECT *
    FROM "firefly".task
    WHERE task.id = ANY (held) AND task.unique_key IS NOT NULL AND 'running' <> ALL (task.unique_among)
    ORDER BY task.id
  LOOP
    CONTINUE WHEN "firefly"._keeps_unique_key(it.id, it.func_name, it.unique_key, it.unique_among);
    UPDATE "firefly".task
    SET claim_seq = task.claim_seq + 1, status = 'failed', failed = statement_timestamp(), attempted_by = by,
      crash_count = NULL,
      started = statement_timestamp() - make_interval(secs => (
        SELECT given.elapsed FROM json_to_recordset(claims) AS given (id bigint, elapsed double precision) WHERE given.id = it.id
      )),
      errors = COALESCE(task.errors, '[]') || "firefly"._duplicate_error(
        it.id, it.func_name, it.unique_key, COALESCE(it.retry_attempts, 0) + COALESCE(it.rescues, 0) + 1
      )
    WHERE task.id = it.id
    RETURNING * INTO it;
    PERFORM "firefly"._note_failure(it);
    DELETE FROM "firefly".result_waiter WHERE result_waiter.task_id = it.id;
    IF FOUND THEN
      PERFORM pg_notify("firefly".ended_channel(), '');
    END IF;
    held := array_remove(held, it.id);
    failed_ids := failed_ids || it.id;
  END LOOP;

  -- A snapshot of its own: it has all that was committed before the locks were granted.
  WITH claim AS MATERIALIZED (
    SELECT given.id, given.elapsed, given.span
    FROM json_to_recordset(claims) AS given (id bigint, elapsed double precision, span text)
    WHERE given.id = ANY (held)
  ), given AS MATERIALIZED (
    -- OFFSET 0 has each looked up by its key, however few steps the planner expects to wait.
    SELECT step.*
    FROM json_to_recordset(awaits) AS given (task_id bigint, name text, key text)
    CROSS JOIN LATERAL (
      SELECT step.task_id, step.name, step.kind, step.status, step.due, step.callees
      FROM "firefly".step
      WHERE step.task_id = given.task_id AND step.name = given.name AND step.key = given.key
      OFFSET 0
    ) AS step
    WHERE step.status = 'waiting' AND given.task_id = ANY (held)
  ), retried AS MATERIALIZED (
    -- Callees that were retried after their callers knew their ends: the next ends count as well.
    SELECT DISTINCT edge.task_id, edge.id
    FROM given
    CROSS JOIN LATERAL (
      SELECT dependency.task_id, dependency.dependency_id AS id
      FROM "firefly".dependency
      WHERE dependency.task_id = given.task_id AND dependency.called AND dependency.status IS NOT NULL
        AND dependency.dependency_id = ANY (given.callees)
      OFFSET 0
    ) AS edge
    CROSS JOIN LATERAL (
      SELECT FROM "firefly".task WHERE task.id = edge.id AND task.status = 'created' OFFSET 0
    ) AS callee
  ), reopened AS (
    UPDATE "firefly".dependency
    SET status = NULL
    FROM retried
    WHERE dependency.task_id = retried.task_id AND dependency.dependency_id = retried.id AND dependency.called
  ), noted AS (
    -- One that ends at this moment has found no caller to tell: so each is looked at once more after the commit.
    INSERT INTO "firefly".ended (task_id) SELECT DISTINCT retried.id FROM retried
  ), awaited AS MATERIALIZED (
    SELECT given.task_id, given.name, given.kind, given.due, CASE given.kind
      WHEN 'call' THEN "firefly"._count_open(given.task_id, given.callees) + (
        SELECT count(*)::integer FROM retried WHERE retried.task_id = given.task_id AND retried.id = ANY (given.callees)
      )
      -- Not EXISTS, for which the planner might read all signals.
      WHEN 'signal' THEN (
        SELECT 0 FROM "firefly".signal WHERE signal.task_id = given.task_id AND signal.name = given.name LIMIT 1
      )
    END AS open
    FROM given
  ), wait AS MATERIALIZED (
    SELECT claim.id, claim.elapsed, claim.span, wait.until, wait.signals, wait.pending,
      -- One that awaits nothing that waits is a handler that is to go on.
      wait.id IS NULL OR COALESCE(wait.open = 0, false) OR COALESCE(wait.until <= clock_timestamp(), false) AS is_over
    FROM claim
    LEFT JOIN (
      SELECT awaited.task_id AS id, min(awaited.due) AS until, min(awaited.open) AS open,
        array_agg(DISTINCT awaited.name) FILTER (WHERE awaited.kind = 'signal') AS signals,
        min(awaited.open) FILTER (WHERE awaited.kind = 'call') AS pending
      FROM awaited
      GROUP BY awaited.task_id
    ) AS wait ON wait.id = claim.id
  ), suspended AS (
    UPDATE "firefly".task
    SET claim_seq = task.claim_seq + 1,
      started = statement_timestamp() - make_interval(secs => wait.elapsed),
      not_before = CASE WHEN wait.is_over OR wait.until IS NULL THEN task.not_before ELSE wait.until END,
      attempted_by = by,
      traceparent = COALESCE(decode(wait.span, 'hex'), task.traceparent),
      crash_count = NULL
    FROM wait
    WHERE task.id = wait.id
    RETURNING task.id, task.claim_seq, task.not_before, task.priority, task.queue, task.func_name, task.concurrency_key,
      task.rate_key, wait.until, wait.signals, wait.pending, wait.is_over,
      wait.is_over AND task.concurrency_key IS NULL AND task.rate_key IS NULL AS is_ready
  ), placed AS (
    INSERT INTO "firefly".ready (id, claim_seq, not_before, priority, queue, func_name)
    SELECT id, claim_seq, not_before, priority, queue, func_name FROM suspended WHERE is_ready
  ), placed_waiting AS (
    INSERT INTO "firefly".waiting (
      id, claim_seq, not_before, priority, queue, func_name, concurrency_key, rate_key, reason, admit_at, pending, signals,
      suspended
    )
    SELECT id, claim_seq, not_before, priority, queue, func_name, concurrency_key, rate_key,
      CASE
        WHEN NOT is_over THEN CASE WHEN until IS NULL THEN 'suspended' ELSE 'time' END
        WHEN concurrency_key IS NULL THEN 'rate'
        ELSE 'concurrency'
      END,
      CASE WHEN is_over THEN clock_timestamp() END,
      CASE WHEN NOT is_over THEN pending END, CASE WHEN NOT is_over THEN signals END, CASE WHEN NOT is_over THEN true END
    FROM suspended
    WHERE NOT is_ready
  ), ended AS (
    DELETE FROM "firefly".claim_batch
    WHERE id = ANY (batches) AND (SELECT count(*) FROM suspended) + cardinality(failed_ids) = json_array_length(claims)
  )
  SELECT array_agg(suspended.id), array_agg(DISTINCT suspended.queue) FILTER (WHERE suspended.is_over)
  INTO suspended_ids, filled
  FROM suspended;
  FOREACH its_queue IN ARRAY COALESCE(filled, '{}') LOOP
    PERFORM "firefly"._notify(its_queue);
  END LOOP;
  suspended_ids := COALESCE(suspended_ids, '{}');
END
$body$;

-- Lets suspended tasks run now, before their time. The caller has locked their records. Of this and promoteDueTasks(),
-- one gets the row of \`waiting\`. Returns how many it moved.
CREATE FUNCTION "firefly"._wake(ids bigint[]) RETURNS integer
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
DECLARE
  woken integer;
  filled text[];
  its_queue text;
BEGIN
  WITH moved AS (
    DELETE FROM "firefly".waiting WHERE waiting.id = ANY (ids) AND waiting.suspended RETURNING waiting.*
  ), advanced AS (
    -- What cuts a task out of \`ready\` looks for it by the time of its record.
    UPDATE "firefly".task
    SET not_before = now(), claim_seq = task.claim_seq + 1
    FROM moved
    WHERE task.id = moved.id AND task.claim_seq = moved.claim_seq AND task.status = 'created' AND moved.not_before > now()
    RETURNING task.id, task.claim_seq, task.not_before
  ), placed AS MATERIALIZED (
    SELECT moved.id, COALESCE(advanced.claim_seq, moved.claim_seq) AS claim_seq,
      COALESCE(advanced.not_before, moved.not_before) AS not_before, moved.priority, moved.queue, moved.func_name,
      moved.concurrency_key, moved.rate_key
    FROM moved
    LEFT JOIN advanced ON advanced.id = moved.id
  ), made_ready AS (
    INSERT INTO "firefly".ready (id, claim_seq, not_before, priority, queue, func_name)
    SELECT id, claim_seq, not_before, priority, queue, func_name
    FROM placed
    WHERE concurrency_key IS NULL AND rate_key IS NULL
  ), made_limited AS (
    INSERT INTO "firefly".waiting (
      id, claim_seq, not_before, priority, queue, func_name, concurrency_key, rate_key, reason, admit_at
    )
    SELECT id, claim_seq, not_before, priority, queue, func_name, concurrency_key, rate_key,
      CASE WHEN concurrency_key IS NULL THEN 'rate' ELSE 'concurrency' END, now()
    FROM placed
    WHERE concurrency_key IS NOT NULL OR rate_key IS NOT NULL
  )
  SELECT count(*), array_agg(DISTINCT placed.queue) INTO woken, filled FROM placed;
  FOREACH its_queue IN ARRAY COALESCE(filled, '{}') LOOP
    PERFORM "firefly"._notify(its_queue);
  END LOOP;
  RETURN woken;
END
$body$;

-- Sends a signal to a task that has not ended, and returns whether there is one. It is kept until a step receives it.
-- \`payload\` is in the wire format.
--
-- The lock of the record decides between this and _suspend(): that sees the signal, or this sees a task that waits.
CREATE FUNCTION "firefly"._signal(task_id bigint, name text, payload text) RETURNS boolean
LANGUAGE plpgsql AS $body$
BEGIN
  PERFORM FROM "firefly".task WHERE task.id = _signal.task_id AND task.status = 'created' FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  INSERT INTO "firefly".signal (task_id, name, payload) VALUES (_signal.task_id, _signal.name, _signal.payload);
  IF EXISTS (
    SELECT FROM "firefly".waiting WHERE waiting.id = _signal.task_id AND _signal.name = ANY (waiting.signals)
  ) THEN
    PERFORM "firefly"._wake(ARRAY[_signal.task_id]);
  END IF;
  RETURN true;
END
$body$;

-- The same for the task that holds a unique key.
CREATE FUNCTION "firefly"._signal_by_key(func_name text, unique_key text, name text, payload text) RETURNS boolean
LANGUAGE plpgsql AS $body$
DECLARE
  holder bigint;
BEGIN
  SELECT held.task_id INTO holder
  FROM "firefly".unique_key AS held
  WHERE held.func_name = _signal_by_key.func_name AND held.key = _signal_by_key.unique_key AND held.until IS NULL;
  RETURN FOUND AND "firefly"._signal(holder, name, payload);
END
$body$;

-- Sends a signal to a task that has not ended, and returns whether there is one. The task's handler receives it with
-- step.waitFor(), now or later: each wait for the name gets one, in the order in which they were sent. Without a payload,
-- it receives undefined.
CREATE FUNCTION "firefly".signal(task_id bigint, name text, payload jsonb DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql AS $body$
BEGIN
  RETURN "firefly"._signal(task_id, name, "firefly".encode(payload));
END
$body$;

-- The same for the task of a name that holds a unique key. It has a name of its own: drivers that send parameters without
-- types would get signal(text, text, text) for signal(bigint, text, jsonb), as PostgreSQL prefers text.
CREATE FUNCTION "firefly".signal_by_key(
  func_name text, unique_key text, name text, payload jsonb DEFAULT NULL
) RETURNS boolean
LANGUAGE plpgsql AS $body$
BEGIN
  RETURN "firefly"._signal_by_key(func_name, unique_key, name, "firefly".encode(payload));
END
$body$;
`,
  },
  {
    version: 20,
    name: "calls",
    sql: `-- Firefly: calls, tasks that a handler schedules and waits for.
--
-- The rows of \`dependency\` with \`called\` are those of calls. Such a task is a callee; its caller is suspended until it
-- ends, in whatever way. A callee has \`dependants\`, so that its end is noted in \`ended\`; and so has a caller, so that its
-- callees are cancelled when it ends.

-- By the callers, where each end of a task looks for callees that it leaves behind.
CREATE INDEX dependency_calls ON "firefly".dependency (task_id) WHERE called;

-- Schedules the tasks that a handler calls, and stores the call with what the handler has done before. Returns the ids of
-- the callees, in the order of \`tasks\`, or a key that keeps one of them from being scheduled, with the duplicate that
-- holds it. NULL if the attempt holds its task no more, or another attempt has stored the call: nothing is scheduled then.
--
-- \`call\` is a list of one row, and \`facts\` one of those before it, as _store_steps() has them; \`tasks\` as _schedule() has.
CREATE FUNCTION "firefly"._call(
  caller bigint, fence integer, call json, facts json, tasks json,
  OUT callees bigint[], OUT refused_key text, OUT holder bigint
)
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
DECLARE
  first integer;
  others bigint[];
BEGIN
  -- The end of the caller needs this lock, and sees the mark then.
  UPDATE "firefly".task
  SET dependants = true
  WHERE task.id = caller AND task.claim_seq = fence AND task.status = 'created' AND task.dependants IS NULL;
  IF NOT FOUND THEN
    PERFORM FROM "firefly".task
    WHERE task.id = caller AND task.claim_seq = fence AND task.status = 'created'
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
      RETURN;
    END IF;
  END IF;

  -- A block, so that a call that another attempt has stored, or that is refused, leaves nothing behind.
  BEGIN
    SELECT array_agg(made.task_id ORDER BY made.place), array_agg(made.task_id) FILTER (WHERE NOT made.is_own),
      min(made.refused_key), min(made.task_id)
    INTO callees, others, refused_key, holder
    FROM (
      -- A duplicate of one of these tasks is not there before.
      SELECT made.*, bool_or(made.inserted) OVER (PARTITION BY made.task_id) AS is_own
      FROM "firefly"._schedule(tasks, true) WITH ORDINALITY AS made (
        task_id, created, not_before, inserted, refused_key, record, place
      )
    ) AS made;
    IF refused_key IS NOT NULL THEN
      RAISE SQLSTATE 'FFDUP';
    END IF;
    IF others IS NOT NULL THEN
      PERFORM FROM "firefly".task WHERE task.id = ANY (others) ORDER BY task.id FOR NO KEY UPDATE;
      UPDATE "firefly".task SET dependants = true WHERE task.id = ANY (others) AND task.dependants IS NULL;
    END IF;
    first := COALESCE((SELECT max(dependency.ordinal) + 1 FROM "firefly".dependency WHERE dependency.task_id = caller), 0);
    INSERT INTO "firefly".dependency (task_id, ordinal, dependency_id, settled, called, shared, status)
    SELECT caller, first + callee.place - 1, callee.id, true, true, COALESCE(callee.id = ANY (others), false),
      -- A key may outlast the record of its holder: nothing will tell the end of that.
      CASE WHEN callee.id = ANY (others) THEN NULLIF(COALESCE((
        SELECT task.status FROM "firefly".task WHERE task.id = callee.id
      ), 'deleted'), 'created') END
    FROM unnest(callees) WITH ORDINALITY AS callee (id, place);
    PERFORM "firefly"._store_steps(facts);
    IF "firefly"._store_steps(call, callees) = 0 THEN
      RAISE SQLSTATE 'FFDUP';
    END IF;
    holder := NULL;
  EXCEPTION WHEN SQLSTATE 'FFDUP' THEN
    callees := NULL;
    holder := CASE WHEN refused_key IS NOT NULL THEN holder END;
  END;
END
$body$;

-- Tells callers that these calls of theirs have ended. A caller is woken once one of the calls that it waits for is
-- complete. Returns how many were woken. The caller of this function has locked the records.
--
-- \`pending\` counts down from the fewest ends that may complete a call, so that most ends cost one small UPDATE. At 0 the
-- calls are counted anew: the ends may have been those of different ones.
CREATE FUNCTION "firefly"._tell_callers(task_ids bigint[], ordinals integer[], statuses text[]) RETURNS integer
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
DECLARE
  over bigint[];
BEGIN
  WITH told AS (
    UPDATE "firefly".dependency
    SET status = given.status
    FROM unnest(task_ids, ordinals, statuses) AS given (task_id, ordinal, status)
    WHERE dependency.task_id = given.task_id AND dependency.ordinal = given.ordinal AND dependency.status IS NULL
    RETURNING dependency.task_id
  ), counted AS (
    UPDATE "firefly".waiting
    SET pending = waiting.pending - told.ends
    FROM (SELECT told.task_id, count(*)::integer AS ends FROM told GROUP BY told.task_id) AS told
    WHERE waiting.id = told.task_id AND waiting.suspended AND waiting.pending IS NOT NULL
    RETURNING waiting.id, waiting.pending
  )
  SELECT array_agg(counted.id) INTO over FROM counted WHERE counted.pending <= 0;
  IF over IS NULL THEN
    RETURN 0;
  END IF;

  WITH counted AS MATERIALIZED (
    SELECT caller.id, min("firefly"._count_open(caller.id, step.callees)) AS open
    FROM unnest(over) AS caller (id)
    -- OFFSET 0 has the steps looked up by their task, however few the planner expects to wait.
    CROSS JOIN LATERAL (
      SELECT step.kind, step.status, step.callees FROM "firefly".step WHERE step.task_id = caller.id OFFSET 0
    ) AS step
    WHERE step.kind = 'call' AND step.status = 'waiting'
    GROUP BY caller.id
  ), kept AS (
    UPDATE "firefly".waiting
    SET pending = counted.open
    FROM counted
    WHERE waiting.id = counted.id AND waiting.suspended AND counted.open > 0
    RETURNING waiting.id
  )
  SELECT array_agg(caller.id) INTO over
  FROM unnest(over) AS caller (id)
  WHERE caller.id NOT IN (SELECT kept.id FROM kept);
  RETURN CASE WHEN over IS NULL THEN 0 ELSE "firefly"._wake(over) END;
END
$body$;

-- Cancels the callees, which have not ended, of callers that have, or that were deleted. Those that another task has
-- called, too, and those that were there before, outlive them. It waits for no lock: \`again\` if there is more to do. The
-- lock on the caller keeps a retry waiting that begins now until it can see what it has to retry.
CREATE FUNCTION "firefly"._cancel_callees(callers bigint[], OUT cancelled integer, OUT again boolean)
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
DECLARE
  deleted bigint[];
  held bigint[];
  callees bigint[];
  locked bigint[];
BEGIN
  SELECT array_agg(caller.id) FILTER (WHERE task.id IS NULL) INTO deleted
  FROM unnest(callers) AS caller (id)
  -- OFFSET 0 has each looked up by its id, however many the planner expects.
  LEFT JOIN LATERAL (SELECT task.id FROM "firefly".task WHERE task.id = caller.id OFFSET 0) AS task ON true;
  SELECT array_agg(caller.id) INTO held
  FROM (
    SELECT task.id
    FROM "firefly".task
    WHERE task.id = ANY (callers) AND task.status <> 'created'
    ORDER BY task.id
    FOR SHARE SKIP LOCKED
  ) AS caller;

  SELECT array_agg(callee.id) INTO callees
  FROM (
    SELECT DISTINCT own.dependency_id AS id
    FROM unnest(COALESCE(held, '{}') || COALESCE(deleted, '{}')) AS caller (id)
    CROSS JOIN LATERAL (
      SELECT edge.dependency_id
      FROM "firefly".dependency AS edge
      WHERE edge.task_id = caller.id AND edge.called AND NOT edge.shared AND edge.status IS NULL
      OFFSET 0
    ) AS own
    CROSS JOIN LATERAL (
      SELECT FROM "firefly".task WHERE task.id = own.dependency_id AND task.status = 'created' OFFSET 0
    ) AS callee
    WHERE (
      -- Not EXISTS, for which the planner might read all of them.
      SELECT true
      FROM "firefly".dependency AS other
      CROSS JOIN LATERAL (
        SELECT FROM "firefly".task WHERE task.id = other.task_id AND task.status = 'created' OFFSET 0
      ) AS caller
      WHERE other.dependency_id = own.dependency_id AND other.called AND other.status IS NULL
      LIMIT 1
    ) IS NULL
    ORDER BY own.dependency_id
    LIMIT 1000
  ) AS callee;
  SELECT array_agg(callee.id) INTO locked
  FROM (
    SELECT task.id FROM "firefly".task WHERE task.id = ANY (callees) ORDER BY task.id FOR NO KEY UPDATE SKIP LOCKED
  ) AS callee;
  SELECT count(*) FILTER (WHERE "firefly".cancel(callee.id)) INTO cancelled FROM unnest(locked) AS callee (id);

  again := COALESCE(cardinality(callees) = 1000 OR cardinality(callees) > COALESCE(cardinality(locked), 0), false);
  IF NOT again AND deleted IS NOT NULL THEN
    DELETE FROM "firefly".dependency WHERE dependency.task_id = ANY (deleted);
  END IF;
  -- A caller that is being retried at this moment, or about to be deleted, is looked at once more.
  INSERT INTO "firefly".ended (task_id)
  SELECT caller.id
  FROM unnest(callers) AS caller (id)
  LEFT JOIN LATERAL (SELECT task.status FROM "firefly".task WHERE task.id = caller.id OFFSET 0) AS task ON true
  WHERE CASE WHEN again THEN task.status IS DISTINCT FROM 'created'
    ELSE task.status <> 'created' AND caller.id <> ALL (COALESCE(held, '{}')) END;
  again := again OR FOUND OR cancelled > 0;
END
$body$;

-- Retries the callees of a task that is retried which did not complete, and that its handler still waits for.
CREATE FUNCTION "firefly"._retry_callees(caller bigint) RETURNS void
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
BEGIN
  PERFORM "firefly"._retry(callee.id)
  FROM (
    SELECT DISTINCT callee.id
    FROM (
      SELECT step.kind, step.status, step.callees FROM "firefly".step WHERE step.task_id = caller OFFSET 0
    ) AS step, unnest(step.callees) AS callee (id)
    CROSS JOIN LATERAL (
      SELECT FROM "firefly".task WHERE task.id = callee.id AND task.status IN ('failed', 'cancelled') OFFSET 0
    ) AS task
    WHERE step.kind = 'call' AND step.status = 'waiting'
    ORDER BY callee.id
  ) AS callee;
END
$body$;

CREATE VIEW "firefly".wait AS
SELECT step.task_id, waiting.func_name, waiting.queue, step.kind, step.name, step.key, step.began AS since,
  step.due AS until, step.callees
FROM "firefly".waiting
JOIN "firefly".step ON step.task_id = waiting.id
WHERE waiting.suspended AND step.status = 'waiting' AND (step.kind NOT IN ('step', 'compensation') OR step.due IS NOT NULL);
COMMENT ON VIEW "firefly".wait IS
  'What a suspended task waits for: a sleep, a signal or a call of its handler, or a step of it that is tried again. until '
  'is NULL where it has no end in time.';

-- What a suspended task waits for, first what has an end in time; up to 20.
CREATE FUNCTION "firefly"._explain_suspension(it "firefly".task) RETURNS SETOF "firefly".task_reason
LANGUAGE plpgsql STABLE AS $body$
DECLARE
  each record;
BEGIN
  IF NOT EXISTS (
    SELECT FROM "firefly".waiting
    WHERE waiting.id = it.id AND waiting.claim_seq = it.claim_seq AND waiting.suspended
      AND (waiting.reason = 'suspended' OR waiting.not_before > statement_timestamp())
  ) THEN
    RETURN;
  END IF;
  FOR each IN
    SELECT wait.*, step.failures, step.error || jsonb_build_object('attempt', step.attempt) AS error
    FROM "firefly".wait
    JOIN "firefly".step ON step.task_id = wait.task_id AND step.name = wait.name AND step.key = wait.key
    WHERE wait.task_id = it.id
    ORDER BY wait.until, wait.since, wait.name, wait.key
    LIMIT 20
  LOOP
    IF each.kind = 'call' THEN
      RETURN QUERY SELECT * FROM "firefly"._explain_call(it.id, each.name, each.key, each.since, each.callees);
      CONTINUE;
    END IF;
    RETURN QUERY SELECT
      CASE each.kind WHEN 'signal' THEN 'signal' WHEN 'sleep' THEN 'sleeping' ELSE 'step_retry' END,
      CASE each.kind
        WHEN 'signal' THEN format('It waits for the signal "%s" since %s', each.name, "firefly"._format_time(each.since))
          || COALESCE(', until ' || "firefly"._format_time(each.until), '')
        WHEN 'sleep' THEN format('It sleeps until %s', "firefly"._format_time(each.until))
        ELSE format('Its step "%s" is tried again at %s', each.name, "firefly"._format_time(each.until))
          || COALESCE(', after ' || "firefly"._format_error(each.error), '')
      END,
      jsonb_build_object('name', each.name, 'key', each.key, 'since', each.since, 'until', each.until)
        || CASE WHEN each.kind IN ('step', 'compensation')
          THEN jsonb_build_object('failures', each.failures, 'error', "firefly"._brief_error(each.error)) ELSE '{}' END;
  END LOOP;
END
$body$;

-- A call that a suspended task waits for: which of the callees have not ended.
CREATE FUNCTION "firefly"._explain_call(
  caller bigint, name text, key text, since timestamptz, callees bigint[]
) RETURNS SETOF "firefly".task_reason
LANGUAGE plpgsql STABLE AS $body$
DECLARE
  first jsonb;
  open bigint;
BEGIN
  SELECT count(*) INTO open FROM "firefly".task WHERE task.id = ANY (callees) AND task.status = 'created';
  IF open = 0 THEN
    RETURN QUERY SELECT 'released',
      CASE WHEN cardinality(callees) = 1 THEN format('The task %s that it called has ended', callees[1])
        ELSE format('All %s tasks that it called have ended', cardinality(callees)) END
        || ': a consumer is about to release it',
      jsonb_build_object('of', cardinality(callees));
    RETURN;
  END IF;
  SELECT jsonb_agg(
    jsonb_build_object('task_id', record.id, 'func_name', record.func_name, 'status', record.status) ORDER BY record.id
  ) INTO first
  FROM "firefly".task_record AS record
  WHERE record.id = ANY (ARRAY(
    SELECT task.id FROM "firefly".task WHERE task.id = ANY (callees) AND task.status = 'created' ORDER BY task.id LIMIT 20
  ));
  RETURN QUERY SELECT 'calls',
    format('It waits for %s of %s that it called: ', open, "firefly"._format_count(cardinality(callees), 'task'))
      || (SELECT string_agg(callee ->> 'task_id', ', ') FROM jsonb_path_query(first, '$[0 to 4]') AS callee)
      || CASE WHEN open > 5 THEN ', …' ELSE '' END,
    jsonb_build_object(
      'name', name, 'key', key, 'since', since, 'open', open, 'of', cardinality(callees), 'tasks', first
    );
END
$body$;
`,
  },
  {
    version: 21,
    name: "fork",
    sql: `-- Firefly: forks, new tasks that begin with the steps that another one has run.

-- Schedules a copy of a task that begins with its steps: with those that ended before \`step\`, or with all. Refuses it for
-- a reason: the task is \`missing\`, has no such \`step\`, or has begun to compensate steps (\`compensated\`): then \`undone\` and
-- \`undone_key\` are the first of these by their order, before which the fork has to begin. Without \`step\`, it begins there.
--
-- It locks the record only against being deleted: a task that runs goes on, and what it stores from now on is its own.
CREATE FUNCTION "firefly"._fork(
  task_id bigint, step text, key text, OUT id bigint, OUT refused text, OUT undone text, OUT undone_key text
)
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
DECLARE
  it "firefly".task;
  until_seq integer := 2147483647;
  compensated record;
BEGIN
  SELECT * INTO it FROM "firefly".task WHERE task.id = _fork.task_id FOR KEY SHARE;
  IF NOT FOUND THEN
    refused := 'missing';
    RETURN;
  END IF;
  IF _fork.step IS NOT NULL THEN
    -- One that waits has no place in the order yet: all that have ended come before it.
    SELECT COALESCE(own.seq, until_seq) INTO until_seq
    FROM "firefly".step AS own
    WHERE own.task_id = _fork.task_id AND own.name = _fork.step AND own.key = COALESCE(_fork.key, '')
      AND own.kind <> 'compensation';
    IF NOT FOUND THEN
      refused := 'step';
      RETURN;
    END IF;
  END IF;
  SELECT own.name, own.key, own.seq INTO compensated
  FROM "firefly"._compensated(_fork.task_id) AS own
  ORDER BY own.seq
  LIMIT 1;
  IF compensated.seq < until_seq THEN
    IF _fork.step IS NOT NULL THEN
      refused := 'compensated';
      undone := compensated.name;
      undone_key := compensated.key;
      RETURN;
    END IF;
    until_seq := compensated.seq;
  END IF;

  id := nextval(pg_get_serial_sequence(quote_ident('firefly') || '.task', 'id'));
  -- The key of a task that has ended is free, unless it outlasts the task, or a duplicate has it by now.
  IF it.unique_key IS NOT NULL AND "firefly"._try_unique_key(it.func_name, it.unique_key, id) IS DISTINCT FROM id THEN
    it.unique_key := NULL;
    it.unique_among := NULL;
    it.unique_for := NULL;
  END IF;
  PERFORM set_config('firefly.placed', 'on', true);
  -- A claim_seq above 0 says that there may be steps to read, and a number of snoozes that a claim reads \`compensates\`.
  INSERT INTO "firefly".task (
    id, claim_seq, func_name, queue, params, priority, max_retries, retry_delay, backoff, timeout, tags, unique_key,
    unique_among, unique_for, concurrency_key, rate_key, dependencies, forked_from, compensates, snoozes
  ) OVERRIDING SYSTEM VALUE VALUES (
    _fork.id, 1, it.func_name, it.queue, it.params, it.priority, it.max_retries, it.retry_delay, it.backoff, it.timeout,
    it.tags, it.unique_key, it.unique_among, it.unique_for, it.concurrency_key, it.rate_key, it.dependencies, it.id,
    it.compensates, CASE WHEN it.compensates THEN 0 END
  );
  PERFORM set_config('firefly.placed', '', true);

  INSERT INTO "firefly".step (
    task_id, name, key, kind, status, seq, version, attempt, failures, began, ended, due, callees, returned, error
  )
  SELECT _fork.id, own.name, own.key, own.kind, own.status, own.seq, own.version, own.attempt, own.failures, own.began,
    own.ended, own.due, own.callees, own.returned, own.error
  FROM "firefly".step AS own
  WHERE own.task_id = _fork.task_id AND own.seq < until_seq AND own.kind <> 'compensation';

  IF it.dependencies IS NOT NULL THEN
    PERFORM "firefly"._depend_alike(_fork.id, it.id);
  END IF;
  PERFORM "firefly"._place(_fork.id);
END
$body$;

-- Makes a new task depend on what another one was scheduled with, in the same order, as its arguments name them by that:
-- their results stay readable, and are not pruned before the new task has ended. Calls of the other one are its own.
CREATE FUNCTION "firefly"._depend_alike(new_id bigint, task_id bigint) RETURNS void
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $body$
DECLARE
  edges record;
BEGIN
  SELECT array_agg(new_id) AS task_ids, array_agg(edge.ordinal) AS ordinals,
    array_agg(edge.dependency_id) AS dependency_ids, array_agg(edge.settled) AS settled
  INTO edges
  FROM "firefly".dependency AS edge
  CROSS JOIN LATERAL (SELECT FROM "firefly".task WHERE task.id = edge.dependency_id OFFSET 0) AS dependency
  WHERE edge.task_id = _depend_alike.task_id AND NOT edge.called;
  IF edges.task_ids IS NOT NULL THEN
    PERFORM "firefly"._depend(
      edges.task_ids, edges.ordinals, edges.dependency_ids, edges.settled,
      ARRAY(SELECT DISTINCT other.id FROM unnest(edges.dependency_ids) AS other (id) ORDER BY other.id)
    );
  END IF;
  -- Those that are deleted have ended. The fork fails where it needs the result of one.
  INSERT INTO "firefly".dependency (task_id, ordinal, dependency_id, settled, status)
  SELECT new_id, edge.ordinal, edge.dependency_id, edge.settled, COALESCE(edge.status, 'deleted')
  FROM "firefly".dependency AS edge
  WHERE edge.task_id = _depend_alike.task_id AND NOT edge.called
    AND (SELECT true FROM "firefly".task WHERE task.id = edge.dependency_id LIMIT 1) IS NULL;
END
$body$;

-- Schedules a copy of a task that begins with the steps that it ran before the step of this name and key, or with all of
-- its steps that have ended; returns the id of the copy. The task itself stays as it is, whether it has ended or not.
CREATE FUNCTION "firefly".fork(task_id bigint, step text DEFAULT NULL, key text DEFAULT '') RETURNS bigint
LANGUAGE plpgsql AS $body$
DECLARE
  it record;
BEGIN
  SELECT * INTO it FROM "firefly"._fork(fork.task_id, fork.step, fork.key);
  IF it.refused = 'missing' THEN
    RAISE EXCEPTION 'Cannot fork task % as there is no such task', task_id USING ERRCODE = 'no_data_found';
  ELSIF it.refused = 'step' THEN
    RAISE EXCEPTION 'Cannot fork task % from step "%"% as it has no such step', task_id, step,
      CASE WHEN key <> '' THEN format(' with the key "%s"', key) ELSE '' END
      USING ERRCODE = 'no_data_found', HINT = 'firefly.step has the names of its steps';
  ELSIF it.refused = 'compensated' THEN
    RAISE EXCEPTION 'Cannot fork task % from step "%" as its step "%" before that was compensated: fork it from there',
      task_id, step, it.undone USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  RETURN it.id;
END
$body$;
`,
  },
  {
    version: 22,
    name: "compensation",
    sql: `-- Firefly: compensation, which undoes the steps of a task that failed.
--
-- A task that begins to compensate stores that first: a step of kind \`compensation\`, called "compensate", that waits until
-- all of it is done. Its \`error\` is that of the task, with \`plan\`, the names and keys of the steps to be compensated. From
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
`,
  },
];
