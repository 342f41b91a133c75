import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { statementOf } from "../../src/database/call_site.ts";
import { runTransaction, Transaction } from "../../src/database/transaction.ts";
import { testInstance } from "../support/instance.ts";
import type { Sql } from "../../src/sql.ts";

async function markPaid(sql: Sql, id: number): Promise<void> {
  await sql`UPDATE invoice SET paid = true WHERE id = ${id}`;
}

async function markAllPaid(sql: Sql): Promise<void> {
  await sql.unsafe("UPDATE invoice SET paid = $1", [true]);
}

Deno.test("a failed statement's error has the frames of its caller, in a transaction and outside of one", async () => {
  await using test = await testInstance();
  const { sessions } = await test.ff.connect();
  const calls: [name: string, call: (sql: Sql) => Promise<void>, statement: RegExp][] = [
    ["markPaid", (sql) => markPaid(sql, 77_777), /^UPDATE invoice SET paid = true WHERE id = \$1$/],
    ["markAllPaid", markAllPaid, /^UPDATE invoice SET paid = \$1$/],
  ];
  for (const [name, call, statement] of calls) {
    const runs = [
      () => call(test.ff.sql),
      () => runTransaction(Transaction.on(sessions, { schema: "firefly" }), ({ sql }) => call(sql)),
      () => test.ff.transaction((sql) => call(sql)),
    ];
    for (const run of runs) {
      const error = await assertRejects(run, Error, 'relation "invoice" does not exist');
      const [heading, ...frames] = error.stack!.split("\n");
      assertEquals(heading, 'PostgresError: relation "invoice" does not exist');
      assert(frames.some((frame) => frame.includes(name) && frame.includes("call_site_test.ts")), error.stack);
      assert(!error.stack!.includes("postgres/3"), error.stack);
      assertMatch(statementOf(error)!, statement);
    }
  }
});

Deno.test("a statement that its values stop has the frames of its caller, too", async () => {
  await using test = await testInstance();

  const error = await assertRejects(() => markPaid(test.ff.sql, undefined as never));

  assert((error as Error).stack!.includes("call_site_test.ts"), (error as Error).stack);
});
