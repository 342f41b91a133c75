import { assert, assertEquals, assertInstanceOf, assertLess, assertRejects, assertStrictEquals } from "@std/assert";
import { resolveConnection } from "../../src/database/settings.ts";
import { withDeadline } from "../../src/database/deadline.ts";
import type { Tag } from "../../src/database/driver.ts";
import { codeOf } from "../../src/database/error_codes.ts";
import { CommitUnknown, DatabaseUnreachable, FireflyError } from "../../src/errors.ts";
import { Session, Sessions } from "../../src/database/session.ts";
import type { Sql } from "../../src/sql.ts";
import { endBackend } from "../../src/store/consumers.ts";
import { runTransaction, Transaction } from "../../src/database/transaction.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { until } from "../support/waiting.ts";
import { testServer } from "../support/server.ts";
import { terminateConnections } from "../support/terminations.ts";
import { TcpProxy } from "../support/tcp_proxy.ts";

/** A database with a table `ledger (i integer)`, and what transactions on it need. */
interface Bench extends AsyncDisposable {
  db: TestDatabase;
  sessions: Sessions;
  /** A transaction, not begun yet. */
  begin(options?: { setup?: string; deadline?: number }): Transaction;
  /** What the ledger holds. */
  ledger(): Promise<number[]>;
}

async function bench({ max = 4, url }: { max?: number; url?: (db: TestDatabase) => string } = {}): Promise<Bench> {
  const db = await testDatabase({ migrated: false });
  await db.sql`CREATE TABLE ledger (i integer UNIQUE DEFERRABLE)`;
  const settings = await resolveConnection(url?.(db) ?? db.url);
  const terminate = (pid: number) => void endBackend(db.store, pid).catch(() => {});
  const sessions = new Sessions(() => new Session(settings, { terminate }), max);
  return {
    db,
    sessions,
    begin: (options = {}) => Transaction.on(sessions, { schema: "firefly", ...options }),
    ledger: async () => (await db.sql`SELECT i FROM ledger ORDER BY i`).map(({ i }) => i),
    async [Symbol.asyncDispose]() {
      sessions.end();
      await db[Symbol.asyncDispose]();
    },
  };
}

async function pidOf({ sql }: Transaction): Promise<number> {
  const [row] = await sql`SELECT pg_backend_pid() AS pid`;
  return row.pid;
}

async function terminate({ db }: Bench, pid: number): Promise<void> {
  await db.sql`SELECT pg_terminate_backend(${pid})`;
}

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
    if (text.includes("COMMIT")) proxy.mode = "mute";
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
