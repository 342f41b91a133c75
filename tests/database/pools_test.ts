import { assert, assertEquals, assertInstanceOf, assertLess, assertRejects } from "@std/assert";
import { resolveConnection } from "../../src/database/settings.ts";
import { Pool } from "../../src/database/pool.ts";
import { Database } from "../../src/database/pools.ts";
import { withDeadline } from "../../src/database/deadline.ts";
import { openClient } from "../../src/database/driver.ts";
import { DatabaseUnreachable, FireflyError } from "../../src/errors.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { open } from "../support/connections.ts";
import { until } from "../support/waiting.ts";
import { terminateConnections, type Terminations } from "../support/terminations.ts";
import { TcpProxy } from "../support/tcp_proxy.ts";

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
    await new Promise((resolve) => setTimeout(resolve, 8 + i % 10));
  }
  await pool.end();

  assert(opened > 2, `${opened} opened`);
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
