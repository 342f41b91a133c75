import { assertEquals, assertRejects } from "@std/assert";
import type { Tag } from "../../src/database/driver.ts";
import { codeOf } from "../../src/database/error_codes.ts";
import { DatabaseUnreachable, FireflyError } from "../../src/errors.ts";
import { runTransaction } from "../../src/database/transaction.ts";
import { bench } from "../support/transactions.ts";

Deno.test("Transaction.commit() fails when a statement had failed and its error was swallowed, and names it", async () => {
  await using at = await bench();
  const transaction = at.begin();
  await transaction.sql`INSERT INTO ledger VALUES (1)`;
  await transaction.sql`SELECT 1 / 0`.catch(() => {});
  const later = await assertRejects(() => transaction.sql`SELECT 1`, FireflyError, "one of its statements failed");

  const error = await assertRejects(() => transaction.commit(), FireflyError, "one of its statements failed");

  assertEquals([(later.cause as Error).message, (error.cause as Error).message], Array(2).fill("division by zero"));
  assertEquals(await at.ledger(), []);
});

Deno.test("Transaction.commit() fails when the transaction could not begin and the error was swallowed", async () => {
  await using at = await bench({ url: () => "postgres://127.0.0.1:1/nowhere" });
  const transaction = at.begin();
  await transaction.sql`INSERT INTO ledger VALUES (1)`.catch(() => {});

  await assertRejects(() => transaction.commit(), DatabaseUnreachable);
});

Deno.test("Transaction.commit() throws the errors of deferred checks", async () => {
  await using at = await bench({ max: 1 });
  const transaction = at.begin();
  await transaction.sql`SET CONSTRAINTS ALL DEFERRED`;
  await transaction.sql`INSERT INTO ledger VALUES (1), (1)`;

  const error = await assertRejects(() => transaction.commit(), Error, "duplicate key");

  assertEquals([codeOf(error), error instanceof FireflyError, await at.ledger()], ["23505", false, []]);
  await runTransaction(at.begin(), async ({ sql }) => void await sql`INSERT INTO ledger VALUES (2)`);
});

Deno.test("Transaction.commit() sends its last statement with COMMIT, which commits nothing if that fails", async () => {
  await using at = await bench({ max: 1 });
  for (let i = 0; i < 3; i++) {
    const failing = at.begin();
    await failing.sql`INSERT INTO ledger VALUES (${i})`;
    await assertRejects(
      () => failing.commit({ run: (sql) => sql`SELECT 1 / ${0}::integer` }),
      Error,
      "division by zero",
    );
    assertEquals(await at.ledger(), Array.from({ length: i }, (_, j) => j));

    const transaction = at.begin();
    await transaction.sql`SELECT 1`;
    await transaction.commit({ run: (sql) => sql`INSERT INTO ledger VALUES (${i})` });
    assertEquals(await at.ledger(), Array.from({ length: i + 1 }, (_, j) => j));
  }
});

Deno.test("Transaction.commit() runs its last statement only inside, though the driver resends one that lost its plan", async () => {
  await using at = await bench({ max: 1 });
  const last = { run: (sql: Tag) => sql`INSERT INTO ledger VALUES (${1})` };
  const first = at.begin();
  await first.sql`SELECT 1`;
  await first.commit(last);
  await at.db.sql`DELETE FROM ledger`;

  const second = at.begin();
  await second.sql`DEALLOCATE ALL`;
  await assertRejects(() => second.commit(last), Error, "does not exist");

  assertEquals(await at.ledger(), []);
  await runTransaction(at.begin(), async ({ sql }) => void await sql`INSERT INTO ledger VALUES (2)`);
  assertEquals(await at.ledger(), [2]);
});

Deno.test("Transaction.commit() with a last statement throws an earlier failure, and the errors of deferred checks", async () => {
  await using at = await bench({ max: 1 });
  for (let i = 0; i < 2; i++) {
    const failed = at.begin();
    await failed.sql`SELECT 1 / 0`.catch(() => {});
    const error = await assertRejects(
      () => failed.commit({ run: (sql) => sql`SELECT ${1}::integer` }),
      FireflyError,
      "one of its statements failed",
    );
    assertEquals((error.cause as Error).message, "division by zero");

    const late = at.begin();
    await late.sql`SET CONSTRAINTS ALL DEFERRED`;
    await late.sql`INSERT INTO ledger VALUES (1), (1)`;
    await assertRejects(() => late.commit({ run: (sql) => sql`SELECT ${1}::integer` }), Error, "duplicate key");
  }
  assertEquals(await at.ledger(), []);
});
