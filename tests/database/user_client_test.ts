import { assertEquals } from "@std/assert";
import postgres from "postgres";
import { tagOf } from "../../src/database/user_client.ts";
import type { Queryable } from "../../src/sql.ts";
import { testDatabase } from "../support/database.ts";

/** A client that answers each statement with `rows`, and the statements that it was given. */
function recorder(rows: unknown[] = []): { client: Queryable; sent: [string, unknown[]][] } {
  const sent: [string, unknown[]][] = [];
  const query = (text: string, params: unknown[]) => (sent.push([text, params]), Promise.resolve(rows));
  return { client: { query }, sent };
}

Deno.test("tagOf() numbers the values of a statement and of its parts in their order", async () => {
  const { client, sent } = recorder();
  const sql = tagOf(client, 'Jo"bs');
  const part = sql.fragment`SELECT ${"b"} FROM ${sql.identifier('a"b')} WHERE ${sql.fragment`c = ${3}`}`;

  await sql`SELECT ${"a"}, (${part}), ${sql.raw("now()")} FROM ${sql.schema}.task WHERE ${"d"} = ''`;

  assertEquals(sent, [[
    `SELECT $1, (SELECT $2 FROM "a""b" WHERE c = $3), now() FROM "Jo""bs".task WHERE $4 = ''`,
    ["a", "b", 3, "d"],
  ]]);
});

Deno.test("tagOf() sends lists as array literals", async () => {
  const { client, sent } = recorder();
  await tagOf(client, "firefly")`SELECT ${["a", 'b"{},\\', ""]}::text[]`;
  assertEquals(sent, [["SELECT $1::text[]", ['{"a","b\\"{},\\\\",""}']]]);
});

Deno.test("tagOf() returns the value of each row as its text, whatever the client calls it and makes rows of", async () => {
  for (const rows of [[{ text: "a" }, { text: "b" }], [{ TEXT: "a" }, { TEXT: "b" }], [["a"], ["b"]]]) {
    const read = await tagOf(recorder(rows).client, "firefly")`SELECT`;
    assertEquals([...read], [{ text: "a" }, { text: "b" }]);
    assertEquals(read.count, 2);
  }
});

Deno.test("tagOf() needs no types of a client of postgres.js", async () => {
  await using db = await testDatabase();
  const list = ["a", 'b"{},\\', "é", ""];
  const options = [{}, { fetch_types: false }, { prepare: false }, { transform: postgres.camel }];

  for (const option of options) {
    const client = postgres(db.url, { max: 1, ...option });
    await using _ = { [Symbol.asyncDispose]: () => client.end() };
    const rows = await client.begin((tx) =>
      tagOf(tx, "firefly")`
        SELECT json_build_array(value, ${"x"}::text)::text AS text
        FROM unnest(${list}::text[]) AS value
      `
    );
    assertEquals(rows.map(({ text }) => JSON.parse(text)), list.map((value) => [value, "x"]), JSON.stringify(option));
  }
});
