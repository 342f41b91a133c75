import { assertEquals, assertRejects } from "@std/assert";
import type { Tag } from "../../src/database/driver.ts";
import { codeOf, isServerFault } from "../../src/database/error_codes.ts";
import { DatabaseUnreachable, FireflyError } from "../../src/errors.ts";
import { runTransaction } from "../../src/database/transaction.ts";
import { bench } from "../support/transactions.ts";

function insert(i: number) {
  return { run: (sql: Tag) => sql`INSERT INTO ledger VALUES (${i}) RETURNING i` };
}

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
    await transaction.commit(insert(i));
    assertEquals(await at.ledger(), Array.from({ length: i + 1 }, (_, j) => j));
  }
});

Deno.test("Transaction.commit() runs its last statement though a statement of the user's has dropped what was prepared", async () => {
  await using at = await bench({ max: 1 });
  for (const [i, text] of ["SELECT 1", "DEALLOCATE ALL", "DISCARD PLANS", "SELECT 2"].entries()) {
    const transaction = at.begin();
    await transaction.nested(async ({ sql }) => void await sql.unsafe(text));
    await transaction.commit(insert(i));
  }
  const undone = at.begin();
  await undone.sql`DEALLOCATE ALL`;
  await undone.rollback();
  const next = at.begin();
  await next.sql`SELECT 1`;
  await next.commit(insert(4));

  assertEquals(await at.ledger(), [0, 1, 2, 3, 4]);
});

Deno.test("Transaction.commit() fails as by a fault of the server where a function has dropped what was prepared", async () => {
  await using at = await bench({ max: 1 });
  const first = at.begin();
  await first.sql`SELECT 1`;
  await first.commit(insert(1));

  const second = at.begin();
  await second.sql`DO $$ BEGIN EXECUTE 'DEAL' || 'LOCATE ALL'; END $$`;
  const error = await assertRejects(() => second.commit(insert(2)), Error, "does not exist");

  assertEquals([isServerFault(error), await at.ledger()], [true, [1]]);
  const third = at.begin();
  await third.sql`SELECT 1`;
  await third.commit(insert(3));
  assertEquals(await at.ledger(), [1, 3]);
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
