import { assert, assertEquals } from "@std/assert";
import { resolveConnection } from "../../src/database/settings.ts";
import { Database } from "../../src/database/pools.ts";
import { mayVacuumReady, vacuumReady } from "../../src/store/vacuum.ts";
import { ReadyVacuum } from "../../src/claim/vacuum_ready.ts";
import { testDatabase } from "../support/database.ts";
import { counting } from "../support/statements.ts";

Deno.test("vacuumReady() clears away rows that were claimed", async () => {
  await using db = await testDatabase();
  await db.sql`INSERT INTO firefly.task (func_name) SELECT 'test.task' FROM generate_series(1, 5000)`;
  await db.sql`DELETE FROM firefly.ready`;

  await vacuumReady(db.store);

  // A page that was cleared is used again: the table does not grow.
  const size = async () => (await db.sql`SELECT pg_relation_size('firefly.ready')::int AS bytes`)[0]!.bytes;
  const before = await size();
  await db.sql`INSERT INTO firefly.task (func_name) SELECT 'test.task' FROM generate_series(1, 5000)`;
  assertEquals(await size(), before);
});

Deno.test("ReadyVacuum clears away after 20,000 rows, and not again at once", async () => {
  await using db = await testDatabase();
  const sql = counting(db.store);
  const failures: unknown[] = [];
  const vacuum = new ReadyVacuum(sql, { onError: (error) => void failures.push(error), onSuccess() {} });

  vacuum.note(19_999);
  await vacuum.idle();
  assertEquals(sql.calls, 0);
  vacuum.note(1);
  await vacuum.idle();
  assertEquals(sql.calls, 2, "whether it may, and the vacuum");
  vacuum.note(20_000);
  await vacuum.idle();

  assertEquals([sql.calls, failures], [2, []]);
});

Deno.test("ReadyVacuum leaves it to autovacuum where the role does not own the table", async () => {
  await using db = await testDatabase();
  const role = `test_${crypto.randomUUID().slice(0, 8)}`;
  await db.sql.unsafe(`CREATE ROLE ${role} LOGIN PASSWORD 'test'; GRANT USAGE ON SCHEMA firefly TO ${role}`);
  const url = Object.assign(new URL(db.url), { username: role, password: "test" }).href;
  const other = new Database(await resolveConnection(url), "firefly");
  try {
    assert(await mayVacuumReady(db.store));
    assert(!await mayVacuumReady(other.sql));
    const sql = counting(other.sql);
    const failures: unknown[] = [];
    const vacuum = new ReadyVacuum(sql, { onError: (error) => void failures.push(error), onSuccess() {} });
    vacuum.note(20_000);
    await vacuum.idle();
    assertEquals([sql.calls, failures], [1, []], "it has asked, and no more");
  } finally {
    await other.end();
    await db.sql.unsafe(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  }
});
