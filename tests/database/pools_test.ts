import { assert, assertEquals, assertInstanceOf, assertLess, assertMatch, assertRejects } from "@std/assert";
import { type ConnectionSettings, resolveConnection } from "../../src/database/settings.ts";
import { Database, Pool } from "../../src/database/pools.ts";
import { withDeadline } from "../../src/database/deadline.ts";
import { openClient } from "../../src/database/driver.ts";
import { transactionControlOf } from "../../src/database/transaction_control.ts";
import { DatabaseUnreachable, FireflyError, SchemaMismatch } from "../../src/errors.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { until } from "../support/waiting.ts";
import { terminateConnections, type Terminations } from "../support/terminations.ts";
import { TcpProxy } from "../support/tcp_proxy.ts";

/** A database of Firefly's, closed at the end. */
function open(settings: ConnectionSettings): Database & AsyncDisposable {
  const database = new Database(settings, "firefly");
  return Object.assign(database, { [Symbol.asyncDispose]: () => database.end() });
}

/** Ends what runs a statement that contains `text`; resolves once there was one. */
async function terminateRunning(db: TestDatabase, text: string): Promise<void> {
  await until(async () => {
    const rows = await db.sql`
      SELECT pg_terminate_backend(pid)
      FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'active' AND query LIKE ${`%${text}%`}
      LIMIT 1
    `;
    return rows.length > 0;
  });
}

/** How long `act` takes, in milliseconds. */
async function timed(act: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await act();
  return performance.now() - start;
}

Deno.test("Database.sql rejects with DatabaseUnreachable when its connection dies, and serves the next statement", async () => {
  await using db = await testDatabase({ migrated: false });
  await using database = open(db.settings);
  const statement = assertRejects(
    () => database.sql`SELECT pg_sleep(30)`,
    DatabaseUnreachable,
    "Cannot reach the database",
  );

  await terminateRunning(db, "pg_sleep(30)");
  await statement;

  assertLess(await timed(() => database.sql`SELECT 1`), 1000);
});

Deno.test("Database.sql keeps the statements on other connections when one is lost", async () => {
  await using db = await testDatabase({ migrated: false });
  await using database = open(db.settings);
  const dying = assertRejects(() => database.sql`SELECT pg_sleep(30)`, DatabaseUnreachable);
  const others = [1, 2, 3].map((i) => database.sql`SELECT pg_sleep(0.5), ${i}::integer AS i`);

  await terminateRunning(db, "pg_sleep(30)");
  await dying;

  assertEquals((await Promise.all(others)).map(([row]) => row!.i), [1, 2, 3]);
});

Deno.test("Database.userSql settles every statement, waiting ones too, when all connections are lost", async () => {
  await using db = await testDatabase({ migrated: false });
  await using database = open(db.settings);
  // More than there are connections, each with a text of its own, which makes the driver hold those behind it back.
  const statements = Array.from(
    { length: 30 },
    (_, i) => database.userSql.unsafe(`SELECT pg_sleep(0.4), $1::int AS n${i}`, [i]),
  );
  const outcomes = withDeadline(Promise.allSettled(statements), 20_000);

  for (let i = 0; i < 4; i++) await terminateRunning(db, "pg_sleep(0.4)");

  for (const outcome of await outcomes) {
    if (outcome.status === "rejected") assertInstanceOf(outcome.reason, DatabaseUnreachable);
  }
});

Deno.test("Database makes no new connection for statements that waited for a lost one", async () => {
  await using db = await testDatabase({ migrated: false });
  await using database = open({ ...db.settings, options: { max: 1 } });
  const statements = [1, 2, 3, 4].map((i) => database.userSql.unsafe(`SELECT pg_sleep(1), $1::int AS n${i}`, [i]));
  const outcomes = Promise.allSettled(statements);

  await terminateRunning(db, "pg_sleep(1)");
  for (const outcome of await outcomes) assertEquals(outcome.status, "rejected");
  await new Promise((resolve) => setTimeout(resolve, 300)); // the driver would connect anew after a while

  const rows = await db.sql`
    SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'firefly'
  `;
  assertEquals(rows.length, 0);
});

Deno.test("Database.end() lets the statements finish that wait for a connection", async () => {
  await using db = await testDatabase({ migrated: false });
  const database = new Database(db.settings, "firefly");
  const statements = Array.from(
    { length: 20 },
    (_, i) => database.userSql.unsafe(`SELECT pg_sleep(0.05), $1::int AS n${i}`, [i]),
  );

  await database.end();

  assertEquals((await Promise.all(statements)).length, 20);
});

Deno.test("Database survives connections that break off while they are made", async () => {
  await using db = await testDatabase({ migrated: false });
  await using proxy = await TcpProxy.start(db.url);
  await using database = open(await resolveConnection(proxy.through(db.url)));
  let breaks = 0;
  proxy.onRequest = () => {
    if (breaks++ < 5) proxy.cut({ reset: true });
  };

  for (let i = 0; i < 5; i++) await assertRejects(() => database.sql`SELECT ${["a"]}::text[]`, DatabaseUnreachable);

  assertEquals((await database.sql`SELECT ${["a"]}::text[] AS list`)[0]!.list, ["a"]);
});

Deno.test("Database settles statements that are sent to a connection between its error and its end", async () => {
  await using db = await testDatabase({ migrated: false });
  await using proxy = await TcpProxy.start(db.url);
  const settings = await resolveConnection(proxy.through(db.url));
  await using database = open({ ...settings, options: { max: 1 } });

  for (let round = 0; round < 20; round++) {
    await database.userSql`SELECT 1`;
    const running = database.userSql`SELECT pg_sleep(5)`.catch((error) => error);
    const meanwhile: Promise<unknown>[] = [];
    const timer = setInterval(() => meanwhile.push(database.userSql`SELECT 1`.catch((error) => error)), 0);
    setTimeout(() => proxy.cut({ reset: true }), 5);
    assertInstanceOf(await withDeadline(running, 4000), DatabaseUnreachable);
    await new Promise((resolve) => setTimeout(resolve, 10));
    clearInterval(timer);
    await withDeadline(Promise.all(meanwhile), 4000);
  }
});

Deno.test("Database survives five seconds in which all of its connections are terminated again and again", async () => {
  await using db = await testDatabase({ migrated: false });
  await using database = open(db.settings);
  await using terminations: Terminations = terminateConnections(db, { seconds: 5 });
  const outcomes = { ok: 0, lost: 0 };

  async function work(i: number): Promise<void> {
    while (terminations.ongoing) {
      const statement = i % 2
        ? database.sql`SELECT ${[i]}::integer[] AS list, pg_sleep(${Math.random() / 200})`
        : database.userSql`SELECT ${i}::integer AS i, pg_sleep(${Math.random() / 200})`;
      try {
        await withDeadline(statement, 10_000);
        outcomes.ok++;
      } catch (error) {
        assertInstanceOf(error, DatabaseUnreachable, `${error}`);
        assert(!error.message.includes("no answer"), "A statement hung");
        outcomes.lost++;
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    }
  }
  await Promise.all(Array.from({ length: 16 }, (_, i) => work(i)));

  assert(outcomes.ok > 100 && outcomes.lost > 10, JSON.stringify({ ...outcomes, terminated: terminations.count }));
  assertLess(await timed(() => database.sql`SELECT 1`), 1000);
  assertLess(await timed(() => database.userSql`SELECT 1`), 1000);
});

Deno.test("Pool.run() rejects a statement that misses its deadline, and serves the next one", async () => {
  await using db = await testDatabase({ migrated: false });
  const pool = new Pool((onclose) => openClient(db.settings, { max: 1, onclose }), { max: 4, deadline: 300 });

  const error = await assertRejects(
    () => pool.run((client) => client`SELECT pg_sleep(3)`),
    Error,
    "no answer in 0.3 s",
  );
  const [row] = await pool.run<{ one: number }>((client) => client`SELECT 1 AS one`);
  await pool.end();

  assertEquals([(error as { code?: string }).code, row!.one], ["DEADLINE", 1]);
});

Deno.test("Pool.run() detects an unresponsive connection by its deadline", async () => {
  await using db = await testDatabase({ migrated: false });
  await using proxy = await TcpProxy.start(db.url);
  const settings = await resolveConnection(proxy.through(db.url));
  const pool = new Pool((onclose) => openClient(settings, { max: 1, onclose }), { max: 4, deadline: 500 });
  await pool.run((client) => client`SELECT 1`);

  proxy.mode = "hole";
  await assertRejects(() => pool.run((client) => client`SELECT 1`), Error, "no answer");
  proxy.mode = "pass";

  assertLess(await timed(() => pool.run((client) => client`SELECT 1`)), 500);
  await pool.end();
});

Deno.test("Pool.run() prefers an idle connection to a new one, and opens no more than `max`", async () => {
  await using db = await testDatabase({ migrated: false });
  let opened = 0;
  const pool = new Pool((onclose) => (opened++, openClient(db.settings, { max: 1, onclose })), { max: 3, deadline: 0 });

  for (let i = 0; i < 3; i++) await pool.run((client) => client`SELECT 1`);
  assertEquals(opened, 1);
  await Promise.all(Array.from({ length: 12 }, () => pool.run((client) => client`SELECT pg_sleep(0.02)`)));
  assertEquals(opened, 3);
  await pool.end();
});

Deno.test("Pool.run() never sends a statement to a connection that closes for being unused", async () => {
  await using db = await testDatabase({ migrated: false });
  let opened = 0;
  const open = (onclose: () => void) => (opened++, openClient(db.settings, { max: 1, onclose }));
  const pool = new Pool(open, { max: 1, deadline: 5000, idle: 10 });

  for (let i = 0; i < 80; i++) {
    await pool.run((client) => client`SELECT 1`);
    await new Promise((resolve) => setTimeout(resolve, 8 + (i % 10) / 2));
  }
  await pool.end();

  assert(opened > 2, `${opened} opened`);
});

/** The error of a statement on `url`. */
async function errorAt(url: string): Promise<DatabaseUnreachable> {
  await using database = open(await resolveConnection(url));
  const error = await assertRejects(() => database.sql`SELECT 1`, DatabaseUnreachable);
  assertMatch(error.message, /^Cannot reach the database at [^\n]+: [^\n]+$/);
  return error;
}

Deno.test("Database reports in one line that no server listens at the address", async () => {
  await using proxy = await TcpProxy.start("postgres://127.0.0.1:1/");
  const url = Object.assign(new URL(proxy.through("postgres://u:secret@127.0.0.1/app"))).href;
  await proxy[Symbol.asyncDispose]();

  const error = await errorAt(url);

  assertMatch(error.message, /ECONNREFUSED|refused/);
  assertEquals([error.refused, error.message.includes("secret")], [false, false]);
});

Deno.test("Database reports in one line that the password is wrong, without the password", async () => {
  await using db = await testDatabase({ migrated: false });
  const role = `firefly_test_${crypto.randomUUID().slice(0, 8)}`;
  // With trust authentication any password is right: such a server refuses a role that may not log in.
  await db.sql.unsafe(`CREATE ROLE ${role} NOLOGIN PASSWORD 'right'`);
  try {
    const error = await errorAt(Object.assign(new URL(db.url), { username: role, password: "wrong-secret" }).href);
    assertEquals([error.refused, error.message.includes("wrong-secret")], [true, false]);
  } finally {
    await db.sql.unsafe(`DROP ROLE ${role}`);
  }
});

Deno.test("Database reports in one line that there is no such database", async () => {
  await using db = await testDatabase({ migrated: false });
  const error = await errorAt(Object.assign(new URL(db.url), { pathname: "/firefly_no_such_database" }).href);

  assertMatch(error.message, /database "firefly_no_such_database" does not exist$/);
  assertEquals(error.refused, true);
});

Deno.test("Database reports that waiting may help while the server accepts no more clients", async () => {
  await using db = await testDatabase({ migrated: false });
  const role = `firefly_test_${crypto.randomUUID().slice(0, 8)}`;
  await db.sql.unsafe(`CREATE ROLE ${role} LOGIN PASSWORD 'right' CONNECTION LIMIT 0`);
  try {
    const error = await errorAt(Object.assign(new URL(db.url), { username: role, password: "right" }).href);
    assertEquals(error.refused, false);
  } finally {
    await db.sql.unsafe(`DROP ROLE ${role}`);
  }
});

Deno.test("Database says how to create a missing schema", async () => {
  await using db = await testDatabase({ migrated: false });
  await using database = open(db.settings);

  await assertRejects(
    () => database.sql`SELECT * FROM ${database.sql.schema}.task`,
    SchemaMismatch,
    'run the command "migrate"',
  );
});

Deno.test("Database.userSql passes the server's own errors on", async () => {
  await using db = await testDatabase({ migrated: false });
  await using database = open(db.settings);

  const error = await assertRejects(() => database.userSql`SELECT * FROM no_such_table`, Error, "no_such_table");

  assert(!(error instanceof FireflyError));
});

Deno.test("Database does not take an error that a function raises for the loss of its connection", async () => {
  await using db = await testDatabase({ migrated: false });
  await using database = open(db.settings);
  for (const code of ["08006", "28P01", "57P01", "53300"]) {
    const raise = `DO $$ BEGIN RAISE EXCEPTION 'made up' USING ERRCODE = '${code}'; END $$`;

    const error = await assertRejects(() => database.userSql.unsafe(raise), Error, "made up");

    assert(!(error instanceof FireflyError), code);
  }
});

Deno.test("Database.userSql refuses to begin a transaction on a shared connection", async () => {
  await using db = await testDatabase({ migrated: false });
  await using database = open(db.settings);

  await assertRejects(() => database.userSql`BEGIN`, FireflyError, "Cannot run BEGIN here");
  await assertRejects(() => database.userSql.unsafe("/* x */ start transaction"), FireflyError, "START TRANSACTION");
  await database.userSql`CREATE TABLE kept (i integer)`;

  assertEquals((await db.sql`SELECT to_regclass('kept')::text AS name`)[0]!.name, "kept");
});

Deno.test("Database.userSql runs one statement at a time, never several in one text", async () => {
  await using db = await testDatabase({ migrated: false });
  await using database = open(db.settings);

  await assertRejects(() => database.userSql.unsafe("SELECT 1; COMMIT"), Error, "multiple commands");
});

Deno.test("Database.userSql refuses a promise among its values", async () => {
  await using db = await testDatabase({ migrated: false });
  await using database = open(db.settings);

  await assertRejects(() => database.userSql`SELECT ${Promise.resolve(1)}`, FireflyError, "interpolates a promise");
});

const controls: [text: string, control: string | undefined][] = [
  ["COMMIT", "COMMIT"],
  ["commit work", "COMMIT"],
  ["  \n\tRollback", "ROLLBACK"],
  ["-- why\nEND", "END"],
  ["--\nABORT", "ABORT"],
  ["/* a */ -- b\n /* c */ BEGIN", "BEGIN"],
  ["/* /* nested */ COMMIT */ COMMIT", "COMMIT"],
  ["/*/*/ x */*/COMMIT", "COMMIT"],
  [";; ; COMMIT;", "COMMIT"],
  ["START   TRANSACTION READ ONLY", "START   TRANSACTION"],
  ["prepare transaction 'x'", "PREPARE TRANSACTION"],
  ["ROLLBACK TO SAVEPOINT a", undefined],
  ["rollback to a", undefined],
  ["ROLLBACK WORK TO a", undefined],
  ["ROLLBACK TRANSACTION TO SAVEPOINT a", undefined],
  ["SAVEPOINT a", undefined],
  ["RELEASE a", undefined],
  ["PREPARE plan AS SELECT 1", undefined],
  ["SELECT 'COMMIT'", undefined],
  ["/* /* nested */ COMMIT */ SELECT 1", undefined],
  ["/* COMMIT", undefined],
  ["INSERT INTO commit VALUES (1)", undefined],
  ["", undefined],
];

for (const [text, control] of controls) {
  Deno.test(`transactionControlOf() finds ${control} in ${JSON.stringify(text)}`, () => {
    assertEquals(transactionControlOf(text), control);
  });
}
