import { assertEquals } from "@std/assert";
import { parseArray } from "../../src/database/array_types.ts";
import { Database } from "../../src/database/pools.ts";
import { testDatabase } from "../support/database.ts";

const literals: [literal: string, list: unknown[]][] = [
  ["{}", []],
  ["{a,b}", ["a", "b"]],
  ['{"a b","",NULL,"NULL"}', ["a b", "", null, "NULL"]],
  ['{"say \\"hi\\"","back\\\\slash","{x,y}"}', ['say "hi"', "back\\slash", "{x,y}"]],
  ["{{a,b},{c,d}}", [["a", "b"], ["c", "d"]]],
  ["{{},{}}", [[], []]],
  ["[0:1]={a,b}", ["a", "b"]],
  ["[2:3][0:1]={{a,b},{c,d}}", [["a", "b"], ["c", "d"]]],
  ['{"two\nlines"}', ["two\nlines"]],
];

for (const [literal, list] of literals) {
  Deno.test(`parseArray() reads ${JSON.stringify(literal)}`, () => {
    assertEquals(parseArray(literal, String), list);
  });
}

const WORDS = ["plain", "", 'quo"te', "back\\slash", "a,b", "{braces}", "NULL", "null", " space ", "new\nline", "ü🔥"];

// The driver takes a list that begins with a boolean or a Date for one of them: hence the null before.
const types: [type: string, list: unknown[]][] = [
  ["text[]", [...WORDS, null]],
  ["varchar[]", WORDS],
  ["integer[]", [1, -2, null]],
  ["smallint[]", [1, 2]],
  ["bigint[]", ["9007199254740993", "-1"]],
  ["double precision[]", [1.5, -0.25, Infinity]],
  ["numeric[]", ["1.10", "123456789012345678901234567890"]],
  ["boolean[]", [null, false, true]],
  ["uuid[]", ["00000000-0000-4000-8000-000000000000"]],
  ["timestamptz[]", [null, new Date("2026-01-02T03:04:05.678Z")]],
  ["jsonb[]", [{ a: [1, "x"] }, "text", 5]],
  ["text[]", [["a", 'b"'], ["c", "d\\"]]],
  ["text[]", []],
];

Deno.test("arrayTypes carry lists to the server and back", async () => {
  await using db = await testDatabase({ migrated: false });
  const database = new Database(db.settings, "firefly");
  for (const [type, list] of types) {
    const [row] = await database.userSql.unsafe(`SELECT $1::${type} AS list`, [list]);
    assertEquals(row.list, list, type);
  }
  await database.end();
});
