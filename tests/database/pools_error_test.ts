import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { resolveConnection } from "../../src/database/settings.ts";
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
