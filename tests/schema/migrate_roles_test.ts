import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { FireflyError } from "../../mod.ts";
import { resolveConnection } from "../../src/database/settings.ts";
import { MIGRATIONS } from "../../src/schema/migrations.ts";
import { migrate, migrationText } from "../../src/schema/migrator.ts";
import { makeRoles, rolesText } from "../../src/schema/roles.ts";
import { testProject } from "../support/project.ts";
import { grantLogins, type RolesDatabase, rolesDatabase } from "../support/roles.ts";

const DENIED = "42501";

let roles: RolesDatabase;
Deno.test.beforeAll(async () => {
  roles = await rolesDatabase();
});
Deno.test.afterAll(async () => await roles[Symbol.asyncDispose]());

Deno.test("every table, view, sequence and function of the schema is granted to the roles listed, and no other", async () => {
  const { db, schema } = roles;
  const found: Record<string, string> = {};
  for (const kind of ["producer", "consumer", "viewer"] as const) {
    const role = `${schema}_${kind}`;
    const rows = await db.sql`
      SELECT relname AS name, has_table_privilege(${role}, oid, 'SELECT') AS r,
        has_any_column_privilege(${role}, oid, 'INSERT, UPDATE') OR has_table_privilege(${role}, oid, 'DELETE') AS w,
        has_table_privilege(${role}, oid, 'TRUNCATE, REFERENCES, TRIGGER') AS x, false AS u
      FROM pg_class WHERE relnamespace = ${schema}::regnamespace AND relkind NOT IN ('i', 'S', 'c')
      UNION ALL
      SELECT relname, has_sequence_privilege(${role}, oid, 'SELECT'), has_sequence_privilege(${role}, oid, 'UPDATE'),
        false, has_sequence_privilege(${role}, oid, 'USAGE')
      FROM pg_class WHERE relnamespace = ${schema}::regnamespace AND relkind = 'S'
      UNION ALL
      SELECT proname || '()', false, false, has_function_privilege(${role}, oid, 'EXECUTE'), false
      FROM pg_proc WHERE pronamespace = ${schema}::regnamespace
    `;
    for (const { name, r, w, x, u } of rows) {
      const letters = `${r ? "r" : ""}${w ? "w" : ""}${x ? "x" : ""}${u ? "u" : ""}`;
      found[name] = `${found[name] ?? ""} ${letters ? `${kind}:${letters}` : ""}`.trim();
    }
  }
  // Helpers are for consumers alone: they need no line below.
  const helpers = Object.keys(found).filter((name) => /^_\w+\(\)$/.test(name) && !(name in DECIDED));
  for (const name of helpers) {
    assertEquals([name, found[name]], [name, "consumer:x"]);
    delete found[name];
  }
  assertEquals(found, DECIDED, "Decide who may use what is new, in grantsText() and here");
});

const TABLES = [
  ..."alert consumer_process cron cron_slot definition ended error_group result_waiter retention signal slot step task task_log unfinished_import unique_key waiting"
    .split(" "),
  ..."_limit_queue step_json task_json task_record wait".split(" "),
];
/** What the role viewer may read, too. */
const VIEWED = [
  ..."claim_batch consumer dependency failed_task queue queue_minute ready task_minute".split(" "),
  ..."_claimed_run _claimed_task _ready_task consumer_record cron_record error_overview task_overview".split(" "),
];
const FUNCTIONS = [
  ..."cancel channel control_channel decode encode encode_raw ended_channel explain fork graph mermaid pause pause_cron queues_channel"
    .split(" "),
  ..."reschedule resume resume_cron retry run run_cron try_decode".split(" "),
];
/** Who may do what: `r` read, `w` write, `x` execute, `u` take the next number. */
const DECIDED: Record<string, string> = {
  ...Object.fromEntries(TABLES.map((name) => [name, "consumer:rw"])),
  ...Object.fromEntries(FUNCTIONS.map((name) => [`${name}()`, "consumer:x"])),
  ...Object.fromEntries(VIEWED.map((name) => [name, "consumer:rw viewer:r"])),
  "migration": "consumer:r viewer:r",
  "signal_id_seq": "consumer:u",
  "task_id_seq": "consumer:u",
  "consumer_process_id_seq": "consumer:u",
  "task_log_id_seq": "consumer:u",
  "schedule()": "producer:x consumer:x",
  ...Object.fromEntries(
    ["_produce()", "signal()", "signal_by_key()", "_signal()", "_signal_by_key()"].map((
      name,
    ) => [name, "producer:x consumer:x"]),
  ),
};

// _notify() has no search_path, as that costs every INSERT: security_test.ts shows that it needs none.
Deno.test("exactly eight functions act as their owner, and all but _notify() pin the search_path with pg_temp last", async () => {
  const rows = await roles.db.sql`
    SELECT proname, proconfig FROM pg_proc WHERE pronamespace = ${roles.schema}::regnamespace AND prosecdef ORDER BY 1
  `;
  const pinned = ["search_path=pg_catalog, pg_temp"];
  assertEquals(rows.map((row) => [row.proname, row.proconfig]), [
    ["_default_queue", pinned],
    ["_notify", null],
    ["_produce", pinned],
    ["_signal", pinned],
    ["_signal_by_key", pinned],
    ["schedule", pinned],
    ["signal", pinned],
    ["signal_by_key", pinned],
  ]);
});

Deno.test("nothing of the schema is granted to PUBLIC once there are roles", async () => {
  const rows = await roles.db.sql`
    SELECT relname AS name FROM pg_class, aclexplode(COALESCE(relacl, acldefault('r', relowner))) AS granted
    WHERE relnamespace = ${roles.schema}::regnamespace AND grantee = 0
    UNION ALL
    SELECT proname FROM pg_proc, aclexplode(COALESCE(proacl, acldefault('f', proowner))) AS granted
    WHERE pronamespace = ${roles.schema}::regnamespace AND grantee = 0
    UNION ALL
    SELECT nspname FROM pg_namespace, aclexplode(nspacl) AS granted WHERE nspname = ${roles.schema} AND grantee = 0
  `;
  assertEquals(rows.map(({ name }) => name), []);
});

Deno.test("migrate() leaves privileges as they are where there are no roles", async () => {
  await using own = await rolesDatabase({ roles: false });

  await own.run(
    "owner",
    `GRANT USAGE ON SCHEMA firefly TO PUBLIC; GRANT SELECT, INSERT ON firefly.task, firefly.ready,
    firefly.waiting TO PUBLIC`,
  );

  assertEquals(await own.refusal("nobody", "INSERT INTO firefly.task (func_name) VALUES ('x')"), undefined);
  assertEquals(await own.refusal("nobody", "SELECT firefly.schedule('x')"), undefined);
  assertEquals(await own.refusal("nobody", "SELECT firefly.cancel(1)"), DENIED); // with the caller's rights, as ever
});

Deno.test("makeRoles() called again grants what is missing, and revokes the rest", async () => {
  await using own = await rolesDatabase();
  await own.run(
    "owner",
    "GRANT SELECT ON firefly.task TO firefly_viewer; REVOKE SELECT ON firefly.task FROM firefly_consumer",
  );

  await makeRoles(await resolveConnection(own.urlOf("owner")), own.schema);

  assertEquals(await own.refusal("viewer", "SELECT FROM firefly.task"), DENIED);
  assertEquals(await own.refusal("consumer", "SELECT FROM firefly.task"), undefined);
});

Deno.test("makeRoles() may be called by several at once", async () => {
  await using own = await rolesDatabase({ roles: false });
  const settings = await resolveConnection(own.urlOf("owner"));

  await Promise.all(Array.from({ length: 4 }, () => makeRoles(settings, own.schema)));
  await grantLogins(own);

  assertEquals(await own.refusal("producer", "SELECT firefly.schedule('x')"), undefined);
});

Deno.test("migrate() grants objects of a later migration, and functions that it replaced run as their owner again", async () => {
  await using own = await rolesDatabase();
  const text = MIGRATIONS.map(({ sql }) => sql).join("\n");
  const schedule = text.match(/^CREATE FUNCTION "firefly"\.schedule\([^]*?^\$body\$;/m)![0];
  const later = {
    version: MIGRATIONS.length + 1,
    name: "later",
    sql: `CREATE TABLE "firefly".later (id bigint GENERATED BY DEFAULT AS IDENTITY);
      CREATE FUNCTION "firefly".later() RETURNS integer LANGUAGE sql AS 'SELECT 1';
      ${schedule.replace("CREATE", "CREATE OR REPLACE")}`,
  };

  await migrate(await resolveConnection(own.urlOf("owner")), own.schema, () => {}, [...MIGRATIONS, later]);

  const insert = "INSERT INTO firefly.later DEFAULT VALUES";
  const call = "SELECT firefly.later()";
  const whos = ["consumer", "producer", "viewer", "nobody"] as const;
  assertEquals(await Promise.all(whos.map((who) => own.refusal(who, insert))), [undefined, DENIED, DENIED, DENIED]);
  assertEquals(await Promise.all(whos.map((who) => own.refusal(who, call))), [undefined, DENIED, DENIED, DENIED]);
  assertEquals(await own.refusal("producer", "SELECT firefly.schedule('x')"), undefined);
});

Deno.test("migrate --roles names the statements for a superuser where its user may not create roles", async () => {
  await using own = await rolesDatabase({ roles: false, createRole: false });
  await using project = await testProject({ database: own.urlOf("owner") });

  const refused = await project.run("migrate", "--roles", "--schema", own.schema);
  const statements = /(CREATE ROLE .*;) and then/.exec(refused.stderr)?.[1];
  assert(statements, refused.stderr);
  await own.db.sql.unsafe(statements);
  const granted = await project.run("migrate", "--roles", "--schema", own.schema);
  await grantLogins(own);

  assertEquals(refused.code, 1);
  assertEquals(refused.stderr.trim().split("\n").length, 2);
  assertEquals([granted.code, granted.stdout.trim().split("\n").length], [0, 3]);
  assertEquals(await own.refusal("producer", "SELECT firefly.schedule('x')"), undefined);
});

Deno.test("migrate --roles is refused where its user does not own the schema", async () => {
  await using own = await rolesDatabase();
  await using project = await testProject({ database: own.urlOf("consumer") });

  const { code, stderr } = await project.run("migrate", "--roles", "--schema", own.schema);

  assertEquals(code, 1);
  assertStringIncludes(stderr, "does not own");
});

Deno.test("migrate --roles --dry-run prints SQL that does the same, and changes nothing", async () => {
  await using own = await rolesDatabase({ roles: false });
  await using project = await testProject({ database: own.urlOf("owner") });

  const { code, stdout } = await project.run("migrate", "--roles", "--dry-run", "--schema", own.schema);
  const before = await own.db.sql`SELECT FROM pg_roles WHERE rolname = ${`${own.schema}_producer`}`;
  await own.as("owner").unsafe(stdout);
  await grantLogins(own);

  assertEquals([code, before.length, stdout.trim()], [0, 0, rolesText(own.schema).trim()]);
  assertEquals(await own.refusal("producer", "SELECT firefly.schedule('x')"), undefined);
  assertEquals(await own.refusal("viewer", "SELECT FROM firefly.task_overview"), undefined);
});

Deno.test("makeRoles() quotes the schema's name, and refuses one that others share or that is too long", async () => {
  const settings = await resolveConnection(roles.urlOf("owner"));
  const odd = `a"b'c ${crypto.randomUUID().slice(0, 8)}`;
  await migrate(settings, odd);

  const names = await makeRoles(settings, odd);

  try {
    assertEquals(names.length, 3);
    const [granted] = await roles.db.sql`SELECT has_schema_privilege(${names[0]!}, ${odd}, 'USAGE') AS granted`;
    assertEquals(granted, { granted: true });
  } finally {
    await roles.db.sql.unsafe(migrationText('DROP SCHEMA "firefly" CASCADE', odd));
    for (const name of names) await roles.db.sql.unsafe(`DROP ROLE "${name.replaceAll('"', '""')}"`);
  }
  await assertRejects(() => makeRoles(settings, "public"), FireflyError, "not Firefly's alone");
  await assertRejects(() => makeRoles(settings, "ü".repeat(30)), FireflyError, "longer than 63 bytes");
});
