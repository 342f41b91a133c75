import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { current, Firefly, task, transaction } from "../../mod.ts";
import { resolveConnection } from "../../src/database/settings.ts";
import { makeRoles } from "../../src/schema/roles.ts";
import { until } from "../support/waiting.ts";
import { taskName } from "../support/instance.ts";
import { type RolesDatabase, rolesDatabase, type Who } from "../support/roles.ts";

const DENIED = "42501";
const MARKER = "marker-4711";

let roles: RolesDatabase;
Deno.test.beforeAll(async () => {
  roles = await rolesDatabase();
  // A task that has left the marker wherever it may: arguments, keys, errors, progress, a result.
  await roles.run("owner", `SELECT firefly.schedule('probe', '["${MARKER}"]', unique_key => '${MARKER}')`);
  await roles.run(
    "owner",
    `UPDATE firefly.task SET rate_key = '${MARKER}', progress_note = '${MARKER}', progress = 0.5,
    returned = firefly.encode('"${MARKER}"'), errors = '[{"name":"Error","message":"${MARKER}","stack":"${MARKER}"}]'`,
  );
  await roles.run(
    "owner",
    `INSERT INTO firefly.task_log (task_id, attempt, at, level, message) VALUES (1, 1, now(), 'info', '${MARKER}')`,
  );
  await roles.run(
    "owner",
    `INSERT INTO firefly.error_group VALUES (1, 'default', 'probe', 'Error', '${MARKER}', now(), now(), 3, 1)`,
  );
});
Deno.test.afterAll(async () => await roles[Symbol.asyncDispose]());

/** The tables and views of the schema. */
async function relations({ db, schema }: RolesDatabase): Promise<string[]> {
  const rows = await db.sql`
    SELECT relname FROM pg_class WHERE relnamespace = ${schema}::regnamespace AND relkind IN ('r', 'v') ORDER BY relname
  `;
  return rows.map(({ relname }) => relname);
}

/** What each of `statements` is answered with, if it is not a refusal for want of privileges. */
async function permitted(who: Who, statements: string[]): Promise<string[]> {
  const answers = [];
  for (const text of statements) {
    const code = await roles.refusal(who, `BEGIN; ${text}; ROLLBACK`);
    if (code !== undefined) await roles.run(who, "ROLLBACK");
    if (code !== DENIED) answers.push(`${text}: ${code ?? "done"}`);
  }
  return answers;
}

const WRITES = [
  "INSERT INTO firefly.task (func_name) VALUES ('x')",
  "INSERT INTO firefly.ready VALUES (1, now(), 1, 0, 0, false, 'default', 'x')",
  "UPDATE firefly.task SET status = 'completed'",
  "DELETE FROM firefly.task",
  "DELETE FROM firefly.unique_key",
  "SELECT FROM firefly.task FOR UPDATE",
  "SELECT nextval('firefly.task_id_seq')",
];
const DDL = [
  "DROP TABLE firefly.task",
  "TRUNCATE firefly.task",
  "ALTER TABLE firefly.task ADD COLUMN x text",
  "CREATE TABLE firefly.x (i integer)",
  "CREATE INDEX x ON firefly.task (status)",
  "CREATE TRIGGER x BEFORE INSERT ON firefly.task EXECUTE FUNCTION suppress_redundant_updates_trigger()",
  "CREATE FUNCTION firefly.x() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
  "CREATE OR REPLACE FUNCTION firefly.cancel(task_id bigint) RETURNS boolean LANGUAGE sql AS 'SELECT true'",
  "ALTER FUNCTION firefly.cancel SECURITY DEFINER",
  "ALTER FUNCTION firefly.schedule RESET search_path",
  "DROP FUNCTION firefly.schedule",
  "CREATE OR REPLACE VIEW firefly.task_overview AS SELECT * FROM firefly.task_record",
  "DROP SCHEMA firefly CASCADE",
  "ALTER SCHEMA firefly RENAME TO x",
  "UPDATE firefly.migration SET checksum = ''",
];
const CALLS = [
  "SELECT firefly.cancel(1)",
  "SELECT firefly.retry(1)",
  "SELECT firefly.pause('default')",
  "SELECT firefly.resume('default')",
  "SELECT firefly.run_cron('x')",
  "SELECT * FROM firefly.explain(1)",
  "SELECT firefly.decode('W10=')",
  "SELECT * FROM firefly._schedule('[]')",
];

Deno.test("a producer schedules by firefly.schedule(), and is given the id", async () => {
  const [first] = await roles.run("producer", "SELECT firefly.schedule('sql.add', '[1, 2]', priority => 3) AS id");
  const [keyed] = await roles.run("producer", "SELECT firefly.schedule('sql.add', unique_key => 'p') AS id");
  const [duplicate] = await roles.run("producer", "SELECT firefly.schedule('sql.add', unique_key => 'p') AS id");

  const [row] = await roles.run(
    "owner",
    `SELECT func_name, priority, firefly.decode(params) AS params
    FROM firefly.task JOIN firefly.ready USING (id, func_name, priority) WHERE id = ${first!.id}`,
  );
  assertEquals(row, { func_name: "sql.add", priority: 3, params: [1, 2] });
  assertEquals(duplicate, keyed);
});

Deno.test("a producer schedules tasks that wait for others, whose ids it knows", async () => {
  const [first] = await roles.run("producer", "SELECT firefly.schedule('sql.add')::int AS id");
  const [next] = await roles.run(
    "producer",
    `SELECT firefly.schedule('sql.add', after => ARRAY[${first!.id}])::int AS id`,
  );
  const tasks = JSON.stringify([{
    func_name: "sql.add",
    queue: "default",
    params: "W10=",
    priority: 0,
    depends: [{ id: next!.id, settled: true }],
  }]);
  const [last] = await roles.run("producer", `SELECT task_id::int AS id FROM firefly._produce('${tasks}')`);
  const edges = await roles.run(
    "owner",
    "SELECT task_id::int, dependency_id::int, settled FROM firefly.dependency ORDER BY 1",
  );
  assertEquals(edges.map((edge) => ({ ...edge })), [
    { task_id: next!.id, dependency_id: first!.id, settled: false },
    { task_id: last!.id, dependency_id: next!.id, settled: true },
  ]);
  await roles.run(
    "owner",
    `SELECT firefly.cancel(${first!.id}), firefly.cancel(${next!.id}), firefly.cancel(${last!.id})`,
  );
});

Deno.test("a producer sends signals, to tasks that it names by id or by their unique key", async () => {
  const [first] = await roles.run("producer", "SELECT firefly.schedule('sql.wait', unique_key => 'w')::int AS id");
  const id = first!.id;
  const answers = await roles.run(
    "producer",
    `SELECT firefly.signal(${id}, 'a', '[1]') AS a, firefly.signal_by_key('sql.wait', 'w', 'b') AS b,
      firefly._signal(${id}, 'c', 'MQ==') AS c, firefly._signal_by_key('sql.wait', 'w', 'd', NULL) AS d,
      firefly.signal(999999, 'a') AS missing`,
  );
  assertEquals({ ...answers[0]! }, { a: true, b: true, c: true, d: true, missing: false });
  const rows = await roles.run(
    "owner",
    `SELECT name, firefly.decode(payload) AS payload FROM firefly.signal WHERE task_id = ${id} ORDER BY id`,
  );
  assertEquals(rows.map(({ name, payload }) => [name, payload]), [["a", [1]], ["b", null], ["c", 1], ["d", null]]);
  await roles.run("owner", `SELECT firefly.cancel(${id})`);
});

Deno.test("a viewer reads of steps what they do and when, and no key, result, error or signal", async () => {
  const allowed = "task_id, name, kind, status, seq, version, attempt, failures, began, ended, due, callees";
  assertEquals(
    await permitted("viewer", [
      "SELECT key FROM firefly.step",
      "SELECT returned FROM firefly.step",
      "SELECT error FROM firefly.step",
      "SELECT * FROM firefly.step_json",
      "SELECT * FROM firefly.wait",
      "SELECT * FROM firefly.signal",
      "SELECT firefly.signal(1, 'a')",
      "SELECT firefly.signal_by_key('a', 'b', 'c')",
      "SELECT concurrency_key FROM firefly.waiting",
    ]),
    [],
  );
  assertEquals((await permitted("viewer", [`SELECT ${allowed} FROM firefly.step`])).length, 1);
  assertEquals(
    (await permitted("viewer", ["SELECT reason, pending, signals, suspended FROM firefly.waiting"])).length,
    1,
  );
});

Deno.test("a producer reads no table and no view", async () => {
  const names = await relations(roles);

  assert(names.includes("task") && names.includes("task_json") && names.includes("migration"));
  assertEquals(await permitted("producer", names.map((name) => `SELECT * FROM firefly.${name}`)), []);
  assertEquals(await permitted("producer", ["COPY firefly.task TO STDOUT"]), []);
});

Deno.test("a producer writes to no table", async () => {
  assertEquals(await permitted("producer", [...WRITES, ...DDL]), []);
});

Deno.test("a producer cancels, retries, pauses, explains and decodes nothing", async () => {
  assertEquals(await permitted("producer", CALLS), []);
});

/** Lets `act` work on an instance of a producer, and then waits until its connections are closed. */
async function asProducer<T>(act: () => Promise<T>): Promise<T> {
  const ff = new Firefly({ database: roles.urlOf("producer"), schema: roles.schema });
  try {
    return await ff.run(act);
  } finally {
    await ff.close();
    const left = () =>
      roles.db.sql`
      SELECT FROM pg_stat_activity WHERE application_name = 'firefly' AND datname = current_database()
    `;
    await until(async () => (await left()).count === 0);
  }
}

Deno.test("add.schedule() works for a producer: alone, unique, in bulk, in transactions, through a client", async () => {
  const add = task({ name: taskName(), rateLimit: { limit: 5, per: "1h" } }, (i: number, j: number) => i + j);
  const plain = task(taskName(), (text: string) => text);

  const client = roles.as("producer");
  const records = await asProducer(async () => [
    await add.schedule(1, 2),
    await plain.schedule("a"),
    ...await plain.scheduleMany([["b"], ["c"]]),
    await transaction(() => plain.schedule("d")),
    await client.begin((tx) => plain.with({ tx }).schedule("e")) as Awaited<ReturnType<typeof plain.schedule>>,
    await plain.with({ delay: "1h", unique: { key: "k" } }).schedule("f"),
  ]);

  const ids = records.map(({ id }) => id);
  const rows = await roles.run(
    "owner",
    `SELECT params, queue, rate_key IS NOT NULL AS limited,
    not_before > now() AS delayed FROM firefly.task_json WHERE id IN (${ids}) ORDER BY id`,
  );
  assertEquals(rows.map(({ params }) => params), [[1, 2], ["a"], ["b"], ["c"], ["d"], ["e"], ["f"]]);
  assertEquals([rows[0]!.limited, rows[1]!.limited, rows[6]!.delayed], [true, false, true]);
  assertEquals(records.map(({ params }) => [...params]), rows.map(({ params }) => params));
});

Deno.test("a producer that schedules a duplicate learns its id and state, and nothing of its content", async () => {
  const probe = task("probe", (text: string) => text);

  const duplicate = await asProducer(() => probe.with({ unique: { key: MARKER } }).schedule("mine"));

  assertEquals([duplicate.inserted, duplicate.status, duplicate.progress?.value, duplicate.errors], [
    false,
    "created",
    0.5,
    [],
  ]);
  assertThrows(() => duplicate.params);
  assert(!JSON.stringify(duplicate).includes(MARKER));
});

Deno.test("a producer awaits results with the grants that docs/roles.md adds, and without them does not", async () => {
  await using own = await rolesDatabase();
  await using web = new Firefly({ database: own.urlOf("producer"), schema: own.schema });
  await using ff = new Firefly({ database: own.urlOf("consumer"), schema: own.schema });
  const add = task(taskName(), (i: number, j: number) => i + j);
  const record = await web.run(() => add.schedule(1, 2));
  await assertRejects(() => record.result(), Error, "permission denied");
  const page = await Deno.readTextFile(new URL("../../docs/roles.md", import.meta.url));
  const grants = page.match(/^ *GRANT SELECT ON firefly\.task_record[^;]*;\s*GRANT [^;]*;\s*GRANT [^;]*;/m)![0];

  await own.run("owner", grants.replaceAll("TO web", `TO ${own.login("producer").replace(own.schema, "firefly")}`));
  const consumer = ff.consume({ tasks: [add] });

  assertEquals(await record.result(), 3);
  await makeRoles(await resolveConnection(own.urlOf("owner")), own.schema); // which leaves a login's own grants alone
  assertEquals(await record.result(), 3);
  await consumer.stop();
});

Deno.test("a viewer sees which tasks run, and nowhere their params, results or errors", async () => {
  const [row] = await roles.run("viewer", "SELECT * FROM firefly.task_overview WHERE func_name = 'probe'");
  const readable = [];
  for (const name of await relations(roles)) {
    if (await roles.refusal("viewer", `SELECT * FROM firefly.${name}`)) continue;
    readable.push(name);
    const rows = await roles.run("viewer", `SELECT row_to_json(x)::text AS text FROM firefly.${name} AS x`);
    assert(!rows.some(({ text }) => text.includes(MARKER)), name);
  }

  assertEquals([row!.status, row!.attempt, row!.error], ["created", 1, "Error"]);
  assertEquals(readable, [
    "_claimed_run",
    "_claimed_task",
    "_ready_task",
    "claim_batch",
    "consumer",
    "consumer_record",
    "cron_record",
    "dependency",
    "error_overview",
    "failed_task",
    "migration",
    "queue",
    "queue_minute",
    "ready",
    "task_minute",
    "task_overview",
  ]);
  const [group] = await roles.run("viewer", "SELECT name, attempts FROM firefly.error_overview");
  assertEquals([group!.name, Number(group!.attempts)], ["Error", 3]);
  const [place] = await roles.run("viewer", "SELECT reason FROM firefly.waiting WHERE func_name = 'probe'");
  assertEquals(place!.reason, "rate");
});

Deno.test("a viewer cannot read params in any other way", async () => {
  const ways = [
    "SELECT params FROM firefly.task",
    "SELECT params FROM firefly.task_record",
    "SELECT params FROM firefly.task_json",
    "SELECT rate_key FROM firefly.waiting",
    "SELECT key FROM firefly.step",
    "SELECT returned FROM firefly.step",
    "SELECT error FROM firefly.step",
    "SELECT returned FROM firefly.step_json",
    "SELECT message FROM firefly.error_group",
    "SELECT message FROM firefly.task_log",
    "SELECT firefly.try_decode('W10=')",
    "SELECT firefly.decode('W10=')",
    "SELECT * FROM firefly.explain(1)",
    "COPY firefly.task TO STDOUT",
  ];
  assertEquals(await permitted("viewer", ways), []);
  assertEquals(await roles.refusal("viewer", "SELECT params FROM firefly.task_overview"), "42703");
  assertEquals(await roles.refusal("viewer", "SELECT name, status, seq, began, ended FROM firefly.step"), undefined);
  await roles.run("owner", "ANALYZE firefly.task");
  const stats = await roles.run(
    "viewer",
    `SELECT attname FROM pg_stats WHERE tablename = 'task'
    AND schemaname = 'firefly'`,
  );
  assertEquals(stats.length, 0);
});

Deno.test("a viewer writes nothing, schedules nothing and calls nothing", async () => {
  const others = ["SELECT firefly.schedule('x')", "SELECT * FROM firefly._produce('[]')", "DELETE FROM firefly.queue"];
  const statements = [...WRITES, ...CALLS, ...others, ...DDL];
  assertEquals(await permitted("viewer", statements), []);
});

Deno.test("a login without a role may do nothing in the schema", async () => {
  const names = await relations(roles);
  const reads = names.map((name) => `SELECT * FROM firefly.${name}`);
  const statements = [...reads, ...WRITES, ...CALLS, "SELECT firefly.schedule('x')"];
  assertEquals(await permitted("nobody", statements), []);
});

Deno.test("a login that is let into the schema and granted nothing else calls no function there", async () => {
  await roles.run(
    "owner",
    `GRANT USAGE ON SCHEMA firefly TO ${roles.login("nobody").replace(roles.schema, "firefly")}`,
  );
  try {
    const calls = [...CALLS, "SELECT firefly.schedule('x')", "SELECT * FROM firefly._produce('[]')"];
    assertEquals(await permitted("nobody", calls), []);
  } finally {
    const login = roles.login("nobody").replace(roles.schema, "firefly");
    await roles.run("owner", `REVOKE USAGE ON SCHEMA firefly FROM ${login}`);
  }
});

Deno.test("a running task ignores the payload of notifications, which any login may send", async () => {
  await using own = await rolesDatabase();
  await using ff = new Firefly({ database: own.urlOf("consumer"), schema: own.schema });
  const gate = Promise.withResolvers<void>();
  const running = Promise.withResolvers<void>();
  const wait = task(taskName(), async () => {
    running.resolve();
    await gate.promise;
    return "done";
  });
  const toCancel = Promise.withResolvers<void>();
  const obeyed = Promise.withResolvers<void>();
  const obey = task(taskName(), () => {
    current().signal.addEventListener("abort", () => obeyed.resolve());
    toCancel.resolve();
    return obeyed.promise;
  });
  const record = await ff.run(() => wait.schedule());
  const cancelled = await ff.run(() => obey.schedule());
  const consumer = ff.consume({ tasks: [wait, obey] });
  await Promise.all([running.promise, toCancel.promise]);

  const { schema } = own;
  for (const channel of [`${schema}:control`, `${schema}:ended`, `${schema}_default`]) {
    for (
      const payload of [`cancel ${record.id}`, `{"cancel":${record.id}}`, `${record.id}`, "stop", "'; DROP TABLE --"]
    ) {
      await own.as("nobody").notify(channel, payload);
    }
  }
  // A cancellation that counts comes after these: once it is obeyed, they would have been.
  await cancelled.cancel();
  await obeyed.promise;
  gate.resolve();

  assertEquals(await record.result(), "done");
  await consumer.stop();
});

Deno.test("a consumer creates, alters and drops nothing", async () => {
  assertEquals(await permitted("consumer", DDL), []);
});
