import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  fromDrizzle,
  fromKnex,
  fromKysely,
  fromMikroORM,
  fromPg,
  fromPrisma,
  fromSequelize,
  type Queryable,
} from "../../adapters.ts";
import { cutAtParameters, withQuestionMarks } from "../../src/adapters/statement.ts";

/** The real libraries are in tests/everywhere/adapters. These are the arguments of callers without types. */

const ADAPTERS: Record<string, (argument: never) => Queryable> = {
  fromDrizzle: (tx) => fromDrizzle(tx, { raw: String, param: String, join: String }),
  fromKnex,
  fromKysely,
  fromMikroORM,
  fromPg,
  fromPrisma,
  fromSequelize: (sequelize) => fromSequelize(sequelize, undefined as never),
};

for (const [name, adapt] of Object.entries(ADAPTERS)) {
  Deno.test(`${name}() says what it was given in place of a transaction, and what to pass`, () => {
    const knex = Object.assign(() => {}, { raw() {}, select() {} });
    const cases: [unknown, string][] = [
      [undefined, "undefined"],
      [null, "null"],
      ["tx", "a string"],
      [{}, "an object"],
      [() => {}, "a function"],
      [{ unsafe() {}, begin() {} }, "an object that looks like a client of postgres.js"],
      [knex, "a function that looks like Knex"],
    ];
    for (const [argument, words] of cases) {
      const message = `Cannot schedule through ${name}() as it was given ${words}: pass `;
      assertThrows(() => adapt(argument as never), TypeError, message);
    }
  });
}

Deno.test("fromPg() refuses a client without a transaction after the first statement, and one without a status never", async () => {
  const statuses: (string | null)[] = [];
  const query = (text: string) => Promise.resolve({ rows: [{ text }] });
  const client = { query, getTransactionStatus: () => statuses.shift()! };

  statuses.push("I");
  await assertRejects(
    () => fromPg(client).query("SELECT", []),
    TypeError,
    "without an open transaction: pass a client",
  );
  statuses.push("T", null);
  for (const tx of [fromPg(client), fromPg(client), fromPg({ query })]) {
    assertEquals(await tx.query("SELECT", []), [{ text: "SELECT" }]);
  }
});

Deno.test("fromMikroORM() refuses a manager whose transaction has ended since, before it sends anything", async () => {
  const sent: string[] = [];
  let isOpen = true;
  const tx = fromMikroORM({
    execute: (sql: string) => (sent.push(sql), Promise.resolve([])),
    isInTransaction: () => isOpen,
  });

  await tx.query("SELECT 1", []);
  isOpen = false;

  await assertRejects(() => tx.query("SELECT 2", []), TypeError, "an EntityManager outside of a transaction");
  assertEquals(sent, ["SELECT 1"]);
});

Deno.test("cutAtParameters() takes the values by their numbers, more than nine of them as well", () => {
  const params = Array.from({ length: 11 }, (_, i) => `v${i + 1}`);
  assertEquals(cutAtParameters("SELECT $2, $11::text, $1", params), {
    texts: ["SELECT ", ", ", "::text, ", ""],
    values: ["v2", "v11", "v1"],
  });
  assertEquals(cutAtParameters("SELECT 1", []), { texts: ["SELECT 1"], values: [] });
});

Deno.test("withQuestionMarks() escapes what is no parameter", () => {
  assertEquals(withQuestionMarks('SELECT $1::text FROM "a?b".task', ["?"]), {
    text: 'SELECT ?::text FROM "a\\?b".task',
    values: ["?"],
  });
});
