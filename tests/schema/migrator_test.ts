import { assert, assertEquals, assertRejects } from "@std/assert";
import { Database } from "../../src/database/pools.ts";
import { resolveConnection } from "../../src/database/settings.ts";
import { DatabaseUnreachable, SchemaMismatch } from "../../src/errors.ts";
import { type Migration, MIGRATIONS } from "../../src/schema/migrations.ts";
import { migrate, migrationStates, pendingText, requireSchema } from "../../src/schema/migrator.ts";
import { Session } from "../../src/database/session.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { until } from "../support/waiting.ts";
import { TcpProxy } from "../support/tcp_proxy.ts";

const A: Migration = { version: 1, name: "a", sql: 'CREATE TABLE "firefly".a (i integer);' };
const B: Migration = {
  version: 2,
  name: "b",
  sql: 'CREATE TABLE "firefly".b (i integer); INSERT INTO "firefly".b VALUES (1);',
};

function run(db: TestDatabase, migrations: readonly Migration[]): ReturnType<typeof migrate> {
  return migrate(db.settings, "firefly", () => {}, migrations);
}

/** The tables of the schema. */
async function tables(db: TestDatabase): Promise<string[]> {
  const rows = await db.sql`SELECT tablename FROM pg_tables WHERE schemaname = 'firefly' ORDER BY tablename`;
  return rows.map(({ tablename }) => tablename);
}

Deno.test("migrate() creates the schema from nothing, and then has nothing to do", async () => {
  await using db = await testDatabase({ migrated: false });

  const first = await migrate(db.settings, "firefly");
  const second = await migrate(db.settings, "firefly");

  assertEquals(first.map(({ version }) => version), MIGRATIONS.map(({ version }) => version));
  assert(first.every(({ applied }) => applied instanceof Date));
  assertEquals(second, []);
});

Deno.test("migrate() applies missing migrations in order, and reports each", async () => {
  await using db = await testDatabase({ migrated: false });
  await run(db, [A]);
  const reported: string[] = [];

  const done = await migrate(db.settings, "firefly", (message) => reported.push(message), [A, B]);

  // The connection that migrated before may still hold its lock for a moment.
  const applying = reported.filter((message) => message.startsWith("Applying"));
  assertEquals([done.map(({ name }) => name), applying], [["b"], ["Applying migration 2 b"]]);
  assertEquals(await tables(db), ["a", "b", "migration"]);
});

Deno.test("migrate() may be called by any number of processes at once", async () => {
  await using db = await testDatabase({ migrated: false });

  const done = await Promise.all(Array.from({ length: 6 }, () => migrate(db.settings, "firefly")));

  assertEquals(done.flat().map(({ version }) => version), MIGRATIONS.map(({ version }) => version));
});

Deno.test("migrate() waits while another process migrates, and reports it", async () => {
  await using db = await testDatabase({ migrated: false });
  const other = await db.sql.reserve();
  await other`SELECT pg_advisory_lock(hashtextextended('firefly:migrate', 0))`;
  const reported: string[] = [];
  const waiting = migrate(db.settings, "firefly", (message) => reported.push(message), [A]);
  await until(() => reported.length > 0);

  assertEquals([reported, await tables(db)], [["Another process is migrating, waiting for it"], []]);
  await other`SELECT pg_advisory_unlock_all()`;
  other.release();

  assertEquals((await waiting).length, 1);
});

Deno.test("migrate() rolls back a migration that fails", async () => {
  await using db = await testDatabase({ migrated: false });
  const broken: Migration = { version: 2, name: "broken", sql: `${B.sql} SELECT 1 / 0;` };

  await assertRejects(() => run(db, [A, broken]), Error, "division by zero");

  assertEquals(await tables(db), ["a", "migration"]);
  assertEquals((await run(db, [A, B])).map(({ name }) => name), ["b"]);
});

Deno.test("migrate() refuses a migration that was changed after it was applied", async () => {
  await using db = await testDatabase({ migrated: false });
  await run(db, [A]);
  const changed = { ...A, sql: `${A.sql} -- better` };

  await assertRejects(() => run(db, [changed, B]), SchemaMismatch, "migration 1 a is not the one that was applied");

  assertEquals(await tables(db), ["a", "migration"]);
});

Deno.test("migrate() leaves a newer schema alone that this release can work with", async () => {
  await using db = await testDatabase({ migrated: false });
  await run(db, [A, B]);

  assertEquals(await run(db, [A]), []);
  const database = new Database(db.settings, "firefly");
  await requireSchema(database.sql, "firefly", [A]);
  await database.end();
});

Deno.test("migrate() and requireSchema() refuse a schema that is too new for this release", async () => {
  await using db = await testDatabase({ migrated: false });
  await run(db, [A, { ...B, oldest: 2 }]);
  const database = new Database(db.settings, "firefly");

  await assertRejects(
    () => run(db, [A]),
    SchemaMismatch,
    "needs a release that knows migration 2, and this one knows 1",
  );
  await assertRejects(() => requireSchema(database.sql, "firefly", [A]), SchemaMismatch, "update the package");
  await requireSchema(database.sql, "firefly", [A, B]);
  await database.end();
});

Deno.test("requireSchema() refuses a schema that is missing or too old, and names the command", async () => {
  await using db = await testDatabase({ migrated: false });
  const database = new Database(db.settings, "firefly");

  await assertRejects(
    () => requireSchema(database.sql, "firefly"),
    SchemaMismatch,
    'does not exist: run the command "migrate"',
  );
  await run(db, [A]);
  await assertRejects(
    () => requireSchema(database.sql, "firefly", [A, B]),
    SchemaMismatch,
    'is at version 1 and this release needs 2: run the command "migrate"',
  );
  await database.end();
});

Deno.test("migrationStates() has the time of each migration that was applied", async () => {
  await using db = await testDatabase({ migrated: false });
  const database = new Database(db.settings, "firefly");
  const states = async () => (await migrationStates(database.sql, [A, B])).map(({ applied }) => applied !== null);

  assertEquals(await states(), [false, false]);
  await run(db, [A]);
  assertEquals(await states(), [true, false]);
  await database.end();
});

Deno.test("pendingText() does in psql all that migrate() would do", async () => {
  await using db = await testDatabase({ migrated: false });
  const database = new Database(db.settings, "other");

  const text = pendingText(await migrationStates(database.sql), "other");
  const session = new Session(db.settings);
  await session.run((client) => client.unsafe(text));
  session.discard();

  assertEquals(await migrate(db.settings, "other"), []);
  await requireSchema(database.sql, "other");
  const [row] = await db.sql`SELECT other.schedule('psql') AS id`;
  assertEquals(Number(row!.id), 1);
  await database.end();
});

Deno.test("migrate() runs a migration that cannot be in a transaction statement by statement", async () => {
  await using db = await testDatabase({ migrated: false });
  const index: Migration = {
    version: 2,
    name: "index",
    transaction: false,
    sql: `-- firefly: no transaction
-- An invalid leftover goes first;
DROP INDEX CONCURRENTLY IF EXISTS "firefly".a_i;
CREATE INDEX CONCURRENTLY a_i
  ON "firefly".a (i);
`,
  };

  await run(db, [A, index]);

  assertEquals((await db.sql`SELECT FROM pg_indexes WHERE indexname = 'a_i'`).length, 1);
  assertEquals(await run(db, [A, index]), []);
});

Deno.test("migrate() keeps no transaction open while it waits for another process that migrates", async () => {
  await using db = await testDatabase({ migrated: false });
  const holder = await db.sql.reserve();
  await holder`SELECT pg_advisory_lock(hashtextextended('firefly:migrate', 0))`;
  const waits = Promise.withResolvers<void>();
  const migrating = migrate(db.settings, "firefly", () => waits.resolve(), [A]);
  await waits.promise;

  // CREATE INDEX CONCURRENTLY of the other process may wait for the end of a transaction that had a snapshot.
  await until(async () => {
    const open = await db.sql`
      SELECT FROM pg_stat_activity
      WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()
    `;
    return open.count === 0;
  }, 2_000);
  await holder`SELECT pg_advisory_unlock(hashtextextended('firefly:migrate', 0))`;
  holder.release();

  assertEquals((await migrating).length, 1);
});

Deno.test("migrate() does not deadlock with itself over a concurrent index", async () => {
  await using db = await testDatabase({ migrated: false });
  const index: Migration = {
    version: 2,
    name: "index",
    transaction: false,
    sql: 'CREATE INDEX CONCURRENTLY IF NOT EXISTS a_i ON "firefly".a (i);',
  };

  const done = await Promise.all(Array.from({ length: 5 }, () => run(db, [A, index])));

  assertEquals(done.flat().length, 2);
});

Deno.test("migrate() lets other statements pass while a transaction holds a lock that it needs, and tries again", async () => {
  await using db = await testDatabase({ migrated: false });
  await run(db, [A]);
  const holder = await db.sql.reserve();
  await holder`BEGIN`;
  await holder`LOCK TABLE firefly.a IN ACCESS SHARE MODE`;
  const alter: Migration = { version: 2, name: "alter", sql: 'ALTER TABLE "firefly".a ADD COLUMN j integer;' };
  const migrating = run(db, [A, alter]);
  await until(async () =>
    (await db.sql`SELECT FROM pg_locks WHERE NOT granted AND relation = 'firefly.a'::regclass`).length > 0
  );

  // Waits behind the ALTER until that gives up, although the holder keeps its lock meanwhile.
  await db.sql`SELECT FROM firefly.a`;
  await holder`COMMIT`;
  holder.release();

  assertEquals((await migrating).map(({ name }) => name), ["alter"]);
});

Deno.test("migrate() gives up on an address where no server answers", async () => {
  await using db = await testDatabase({ migrated: false });
  await using proxy = await TcpProxy.start(db.url);
  proxy.mode = "reject";
  const settings = await resolveConnection(proxy.through(db.url));

  await assertRejects(() => migrate(settings, "firefly"), DatabaseUnreachable);
});
