import { assert, assertEquals, assertRejects } from "@std/assert";
import { decode } from "../../src/wire/decode.ts";
import { encodePlain } from "../support/encode.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { bomb, BULKY, EXCESSIVE, MALFORMED, textOf } from "./hostile_cases.ts";

/** What `firefly.decode()` shows of `text`, as JSON. */
async function shown({ sql }: TestDatabase, text: string): Promise<string> {
  const [row] = await sql`SELECT firefly.decode(${text})::text AS value`;
  return row!.value;
}

const invalid = new Date(NaN);
const point = { x: 1 };
const loop: unknown[] = [];
loop.push(loop);
const shared = new Uint8Array([1, 2, 3, 4]).buffer;

function plainError(): Error {
  const error = new TypeError("no", { cause: { why: undefined } });
  error.stack = "TypeError: no";
  return error;
}

/** Values, and the JSON that SQL shows of them. */
const PROJECTIONS: [value: unknown, json: string][] = [
  [[1, 3], "[1, 3]"],
  [{ a: null, "é": ["→", true, 1.5] }, '{"a": null, "é": ["→", true, 1.5]}'],
  [undefined, "null"],
  [[undefined, { a: undefined }], '[null, {"a": null}]'],
  [[NaN, Infinity, -Infinity, -0], '["NaN", "Infinity", "-Infinity", 0]'],
  [[0n, -12n, 2n ** 70n], "[0, -12, 1180591620717411303424]"],
  [10n ** 16_383n, `1${"0".repeat(16_383)}`],
  [[new Date(0), invalid], '["1970-01-01T00:00:00.000Z", null]'],
  [[new Date(0), new Set([new Date(0), invalid])], '["1970-01-01T00:00:00.000Z", ["1970-01-01T00:00:00.000Z", null]]'],
  ["a\0%\ud800", '"a�%�"'],
  [{ "\0": 1 }, '{"�": 1}'],
  ['{"$":"Date","v":"x"}', '"{\\"$\\":\\"Date\\",\\"v\\":\\"x\\"}"'],
  ['$", "$": "undefined"', '"$\\", \\"$\\": \\"undefined\\""'],
  [[/a\/b/gi, /\ud800/], '["/a\\\\/b/gi", "/\\\\ud800/"]'],
  [[Object(true), Object("a"), Object(5n), Object(NaN)], '[true, "a", 5, "NaN"]'],
  [new Map<unknown, unknown>([["a", new Map([[1n, undefined]])], [point, 2]]), '[["a", [[1, null]]], [{"x": 1}, 2]]'],
  [new Set([1, "1", new Set([-0])]), '[1, "1", [0]]'],
  [[[], {}, new Map(), new Set(), [new Set([{}, []])]], "[[], {}, [], [], [[{}, []]]]"],
  [[1, , 3, ,], "[1, null, 3, null]"],
  [new Array(3), "[null, null, null]"],
  ["xfoo".match(/f(o)/), '["fo", "o"]'],
  [{ $: 1, a: { $: [NaN] } }, '{"$": 1, "a": {"$": ["NaN"]}}'],
  [JSON.parse('{"__proto__":1,"constructor":{"$":2}}'), '{"__proto__": 1, "constructor": {"$": 2}}'],
  [plainError(), '{"name": "TypeError", "cause": {"why": null}, "stack": "TypeError: no", "message": "no"}'],
  [new Uint8Array([1, 2, 3]), '"AQID"'],
  [new Uint8Array(100), `"${"A".repeat(134)}=="`],
  [new Uint16Array([1, 2]).subarray(1), '"AgA="'],
  [[shared, new Uint16Array(shared, 2, 1), new DataView(shared, 1, 2)], '["AQIDBA==", "AwQ=", "AgM="]'],
  [[point, point], '[{"x": 1}, {"x": 1}]'],
  [loop, '[{"$": "Ref", "v": 0}]'],
  [[loop, new Set([loop])], '[[{"$": "Ref", "v": 0}], [[{"$": "Ref", "v": 0}]]]'],
];

Deno.test("firefly.decode() shows each kind of value", async () => {
  await using db = await testDatabase();
  for (const [value, json] of PROJECTIONS) assertEquals(await shown(db, encodePlain(value)), json);
});

Deno.test("firefly.decode() shows the bytes of Blobs and Files", async () => {
  await using db = await testDatabase();
  const { encode } = await import("../../src/wire/encode.ts");
  assertEquals(await shown(db, await encode([new Blob(["ab"]), new File(["cd"], "x")])), '["YWI=", "Y2Q="]');
});

Deno.test("firefly.decode() takes a tag whose key is escaped for the tag that it is", async () => {
  await using db = await testDatabase();
  assertEquals(await shown(db, textOf('{"\\u0024":"Set","v":[{"$":"number","v":"-0"}]}')), "[0]");
});

Deno.test("firefly.decode() leaves what is malformed or unknown as it is", async () => {
  await using db = await testDatabase();
  const nodes = [
    '{"$": "Foo", "v": 1}',
    '{"$": 1}',
    '{"$": {"a": 1}}',
    '{"$": "Map"}',
    '{"$": "Set", "v": {}}',
    '{"$": "Object", "v": [[1, 2]]}',
    '{"$": "Array", "n": -1, "v": []}',
    '{"$": "Array", "n": 1, "v": [[1, 0]]}',
    '{"$": "Array", "n": 1000001, "v": []}',
    '{"$": "Array", "n": 1, "v": [1]}',
    '{"$": "bigint", "v": "x"}',
    '{"$": "RegExp"}',
    '{"$": "string", "v": 1}',
    '{"$": "Ref", "v": 0}',
    '{"$": "Ref", "v": "x"}',
    '{"$": "Uint8Array", "v": {"$": "ArrayBuffer", "v": "!"}, "n": 1, "o": 0}',
    '{"$": "Date"}',
    '{"$": "Boxed"}',
  ].map((json) => JSON.stringify(JSON.parse(json)));
  for (const json of nodes) assertEquals(JSON.parse(await shown(db, textOf(`[${json}]`))), [JSON.parse(json)]);
});

Deno.test("firefly.decode() raises for text that is no Base64 of UTF-8 JSON", async () => {
  await using db = await testDatabase();
  for (const text of ["WzEsM10", "_w==", "/w==", btoa("{"), "", btoa("\xef\xbb\xbf[1]"), btoa('"\\u0000"')]) {
    await assertRejects(() => shown(db, text), Error);
    assertEquals(await db.sql`SELECT firefly.try_decode(${text}) AS value`.then(([row]) => row!.value), null);
  }
});

Deno.test("firefly.try_decode() raises for no malformed, excessive or bulky text, nor takes long for it", async () => {
  await using db = await testDatabase();
  await db.sql`SET statement_timeout = '20s'`;
  const excessive = Object.values(EXCESSIVE).map((make) => make());
  const bulky = Object.values(BULKY).map((make) => make(0.05));
  for (const json of [...MALFORMED, ...excessive, ...bulky]) {
    const [row] = await db.sql`SELECT octet_length(firefly.try_decode(${textOf(json)})::text) AS size`;
    assert((row!.size ?? 0) < 4 * json.length + 5 * 2 ** 20, json.slice(0, 100));
  }
});

Deno.test("firefly.decode() expands a bomb of references only as far as its budget", async () => {
  await using db = await testDatabase();
  const start = performance.now();
  const json = await shown(db, textOf(bomb(40)));
  assert(json.length < 4 * 1024 * 1024, `${json.length} characters`);
  assert(json.includes('{"$": "Ref", "v": '));
  assert(performance.now() - start < 10_000);
});

Deno.test("firefly.decode() shows views on one buffer only as far as its budget", async () => {
  await using db = await testDatabase();
  const views = Array.from({ length: 10_000 }, () => new Uint8Array(shared));
  const large = new Uint8Array(3_000_000).buffer;
  const json = await shown(
    db,
    encodePlain([large, new Uint8Array(large), new Uint8Array(large), new Uint8Array(large)]),
  );
  assert(json.length < 13_000_000, `${json.length} characters`);
  assertEquals((await shown(db, encodePlain(views))).startsWith('["AQIDBA=="'), true);
});

Deno.test("firefly.decode() shows what is deeper than 100 levels as TooDeep", async () => {
  await using db = await testDatabase();
  let value: unknown = NaN;
  for (let level = 0; level < 200; level++) value = [value];
  const json = await shown(db, encodePlain(value));
  assertEquals(json, `${"[".repeat(101)}{"$": "TooDeep"}${"]".repeat(101)}`);
});

Deno.test("firefly.encode() carries plain data, keys that look like tags included", async () => {
  await using db = await testDatabase();
  const values = [
    null,
    1,
    "a",
    '"$"',
    [],
    {},
    { $: 1 },
    { $: "Map", v: [] },
    [{ a: { $: { $: [{ $: "Ref", v: 0 }] } }, b: "é\n" }],
    JSON.parse('{"__proto__":{"$":1}}'),
    { "": { $: null } },
    ["$", { a: "$" }],
  ];
  for (const value of values) {
    const [row] = await db.sql`SELECT firefly.encode(${JSON.stringify(value)}::text::jsonb) AS text`;
    assertEquals(decode(row!.text), value);
    assertEquals(JSON.parse(await shown(db, row!.text)), value);
    assertEquals(JSON.parse(await shown(db, encodePlain(value))), value);
  }
});

Deno.test("firefly.encode() writes long text on one line", async () => {
  await using db = await testDatabase();
  const [row] = await db.sql`SELECT firefly.encode(to_jsonb(repeat('x', 1000))) AS text`;
  assertEquals(row!.text, encodePlain("x".repeat(1000)));
});

Deno.test("decode() reads text that Postgres wrapped", async () => {
  await using db = await testDatabase();
  const [row] = await db.sql`SELECT encode(convert_to(to_jsonb(repeat('é', 1000))::text, 'UTF8'), 'base64') AS text`;
  assert(row!.text.includes("\n"));
  assertEquals(decode(row!.text), "é".repeat(1000));
});

Deno.test("firefly.encode_raw() leaves tags live, in whatever order jsonb keeps their keys", async () => {
  await using db = await testDatabase();
  const graph = new Map<string, unknown>([["at", new Date(0)]]);
  graph.set("self", graph);
  const json = new TextDecoder().decode(Uint8Array.fromBase64(encodePlain({ graph, same: graph })));
  const [row] = await db.sql`SELECT firefly.encode_raw(${json}::text::jsonb) AS text`;
  const value = decode(row!.text) as { graph: Map<string, unknown>; same: unknown };
  assertEquals(value.graph.get("at"), new Date(0));
  assert(value.graph.get("self") === value.graph && value.same === value.graph);
});

Deno.test("firefly.decode() can be indexed", async () => {
  await using db = await testDatabase();
  const { sql } = db;
  await sql`CREATE TABLE done AS
    SELECT firefly.encode(jsonb_build_object('email', 'user' || n || '@example.com')) AS returned FROM generate_series(1, 1000) AS n`;
  await sql`CREATE INDEX ON done ((firefly.decode(returned) ->> 'email'))`;
  await sql`ANALYZE done`;
  const plan = await sql`EXPLAIN SELECT FROM done WHERE firefly.decode(returned) ->> 'email' = 'user7@example.com'`;
  assert(plan.some((row) => row["QUERY PLAN"].includes("Index")), JSON.stringify(plan));
});

Deno.test("the functions of the wire format are marked as the planner needs them", async () => {
  await using db = await testDatabase();
  const marks = await db.sql`
    SELECT proname AS name, provolatile AS volatility, proisstrict AS strict, proparallel AS parallel
    FROM pg_proc WHERE pronamespace = 'firefly'::regnamespace
      AND proname IN ('decode', 'try_decode', 'encode', 'encode_raw') ORDER BY proname`;
  assertEquals(marks.map((mark) => ({ ...mark })), [
    { name: "decode", volatility: "i", strict: true, parallel: "s" },
    { name: "encode", volatility: "i", strict: true, parallel: "s" },
    { name: "encode_raw", volatility: "i", strict: true, parallel: "s" },
    { name: "try_decode", volatility: "i", strict: true, parallel: "u" },
  ]);
});

Deno.test("firefly.decode() works whatever the search path", async () => {
  await using db = await testDatabase();
  await db.sql`SET search_path = ''`;
  assertEquals(
    await shown(db, encodePlain(new Map([["a", [new Date(0), NaN]]]))),
    '[["a", ["1970-01-01T00:00:00.000Z", "NaN"]]]',
  );
  await db.sql`SET search_path = firefly, public`;
  assertEquals(
    await shown(db, encodePlain([new Uint8Array(3), shared, new Uint8Array(shared, 1)])),
    '["AAAA", "AQIDBA==", "AgME"]',
  );
});
