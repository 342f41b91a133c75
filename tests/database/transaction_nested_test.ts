import { assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { FireflyError } from "../../src/errors.ts";
import { runTransaction } from "../../src/database/transaction.ts";
import { bench } from "../support/transactions.ts";

Deno.test("Transaction.nested() undoes an inner transaction that throws, and leaves the outer one usable", async () => {
  await using at = await bench();
  await runTransaction(at.begin(), async (outer) => {
    await outer.sql`INSERT INTO ledger VALUES (1)`;
    await assertRejects(
      () =>
        outer.nested(async ({ sql }) => {
          await sql`INSERT INTO ledger VALUES (2)`;
          await sql`SELECT 1 / 0`;
        }),
      Error,
      "division by zero",
    );
    await outer.nested(async ({ sql }) => void await sql`INSERT INTO ledger VALUES (3)`);
    await outer.sql`INSERT INTO ledger VALUES (4)`;
  });

  assertEquals(await at.ledger(), [1, 3, 4]);
});

Deno.test("Transaction.nested() undoes all of an inner transaction, including its changes before one nested in it failed", async () => {
  await using at = await bench();
  await runTransaction(at.begin(), async (outer) => {
    await outer.sql`INSERT INTO ledger VALUES (1)`;
    await assertRejects(() =>
      outer.nested(async (middle) => {
        await middle.sql`INSERT INTO ledger VALUES (2)`;
        await assertRejects(() =>
          middle.nested(async (inner) => {
            await inner.sql`INSERT INTO ledger VALUES (3)`;
            throw new Error("inner");
          })
        );
        throw new Error("middle");
      })
    );
  });

  assertEquals(await at.ledger(), [1]);
});

Deno.test("Transaction.nested() fails when a statement failed and its error was swallowed, and names it", async () => {
  await using at = await bench();
  const transaction = at.begin();

  const error = await assertRejects(
    () =>
      transaction.nested(async ({ sql }) => {
        await sql`INSERT INTO ledger VALUES (1)`;
        await sql`SELECT 1 / 0`.catch(() => {});
      }),
    FireflyError,
    "one of its statements failed",
  );
  assertEquals((error.cause as Error).message, "division by zero");

  await transaction.commit();
  assertEquals(await at.ledger(), []);
});

Deno.test("Transaction.nested() queues concurrent inner transactions, at every depth", async () => {
  await using at = await bench({ max: 1 });
  let [running, most] = [0, 0];

  await runTransaction(at.begin(), async (outer) => {
    await Promise.allSettled(Array.from({ length: 8 }, (_, i) =>
      outer.nested(async (middle) => {
        most = Math.max(most, ++running);
        await Promise.all([0, 1].map((j) =>
          middle.nested(async ({ sql }) => {
            await sql`INSERT INTO ledger VALUES (${i * 2 + j})`;
            await sql`SELECT pg_sleep(0.005)`;
          })
        ));
        running--;
        if (i % 2) throw new Error("odd");
      })));
  });

  assertEquals([most, await at.ledger()], [1, [0, 1, 4, 5, 8, 9, 12, 13]]);
});

Deno.test("Transaction.commit() waits for inner transactions that were not awaited", async () => {
  await using at = await bench();
  const transaction = at.begin();
  await transaction.sql`INSERT INTO ledger VALUES (1)`;
  const floating = transaction.nested(async ({ sql }) => {
    await sql`INSERT INTO ledger VALUES (2)`;
    await new Promise((resolve) => setTimeout(resolve, 50));
    await sql`INSERT INTO ledger VALUES (3)`;
  });

  await transaction.commit();
  await floating;

  assertEquals(await at.ledger(), [1, 2, 3]);
});

Deno.test("Transaction.nested() runs nothing outside of the outer transaction once that has ended", async () => {
  await using at = await bench({ max: 1 });
  for (const end of ["rollback", "abandon"] as const) {
    const transaction = at.begin();
    await transaction.sql`INSERT INTO ledger VALUES (1)`;
    const [inside, outerEnded] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const floating = assertRejects(
      () =>
        transaction.nested(async ({ sql }) => {
          await sql`INSERT INTO ledger VALUES (2)`;
          inside.resolve();
          await outerEnded.promise;
          await sql`INSERT INTO ledger VALUES (3)`;
        }),
      FireflyError,
    );
    await inside.promise;
    await transaction[end]();
    // Another transaction has the session now.
    await runTransaction(at.begin(), async ({ sql }) => void await sql`SELECT 1`);
    outerEnded.resolve();
    await floating;
  }

  assertEquals(await at.ledger(), []);
});

Deno.test("Transaction.nested() runs nothing after the ROLLBACK of the outer one, whenever that comes", async () => {
  await using at = await bench({ max: 1 });
  for (let i = 0; i < 40; i++) {
    const transaction = at.begin();
    await transaction.sql`SELECT 1`;
    const floating = transaction.nested(async ({ sql }) => void await sql`INSERT INTO ledger VALUES (${i})`);
    const settled = floating.catch((error) => assertInstanceOf(error, FireflyError));
    for (let turns = 0; turns < i % 10; turns++) await Promise.resolve();
    await transaction.rollback();
    await settled;
  }

  assertEquals(await at.ledger(), []);
});
