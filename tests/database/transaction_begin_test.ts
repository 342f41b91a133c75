import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
} from "@std/assert";
import { statementOf } from "../../src/database/call_site.ts";
import { codeOf, isServerFault } from "../../src/database/error_codes.ts";
import { BEGIN_WRITING } from "../../src/database/session_settings.ts";
import { withDeadline } from "../../src/database/deadline.ts";
import { runTransaction, type Transaction } from "../../src/database/transaction.ts";
import { DatabaseUnreachable } from "../../src/errors.ts";
import { testServer } from "../support/server.ts";
import { TcpProxy } from "../support/tcp_proxy.ts";
import { type Bench, bench, guardSession, pidOf, slowDownBegin, terminate } from "../support/transactions.ts";
import { until } from "../support/waiting.ts";

/** A bench of one session, behind a proxy. */
async function proxiedBench(): Promise<Bench & { proxy: TcpProxy }> {
  const proxy = await TcpProxy.start((await testServer()).url);
  const at = await bench({ max: 1, url: (db) => proxy.through(db.url) });
  return Object.assign(at, {
    proxy,
    [Symbol.asyncDispose]: async () => {
      at.sessions.end();
      await at.db[Symbol.asyncDispose]();
      await proxy[Symbol.asyncDispose]();
    },
  });
}

async function untilSlow({ db }: Bench, pid: number): Promise<void> {
  await until(async () => {
    const [row] = await db.sql`SELECT wait_event FROM pg_stat_activity WHERE pid = ${pid}`;
    return row?.wait_event === "PgSleep";
  });
}

async function untilGone({ db }: Bench, pid: number): Promise<void> {
  await until(async () => (await db.sql`SELECT FROM pg_stat_activity WHERE pid = ${pid}`).length === 0);
}

async function isInTransaction({ db }: Bench, pid: number): Promise<boolean> {
  const [row] = await db.sql`SELECT state FROM pg_stat_activity WHERE pid = ${pid}`;
  return row?.state === "idle in transaction";
}

Deno.test("Transaction sends BEGIN together with its first statement on a session that is guarded", async () => {
  await using at = await proxiedBench();
  const requests: string[] = [];
  at.proxy.onRequest = (text) => requests.push(text);
  const sent: number[] = [];

  for (let i = 0; i < 4; i++) {
    requests.length = 0;
    const transaction = at.begin({ setup: "SET LOCAL idle_in_transaction_session_timeout = 30000;" });
    await transaction.sql`INSERT INTO ledger VALUES (${i})`;
    await transaction.commit({ run: (sql) => sql`SELECT ${i}::integer` });
    sent.push(requests.length);
  }

  // The first logs in and prepares the statements; the second has a BEGIN of its own.
  assertEquals(sent.slice(1), [3, 2, 2]);
  assertEquals(await at.ledger(), [0, 1, 2, 3]);
});

Deno.test("Transaction writes nothing by its first statement when BEGIN is cancelled, and fails by the error of BEGIN", async () => {
  await using at = await proxiedBench();
  const writes: [what: string, write: (transaction: Transaction, i: number) => Promise<unknown>][] = [
    ["new to the driver", ({ sql }, i) => sql`INSERT INTO ledger VALUES (${i})`],
    ["prepared", ({ sql }, i) => sql`INSERT INTO ledger VALUES (${i})`],
    ["without parameters", ({ sql }) => sql.unsafe("INSERT INTO ledger VALUES (-1)")],
    ["of the store", ({ statements }, i) => statements`INSERT INTO ledger VALUES (${i})`],
    ["in a function", ({ sql }) => sql`SELECT nextval('numbers')`],
    ["in a savepoint", (transaction, i) => transaction.nested(({ sql }) => sql`INSERT INTO ledger VALUES (${i})`)],
  ];
  await at.db.sql`CREATE SEQUENCE numbers`;
  for (const [i, [what, write]] of writes.entries()) {
    at.proxy.tamper = (text) => text;
    const pid = await guardSession(at);
    if (what === "prepared") {
      await runTransaction(at.begin(), (transaction) => write(transaction, 1000));
      await at.db.sql`DELETE FROM ledger`;
    }
    slowDownBegin(at.proxy);
    const transaction = at.begin();
    const writing = write(transaction, i).then(() => undefined, (error) => error);
    await untilSlow(at, pid);

    await at.db.sql`SELECT pg_cancel_backend(${pid})`;

    const error = await withDeadline(writing, 5000);
    assertEquals([codeOf(error), isServerFault(error), await at.ledger()], ["57014", true, []], what);
    assertStrictEquals(transaction.failure, error);
    for (const later of [transaction.sql`INSERT INTO ledger VALUES (-2)`, transaction.commit()]) {
      assertEquals(codeOf(await later.then(() => undefined, (error) => error)), "57014", what);
    }
    await untilGone(at, pid);
    assertEquals(await at.ledger(), [], what);
  }
  const [row] = await at.db.sql`SELECT is_called FROM numbers`;
  assertEquals(row!.is_called, false);
});

Deno.test("Transaction runs no statement outside when cancellations hit its BEGIN and the others at random", async () => {
  await using at = await bench();
  const committed: number[] = [];
  let [failed, last] = [0, 0];

  async function work(): Promise<void> {
    while (failed < 40) {
      const i = ++last;
      try {
        await runTransaction(at.begin(), async ({ sql }) => void await sql`INSERT INTO ledger VALUES (${i})`);
        committed.push(i);
      } catch (error) {
        assertEquals(codeOf(error), "57014", `${error}`);
        failed++;
      }
    }
  }
  async function cancel(): Promise<void> {
    while (failed < 40) {
      await at.db.sql`
        SELECT pg_cancel_backend(pid)
        FROM (
          SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'firefly'
        ) AS session, generate_series(1, 50)
      `;
    }
  }
  await Promise.all([cancel(), work(), work(), work(), work()]);

  assertEquals(await at.ledger(), committed.toSorted((a, b) => a - b));
  assert(committed.length > 50, `${committed.length} committed`);
});

Deno.test("Transaction writes nothing when its backend is terminated in BEGIN, or between it and the first statement", async () => {
  await using at = await proxiedBench();
  const statement = "INSERT INTO ledger VALUES ($1)";
  for (const where of ["in BEGIN", "after BEGIN"]) {
    at.proxy.tamper = (text) => text;
    const pid = await guardSession(at);
    if (where === "in BEGIN") slowDownBegin(at.proxy);
    // What is sent after BEGIN is held back.
    else at.proxy.tamper = (text) => text.slice(0, text.indexOf(BEGIN_WRITING) + BEGIN_WRITING.length + 2);
    const accepted = at.proxy.accepted;
    const transaction = at.begin();
    const writing = transaction.sql.unsafe(statement, [1]).then(() => undefined, (error) => error);
    if (where === "in BEGIN") await untilSlow(at, pid);
    else await until(() => isInTransaction(at, pid));

    await terminate(at, pid);

    const error = await withDeadline(writing, 5000);
    assertInstanceOf(error, DatabaseUnreachable, where);
    await assertRejects(() => transaction.sql`INSERT INTO ledger VALUES (2)`, DatabaseUnreachable);
    assertEquals([await transaction.isLost(), isServerFault(error)], [true, true], where);
    await transaction.rollback();
    await new Promise((resolve) => setTimeout(resolve, 200)); // a connection that the driver makes anew comes after a while
    assertEquals([at.proxy.accepted - accepted, await at.ledger()], [0, []], where);
  }
});

Deno.test("Transaction writes nothing when its connection is lost after BEGIN, however that is found out", async () => {
  await using at = await proxiedBench();
  for (const reset of [true, false]) {
    for (let i = 0; i < 10; i++) {
      const pid = await guardSession(at);
      const accepted = at.proxy.accepted;
      at.proxy.onRequest = (text) => {
        if (text.includes(BEGIN_WRITING)) at.proxy.cut({ reset });
      };

      const writing = at.begin().sql.unsafe(`INSERT INTO ledger VALUES ($1) /* ${i % 2} */`, [i]);

      await assertRejects(() => withDeadline(writing, 5000), DatabaseUnreachable);
      at.proxy.onRequest = () => {};
      await untilGone(at, pid);
      assertEquals([at.proxy.accepted - accepted, await at.ledger()], [0, []]);
    }
  }
});

Deno.test("Transaction.abandon() frees the locks of a first statement that was sent with BEGIN at once", async () => {
  await using at = await bench({ max: 1 });
  await guardSession(at);
  const transaction = at.begin();
  const first = transaction.sql`SELECT pg_advisory_xact_lock(1), pg_sleep(30)`;
  const rejected = assertRejects(() => first, DatabaseUnreachable);
  await until(async () => (await at.db.sql`SELECT FROM pg_locks WHERE locktype = 'advisory'`).length > 0);

  transaction.abandon();
  await withDeadline(at.db.sql`SELECT pg_advisory_lock(1)`, 3000);

  await rejected;
});

Deno.test("Transaction goes on after a first statement that the driver could not write, as alone", async () => {
  await using at = await bench({ max: 1 });
  const unwritable: [message: string, value: unknown][] = [
    ["Undefined values are not allowed", undefined],
    ["Invalid time value", "no time"],
    ["made up", {
      toString() {
        throw new Error("made up");
      },
    }],
  ];
  await at.db.sql`CREATE TABLE event (at timestamptz)`;
  for (const [i, [message, value]] of unwritable.entries()) {
    for (const isPrepared of [false, true]) {
      await guardSession(at);
      const insert = ({ sql }: Transaction, value: unknown) => sql`INSERT INTO event VALUES (${value})`;
      if (isPrepared) await runTransaction(at.begin(), (transaction) => insert(transaction, new Date()));

      const transaction = at.begin();
      const error = await assertRejects(() => withDeadline(insert(transaction, value), 3000), Error, message);

      assertStringIncludes(statementOf(error)!, "INSERT INTO event");
      await transaction.sql`INSERT INTO ledger VALUES (${i * 2 + Number(isPrepared)})`;
      await transaction.commit();
    }
  }
  assertEquals(await at.ledger(), [0, 1, 2, 3, 4, 5]);
});

Deno.test("Transaction takes another isolation, or none of its writes, by the first statement that is sent with BEGIN", async () => {
  await using at = await bench({ max: 1 });
  for (const level of ["REPEATABLE READ", "SERIALIZABLE", "READ COMMITTED"]) {
    await guardSession(at);
    await runTransaction(at.begin(), async ({ sql }) => {
      await sql.unsafe(`SET TRANSACTION ISOLATION LEVEL ${level}`);
      const [row] = await sql`SELECT current_setting('transaction_isolation') AS level`;
      assertEquals(row.level, level.toLowerCase());
    });
  }
  await guardSession(at);
  const transaction = at.begin();
  await transaction.sql`SET TRANSACTION READ ONLY`;
  const error = await assertRejects(() => transaction.sql`INSERT INTO ledger VALUES (1)`, Error, "read-only");
  await transaction.rollback();

  assertEquals([codeOf(error), isServerFault(error)], ["25006", false]);
});

Deno.test("Transaction leaves transactions read-only that an administrator made so, and never guards them", async () => {
  await using at = await bench({ max: 1 });
  const [{ name }] = await at.db.sql<[{ name: string }]>`SELECT current_database() AS name`;
  await at.db.sql.unsafe(`ALTER DATABASE ${name} SET default_transaction_read_only = on`);
  for (let i = 0; i < 3; i++) await runTransaction(at.begin(), pidOf);

  const error = await assertRejects(
    () => runTransaction(at.begin(), ({ sql }) => sql`INSERT INTO ledger VALUES (1)`),
    Error,
    "read-only",
  );

  assertEquals([codeOf(error), isServerFault(error)], ["25006", true]);
});

Deno.test("Transaction guards a session again whose guard a user has taken away", async () => {
  await using at = await bench({ max: 1 });
  const guards: (boolean | undefined)[] = [];
  async function note(): Promise<void> {
    const session = await at.sessions.take();
    guards.push(session.isGuarded);
    at.sessions.giveBack(session, true);
  }
  await guardSession(at);
  await note();
  for (const text of ["SET default_transaction_read_only = off", "RESET ALL"]) {
    await runTransaction(at.begin(), ({ sql }) => sql.unsafe(text));
    await note();
    await runTransaction(at.begin(), ({ sql }) => sql`INSERT INTO ledger VALUES (${guards.length})`);
    await note();
  }
  assertEquals(guards, [true, false, true, false, true]);
  assertEquals(await at.ledger(), [2, 4]);
});

Deno.test("Transaction does not run its first statement before BEGIN, though the session has lost its prepared statements", async () => {
  await using at = await bench({ max: 1 });
  const serialize = ({ sql }: Transaction) => sql`SET TRANSACTION ISOLATION LEVEL SERIALIZABLE`;
  const level = async (transaction: Transaction) => {
    await serialize(transaction);
    const [row] = await transaction.sql.unsafe("SELECT current_setting('transaction_isolation') AS level");
    return row!.level as string;
  };
  await guardSession(at);
  await runTransaction(at.begin(), level);
  await runTransaction(at.begin(), ({ sql }) => sql`DEALLOCATE ALL`);

  // The statement itself must be prepared anew, which aborts this transaction.
  await assertRejects(() => runTransaction(at.begin(), level), Error, "does not exist");
  assertEquals(await runTransaction(at.begin(), level), "serializable");
});
