import { assert, assertEquals, assertInstanceOf, assertLess, assertRejects } from "@std/assert";
import { withDeadline } from "../../src/database/deadline.ts";
import { codeOf } from "../../src/database/error_codes.ts";
import { CommitUnknown, DatabaseUnreachable } from "../../src/errors.ts";
import { runTransaction } from "../../src/database/transaction.ts";
import { until } from "../support/waiting.ts";
import { testServer } from "../support/server.ts";
import { terminateConnections } from "../support/terminations.ts";
import { TcpProxy } from "../support/tcp_proxy.ts";
import { bench, pidOf, terminate } from "../support/transactions.ts";

Deno.test("Transaction rejects clearly and runs nothing more when its connection is lost in the middle, 50 times", async () => {
  await using at = await bench();
  for (let i = 0; i < 50; i++) {
    const transaction = at.begin();
    const { sql } = transaction;
    await sql`INSERT INTO ledger VALUES (${i})`;
    await terminate(at, await pidOf(transaction));

    // At once, before this side may have noticed, and later.
    const inserts = [1, 2, 3].map((n) => sql.unsafe(`INSERT INTO ledger VALUES ($1) /* ${n} */`, [1000 + i * 10 + n]));
    for (const outcome of await withDeadline(Promise.allSettled(inserts), 5000)) {
      assert(outcome.status === "rejected");
      assertInstanceOf(outcome.reason, DatabaseUnreachable);
    }
    await assertRejects(() => sql`INSERT INTO ledger VALUES (${1000 + i * 10})`, DatabaseUnreachable);
    assertEquals(await transaction.isLost(), true);
    if (i % 2) await transaction.rollback();
    else await assertRejects(() => transaction.commit(), CommitUnknown);
  }
  assertEquals(await at.ledger(), []);

  await runTransaction(at.begin(), async ({ sql }) => void await sql`INSERT INTO ledger VALUES (1)`);
  assertEquals(await at.ledger(), [1]);
});

Deno.test("Transaction accounts for every commit while connections are terminated at random", async () => {
  await using at = await bench({ max: 6 });
  await using terminations = terminateConnections(at.db, { seconds: 4 });
  const outcomes = { committed: new Set<number>(), failed: new Set<number>(), unknown: new Set<number>() };
  let last = 0;

  async function work(): Promise<void> {
    while (terminations.ongoing) {
      const i = ++last;
      const work = runTransaction(at.begin(), async (transaction) => {
        const { sql } = transaction;
        await sql`INSERT INTO ledger VALUES (${i})`;
        await Promise.all([
          sql`SELECT pg_sleep(${Math.random() / 200})`,
          sql.unsafe(`SELECT $1::int AS n${i % 50}`, [i]),
        ]);
        if (i % 3 === 0) await transaction.nested(async (inner) => void await inner.sql`SELECT ${i}::integer`);
      });
      try {
        await withDeadline(work, 12_000);
        outcomes.committed.add(i);
      } catch (error) {
        assert(codeOf(error) !== "DEADLINE", "A transaction hung");
        if (error instanceof CommitUnknown) outcomes.unknown.add(i);
        else {
          assertInstanceOf(error, DatabaseUnreachable, `${error}`);
          outcomes.failed.add(i);
        }
      }
    }
  }
  await Promise.all(Array.from({ length: 8 }, work));

  const ledger = await at.ledger();
  const { committed, failed, unknown } = outcomes;
  assertEquals(ledger.filter((i) => !committed.has(i) && !unknown.has(i)), []);
  assertEquals([...committed].filter((i) => !ledger.includes(i)), []);
  assert(
    committed.size > 50 && failed.size > 5,
    `${committed.size} committed, ${failed.size} failed, ${unknown.size} unknown, ${terminations.count} terminated`,
  );
});

Deno.test("Transaction.commit() rejects with CommitUnknown when the reply to COMMIT does not come", async () => {
  await using proxy = await TcpProxy.start((await testServer()).url);
  await using at = await bench({ url: (db) => proxy.through(db.url) });
  proxy.onRequest = (text) => {
    if (/\bCOMMIT\b/.test(text)) proxy.mode = "mute";
  };
  const transaction = at.begin({ deadline: 500 });
  await transaction.sql`INSERT INTO ledger VALUES (1)`;

  await assertRejects(() => transaction.commit(), CommitUnknown, "Cannot tell whether the transaction was committed");

  assertEquals(await at.ledger(), [1]); // which the client could not know
  proxy.mode = "pass";
  proxy.onRequest = () => {};
  await runTransaction(at.begin(), async ({ sql }) => void await sql`INSERT INTO ledger VALUES (2)`);
});

Deno.test("Transaction gives up beginning when the server does not answer", async () => {
  await using proxy = await TcpProxy.start((await testServer()).url);
  await using at = await bench({ max: 1, url: (db) => proxy.through(db.url) });
  await runTransaction(at.begin(), async ({ sql }) => void await sql`SELECT 1`);
  proxy.mode = "hole";

  const transaction = at.begin({ deadline: 300 });
  await assertRejects(() => transaction.sql`SELECT 1`, DatabaseUnreachable, "no answer in 0.3 s");
  await assertRejects(() => transaction.commit(), DatabaseUnreachable);
  proxy.mode = "pass";

  await runTransaction(at.begin(), async ({ sql }) => void await sql`SELECT 1`);
});

Deno.test("Transaction.abandon() in the middle of a statement frees its locks at the server at once", async () => {
  await using at = await bench();
  const transaction = at.begin();
  await transaction.sql`LOCK TABLE ledger IN ACCESS EXCLUSIVE MODE`;
  const sleeping = assertRejects(() => transaction.sql`SELECT pg_sleep(30)`, DatabaseUnreachable);
  await until(async () => {
    const rows = await at.db
      .sql`SELECT FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)%' AND wait_event = 'PgSleep'`;
    return rows.length > 0;
  });

  const start = performance.now();
  transaction.abandon();
  await at.ledger();

  assertLess(performance.now() - start, 2000);
  await sleeping;
  assertEquals(await transaction.isLost(), true);
});

Deno.test("Transaction.ping() after the end reaches no other transaction", async () => {
  await using at = await bench({ max: 1 });
  const first = at.begin();
  await first.sql`SELECT 1`;
  await first.commit();
  const second = at.begin({ setup: "SET LOCAL idle_in_transaction_session_timeout = 300;" });
  await second.sql`SELECT 1`;

  const pinging = setInterval(() => first.ping(), 50);
  await until(() => second.isLost());
  clearInterval(pinging);

  await assertRejects(() => second.sql`SELECT 1`, DatabaseUnreachable);
});

Deno.test("Transaction.ping() keeps the server from ending a transaction whose handler is slow", async () => {
  await using at = await bench();
  const transaction = at.begin({ setup: "SET LOCAL idle_in_transaction_session_timeout = 400;" });
  await transaction.sql`INSERT INTO ledger VALUES (1)`;

  for (let i = 0; i < 8; i++) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    transaction.ping();
  }
  await transaction.commit();

  assertEquals(await at.ledger(), [1]);
});
