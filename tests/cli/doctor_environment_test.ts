import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import postgres from "postgres";
import { Firefly, FireflyError, task } from "../../mod.ts";
import { resolveConnection } from "../../src/database/settings.ts";
import { diagnose, type Diagnosis } from "../../src/doctor/doctor.ts";
import { Target } from "../../src/doctor/target.ts";
import { makeRoles } from "../../src/schema/roles.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { taskName } from "../support/instance.ts";
import { setForDatabase } from "../support/session_settings.ts";

task({ name: taskName() }, () => {}); // or there would be nothing to consume

/** What the checks find, by their names. */
async function findings({ url }: { url: string }, schema = "firefly"): Promise<Record<string, Diagnosis>> {
  const target = new Target({ settings: await resolveConnection(url), schema, names: [] });
  try {
    const all = await Array.fromAsync(diagnose(target));
    return Object.fromEntries(all.map((found) => [found.check, found]));
  } finally {
    target.end();
  }
}

/** The URL of a role that owns nothing and may use the tables. */
async function byRole(db: TestDatabase, role: string): Promise<string> {
  await db.sql.unsafe(`CREATE ROLE ${role} LOGIN PASSWORD 'secret'`);
  await db.sql.unsafe(`GRANT USAGE ON SCHEMA firefly TO ${role}`);
  await db.sql.unsafe(`GRANT ALL ON ALL TABLES IN SCHEMA firefly TO ${role}`);
  return Object.assign(new URL(db.url), { username: role, password: "secret" }).href;
}

Deno.test("doctor finds no drift after migrate --roles, and finds it where the roles' functions were made anew", async () => {
  await using db = await testDatabase();
  const roles = [...await db.sql`SELECT rolname FROM pg_roles WHERE rolname LIKE 'firefly\\_%'`].length;
  await makeRoles(db.settings, "firefly");
  try {
    assertEquals((await findings(db)).drift!.verdict, "ok");
    await db.sql`ALTER FUNCTION firefly._produce SECURITY INVOKER RESET ALL`;
    const { drift } = await findings(db);
    assertEquals([drift!.verdict, drift!.advice], ["wrong", [
      "Restore function _produce(json): firefly migrate --roles",
    ]]);
  } finally {
    await db.sql`DROP OWNED BY firefly_producer, firefly_consumer, firefly_viewer`;
    if (roles === 0) await db.sql`DROP ROLE firefly_producer, firefly_consumer, firefly_viewer`.catch(() => {});
  }
  await db.sql`ALTER FUNCTION firefly.schedule SECURITY DEFINER SET search_path = pg_catalog, pg_temp`;
  assertEquals((await findings(db)).drift!.verdict, "ok", "what dropped roles leave behind");
});

for (const hidden of ["task", "ready", "migration"]) {
  Deno.test(`doctor and consume() name the row-level security that hides the rows of ${hidden}`, async () => {
    await using db = await testDatabase();
    const role = `firefly_test_rls_${crypto.randomUUID().slice(0, 8)}`;
    const url = await byRole(db, role);
    try {
      assertEquals((await findings({ url }))["row security"]!.verdict, "ok");
      await db.sql.unsafe(`ALTER TABLE firefly.${hidden} ENABLE ROW LEVEL SECURITY`);

      const found = (await findings({ url }))["row security"]!;
      assertEquals(found.verdict, "wrong");
      assertStringIncludes(found.value, `row-level security hides the rows of ${hidden} from ${role}`);
      assertEquals(found.advice, [`Turn it off: ALTER TABLE "firefly"."${hidden}" DISABLE ROW LEVEL SECURITY`]);
      assertEquals((await findings(db))["row security"]!.verdict, "warning", "to the owner");
      await using ff = new Firefly({ database: url });
      await assertRejects(() => ff.consume({ drain: true }).finished, FireflyError, "row-level security hides");

      await db.sql.unsafe(`CREATE POLICY all_rows ON firefly.${hidden} TO ${role} USING (true)`);
      assertEquals((await findings({ url }))["row security"]!.verdict, "note", "with a policy");
    } finally {
      await db.sql.unsafe(`DROP OWNED BY ${role}`);
      await db.sql.unsafe(`DROP ROLE ${role}`);
    }
  });
}

Deno.test("doctor names a published table without a replica identity, and how to give it one", async () => {
  await using db = await testDatabase();
  await db.sql`CREATE PUBLICATION everything FOR ALL TABLES`;
  assertEquals((await findings(db)).publications!.verdict, "ok");
  await db.sql`ALTER TABLE firefly.slot REPLICA IDENTITY DEFAULT`;

  const { publications } = await findings(db);

  assertEquals([publications!.verdict, publications!.value, publications!.advice], [
    "wrong",
    "the server refuses UPDATE and DELETE on slot, published by everything",
    [`Give it a replica identity: ALTER TABLE "firefly"."slot" REPLICA IDENTITY FULL`],
  ]);
});

Deno.test("doctor names a schema that was renamed, under its new name and its old one", async () => {
  await using db = await testDatabase();
  await db.sql`ALTER SCHEMA firefly RENAME TO jobs`;

  const renamed = (await findings(db, "jobs"))["schema name"]!;
  assertEquals([renamed.verdict, renamed.value], [
    "wrong",
    '"jobs" was made as "firefly", which its functions still name',
  ]);
  assertStringIncludes(renamed.advice[0]!, 'ALTER SCHEMA "jobs" RENAME TO "firefly"');
  const old = (await findings(db))["schema name"]!;
  assertEquals(old.verdict, "note");
  assertStringIncludes(old.value, 'no schema "firefly", but "jobs"');
});

Deno.test("doctor names the settings of a database that Firefly overrides, and warns of those that it cannot", async () => {
  await using db = await testDatabase();
  const database = new URL(db.url).pathname.slice(1);
  assertEquals((await findings(db))["session settings"]!.verdict, "ok");
  await setForDatabase(db, { DateStyle: "German, DMY", default_transaction_isolation: "serializable" });

  const given = (await findings(db))["session settings"]!;
  assertEquals([given.verdict, given.value], [
    "note",
    "Firefly's connections use their own instead of DateStyle = German, DMY, default_transaction_isolation = serializable",
  ]);

  await setForDatabase(db, { session_replication_role: "replica" });
  const harmful = (await findings(db))["session settings"]!;
  assertEquals([harmful.verdict, harmful.advice], [
    "warning",
    [`Take it back: ALTER DATABASE ${database} RESET session_replication_role`],
  ]);
});

for (const [name, verdict] of [["LATIN1", "warning"], ["SQL_ASCII", "note"]] as const) {
  Deno.test(`doctor names the encoding ${name}, and what cannot be stored in it`, async () => {
    await using db = await testDatabase({ migrated: false });
    const database = `firefly_test_${name.toLowerCase()}_${crypto.randomUUID().slice(0, 8)}`;
    await db.sql.unsafe(`CREATE DATABASE ${database} TEMPLATE template0 ENCODING '${name}' LOCALE 'C'`);
    const url = Object.assign(new URL(db.url), { pathname: `/${database}` }).href;
    try {
      const { encoding } = await findings({ url });
      assertEquals(encoding!.verdict, verdict);
      assert(encoding!.value.startsWith(name), encoding!.value);
      assertStringIncludes(encoding!.advice[0]!, "ENCODING 'UTF8'");
    } finally {
      const admin = postgres(db.url, { max: 1 });
      await admin.unsafe(`DROP DATABASE ${database} WITH (FORCE)`);
      await admin.end();
    }
  });
}
