-- Firefly: the wire format in SQL, part 1: values without parts, buffers, and encoding.
--
-- `task.params` and `task.returned` hold Base64 of UTF-8 JSON in which an object with the key "$" stands for a value
-- that JSON lacks. decode() shows such a text as plain jsonb and encode() makes one of plain jsonb. What JSON lacks is
-- shown as the closest thing it has: undefined and holes as null, NaN as text, a Date as ISO text, a Map as pairs,
-- bytes as Base64. `src/wire/` is the same format in TypeScript.
--
-- The functions that walk a value pass these along: `refs`, the values that occur more than once; `path`, the refs that
-- are being expanded; `depth`; and `budget`, the bytes that expanding refs may still produce, since a short text of
-- shared references can stand for a value of any size. A part that is malformed, unknown, cyclic or over the budget
-- stays as it is written.

-- Not STRICT: the planner inlines a STRICT function only if its body is strict too.
CREATE FUNCTION "firefly"._mentions_tag(source text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $body$
  SELECT strpos(source, '"$"') > 0 OR strpos(source, E'\\u0024') > 0
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
