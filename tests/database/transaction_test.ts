import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { FireflyError } from "../../src/errors.ts";
import type { Sql } from "../../src/sql.ts";
import { runTransaction, type Transaction } from "../../src/database/transaction.ts";
import { bench, pidOf } from "../support/transactions.ts";

Deno.test("Transaction begins with its first statement, and commits", async () => {
  await using at = await bench();
  const transaction = at.begin();
  const { sql } = transaction;
  assertEquals(transaction.begun, false);

  await sql`INSERT INTO ledger VALUES (1)`;
  assertEquals([transaction.begun, await at.ledger()], [true, []]);
  await transaction.commit();

  assertEquals([transaction.ended, await at.ledger()], [true, [1]]);
});

Deno.test("Transaction takes no session without a statement", async () => {
  await using at = await bench({ max: 0 });

  await at.begin().commit();
  await at.begin().rollback();
  at.begin().abandon();
});

Deno.test("runTransaction() commits the changes of its function, and returns its result", async () => {
  await using at = await bench();

  const result = await runTransaction(at.begin(), async ({ sql }) => {
    await sql`INSERT INTO ledger VALUES (1)`;
    return "done";
  });

  assertEquals([result, await at.ledger()], ["done", [1]]);
});

Deno.test("runTransaction() rolls back when its function throws", async () => {
  await using at = await bench({ max: 1 });
  const failure = new Error("changed my mind");

  const error = await assertRejects(() =>
    runTransaction(at.begin(), async ({ sql }) => {
      await sql`INSERT INTO ledger VALUES (1)`;
      throw failure;
    })
  );

  assertStrictEquals(error, failure);
  assertEquals(await at.ledger(), []);
});

Deno.test("Transaction reuses the sessions of earlier transactions", async () => {
  await using at = await bench();
  const [first, second, third] = [at.begin(), at.begin(), at.begin()];
  const pid = await pidOf(first);
  await first.commit();
  const again = await pidOf(second);
  await second.rollback();

  assertEquals([again, await pidOf(third)], [pid, pid]);
  await third.commit();
});

Deno.test("Transaction.on() runs its setup in the transaction and not beyond it", async () => {
  await using at = await bench({ max: 1 });
  const setting = ({ sql }: Transaction) => sql`SELECT current_setting('statement_timeout') AS timeout`;
  const first = at.begin({ setup: "SET LOCAL statement_timeout = 1234;" });

  assertEquals((await setting(first))[0].timeout, "1234ms");
  await first.commit();

  const second = at.begin();
  assertEquals((await setting(second))[0].timeout, "0");
  await second.commit();
});

Deno.test("Transaction asks for its process once a session", async () => {
  await using at = await bench({ max: 1 });
  const pids = [];
  for (let i = 0; i < 2; i++) {
    const transaction = at.begin();
    pids.push(await pidOf(transaction));
    await transaction.commit();
    const session = await at.sessions.take();
    pids.push(session.pid);
    at.sessions.giveBack(session, true);
  }

  assertEquals(pids, Array(4).fill(pids[0]));
});

Deno.test("Transaction refuses statements after its end", async () => {
  await using at = await bench();
  const ends: [what: string, end: (transaction: Transaction) => unknown][] = [
    ["commit", (transaction) => transaction.commit()],
    ["rollback", (transaction) => transaction.rollback()],
    ["abandon", (transaction) => transaction.abandon()],
  ];
  for (const [what, end] of ends) {
    for (const begun of [true, false]) {
      const transaction = at.begin();
      if (begun) await transaction.sql`SELECT 1`;
      await end(transaction);

      await assertRejects(() => transaction.sql`INSERT INTO ledger VALUES (1)`, FireflyError, "has ended", what);
      await assertRejects(() => transaction.commit(), FireflyError, "has ended", what);
      await transaction.rollback();
    }
  }
  assertEquals(await at.ledger(), []);
});

Deno.test("Transaction.commit() commits statements that were not awaited", async () => {
  await using at = await bench();
  const transaction = at.begin();
  const floating = [1, 2, 3].map((i) => transaction.sql`INSERT INTO ledger VALUES (${i})`);

  await transaction.commit();

  await Promise.all(floating);
  assertEquals(await at.ledger(), [1, 2, 3]);
});

const controls: [what: string, run: (sql: Sql) => Promise<unknown>][] = [
  ["COMMIT", (sql) => sql`COMMIT`],
  ["a lower-case commit with a comment before", (sql) => sql`/* done /* really */ */ -- now\n commit`],
  ["ROLLBACK through unsafe", (sql) => sql.unsafe("; ROLLBACK")],
  ["END", (sql) => sql`END`],
  ["ABORT", (sql) => sql`ABORT`],
  ["BEGIN", (sql) => sql`BEGIN`],
  ["PREPARE TRANSACTION", (sql) => sql`PREPARE TRANSACTION 'x'`],
];

Deno.test("Transaction refuses statements that begin or end one, and can continue", async () => {
  await using at = await bench();
  for (const [i, [what, run]] of controls.entries()) {
    const transaction = at.begin();
    await transaction.sql`INSERT INTO ledger VALUES (${i})`;

    await assertRejects(() => run(transaction.sql), FireflyError, "here as Firefly ends this transaction", what);

    assertEquals((await at.ledger()).length, i, what);
    await transaction.commit();
    assertEquals((await at.ledger()).length, i + 1, what);
  }
});

Deno.test("Transaction allows users to roll back to savepoints of their own", async () => {
  await using at = await bench();
  await runTransaction(at.begin(), async ({ sql }) => {
    await sql`INSERT INTO ledger VALUES (1)`;
    await sql`SAVEPOINT mine`;
    await sql`INSERT INTO ledger VALUES (1)`.catch(() => {});
    await sql`ROLLBACK TO SAVEPOINT mine`;
    await sql`INSERT INTO ledger VALUES (2)`;
  });

  assertEquals(await at.ledger(), [1, 2]);
});

Deno.test("Transaction takes one statement at a time: the server refuses a COMMIT after another", async () => {
  await using at = await bench();
  const transaction = at.begin();

  await assertRejects(
    () => transaction.sql.unsafe("INSERT INTO ledger VALUES (1); COMMIT"),
    Error,
    "multiple commands",
  );
  await transaction.rollback();

  assertEquals(await at.ledger(), []);
});
