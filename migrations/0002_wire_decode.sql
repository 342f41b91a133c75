-- Firefly: the wire format in SQL, part 2: decoding. 0001_wire.sql explains what the functions pass along.

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
    source := regexp_replace(source, E'\\{"\\$":"Date","v":("[^"\\\\]*"|null)\\}', E'\\1', 'g');
  END IF;
  IF strpos(source, '"bigint"') > 0 THEN
    source := regexp_replace(
      source, E'\\{"\\$":"bigint","v":"(0|-?[1-9][0-9]{0,200})"\\}', E'\\1', 'g'
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
