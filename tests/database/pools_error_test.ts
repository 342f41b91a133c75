import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import net from "node:net";
import { isServerFault } from "../../src/database/error_codes.ts";
import { Session } from "../../src/database/session.ts";
import { Sessions } from "../../src/database/sessions.ts";
import { type ConnectionSettings, resolveConnection } from "../../src/database/settings.ts";
import { runTransaction, Transaction } from "../../src/database/transaction.ts";
import { DatabaseUnreachable, FireflyError, SchemaMismatch } from "../../src/errors.ts";
import { testDatabase } from "../support/database.ts";
import { open } from "../support/connections.ts";
import { TcpProxy } from "../support/tcp_proxy.ts";

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

/** Settings that cannot connect, by an error that no list of codes needs to have. */
async function brokenSettings(): Promise<Record<string, { settings: ConnectionSettings; end?: () => void }>> {
  const server = net.createServer((socket) => {
    socket.on("error", () => {});
    // Accepts TLS, and speaks none.
    socket.once("data", () => socket.write("S", () => socket.once("data", () => socket.end("no TLS at all"))));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as net.AddressInfo;
  const settings = (options: object) => resolveConnection({ database: "app", username: "u", ...options });
  return {
    "a socket that is not there": { settings: await settings({ host: "/nonexistent/sockets" }) },
    "a server that speaks no TLS": {
      settings: await settings({ host: "127.0.0.1", port, ssl: { rejectUnauthorized: true } }),
      end: () => void server.close(),
    },
  };
}

Deno.test("Database and Session report any error of connecting as DatabaseUnreachable, which waiting may mend", async () => {
  for (const [what, { settings, end }] of Object.entries(await brokenSettings())) {
    await using database = open(settings);
    const session = new Session(settings);
    const statements: (() => Promise<unknown>)[] = [
      () => database.sql`SELECT 1`,
      () => database.userSql`SELECT 1`,
      () => session.run((client) => client`SELECT 1`),
    ];
    for (const statement of statements) {
      const error = await assertRejects(statement, DatabaseUnreachable);
      assertEquals(error.refused, false, what);
    }
    assert(session.lost);
    end?.();
  }
});

Deno.test("Database.sql runs a statement again that conflicts with another, a few times", async () => {
  await using db = await testDatabase({ migrated: false });
  await using database = open(db.settings);
  await db.sql.unsafe(`
    CREATE SEQUENCE calls;
    CREATE FUNCTION conflict(times int, code text) RETURNS int LANGUAGE plpgsql AS
    $$ BEGIN IF nextval('calls') <= times THEN RAISE EXCEPTION 'conflict' USING ERRCODE = code; END IF; RETURN 1; END $$`);

  for (const code of ["40001", "40P01"]) {
    await db.sql`SELECT setval('calls', 1, false)`;
    const [row] = await database.sql`SELECT conflict(3, ${code}) AS one`;
    assertEquals(row!.one, 1);
  }
  const error = await assertRejects(() => database.sql`SELECT conflict(1000, '40001') AS one`, Error, "conflict");
  assert(isServerFault(error));
  await assertRejects(() => database.userSql`SELECT conflict(1000, '40001')`, Error, "conflict");
});

Deno.test("Database connects anew after a server took no writes: another one may answer", async () => {
  await using db = await testDatabase({ migrated: false });
  await using database = open(db.settings);
  const [{ name }] = await db.sql<[{ name: string }]>`SELECT current_database() AS name`;
  await db.sql`CREATE TABLE effect (n int)`;
  await db.sql.unsafe(`ALTER DATABASE ${name} SET default_transaction_read_only = on`);
  await assertRejects(() => database.sql`INSERT INTO effect VALUES (1)`, Error, "read-only");
  await using sessions = Object.assign(new Sessions(() => new Session(db.settings), 1), {
    [Symbol.asyncDispose]: () => Promise.resolve(sessions.end()),
  });
  const write = () =>
    runTransaction(Transaction.on(sessions, { schema: "firefly" }), async ({ sql }) => {
      await sql`INSERT INTO effect VALUES (2)`;
    });
  await assertRejects(write, Error, "read-only");

  await db.sql.unsafe(
    `SET default_transaction_read_only = off; ALTER DATABASE ${name} RESET default_transaction_read_only`,
  );

  await database.sql`INSERT INTO effect VALUES (1)`;
  await write();
  assertEquals((await db.sql`SELECT FROM effect`).length, 2);
});
