import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import postgres from "postgres";
import { configure, current, Firefly, task } from "../../mod.ts";
import type { SetupDatabase } from "../../testing.ts";
import { testFirefly } from "../../testing.ts";
import { resolveConnection } from "../../src/database/settings.ts";
import { TestDatabases } from "../../src/testing/databases.ts";
import { defaultInstance, setDefaultInstance } from "../../src/task/scope.ts";
import { testServer } from "../support/server.ts";

const add = task("kit.add", (a: number, b: number) => a + b);
const { url: SERVER } = await testServer();
const NAME = /^firefly_testing_\d+_\d+_\w{8}$/;

/** A client of the server, beside the kit. */
function admin(): postgres.Sql & AsyncDisposable {
  const sql = postgres(SERVER, { max: 1, onnotice() {} });
  return Object.assign(sql, { [Symbol.asyncDispose]: () => sql.end() });
}

async function databaseOf({ sql }: { sql: Firefly["sql"] }): Promise<string> {
  const [{ name }] = await sql`SELECT current_database() AS name`;
  return name;
}

async function exists(name: string): Promise<boolean> {
  await using sql = admin();
  return (await sql`SELECT FROM pg_database WHERE datname = ${name}`).length > 0;
}

Deno.test("testFirefly() makes a database of its own, migrated, which disposal drops", async () => {
  let name = "";
  {
    await using ff = await testFirefly({ database: SERVER });
    name = await databaseOf(ff);
    assertEquals((await ff.firefly.migrations()).filter(({ applied }) => !applied), []);
    assertEquals(await exists(name), true);
  }

  assertEquals(NAME.test(name), true, name);
  assertEquals(await exists(name), false);
});

Deno.test("two instances see nothing of each other, and run() chooses between them", async () => {
  await using one = await testFirefly({ database: SERVER });
  await using two = await testFirefly({ database: SERVER });

  await Promise.all([
    one.run(async () => assertEquals(await (await add.schedule(1, 2)).id, 1)),
    two.run(() => add.scheduleMany([[3, 4], [5, 6]])),
  ]);

  const [first, second] = await Promise.all([one.drain(), two.drain()]);
  assertEquals([first.completed, second.completed], [1, 2]);
  await one.travel("2h");
  assert((await one.now()).getTime() - (await two.now()).getTime() > 7_000_000);
});

Deno.test("testFirefly() is the default instance until it is disposed of, in whatever order", async () => {
  const before = new Firefly({ database: SERVER, schema: "kit_before" });
  setDefaultInstance(before);
  try {
    const one = await testFirefly();
    const two = await testFirefly();
    assertEquals(defaultInstance(), two.firefly);
    await one.close();
    assertEquals(defaultInstance(), two.firefly);
    const three = await testFirefly();
    await three.close();
    assertEquals(defaultInstance(), two.firefly);
    await two.close();
    await two.close();
    assertEquals(defaultInstance(), before);
  } finally {
    setDefaultInstance(undefined);
  }
});

Deno.test("testFirefly() leaves a default instance alone that configure() has made since", async () => {
  try {
    const ff = await testFirefly({ database: SERVER });
    const later = configure({ database: SERVER });
    await ff.close();
    assertEquals(defaultInstance(), later);
    await later.close();
  } finally {
    setDefaultInstance(undefined);
  }
});

Deno.test("testFirefly() takes over what configure() was given, but not its database and alerts", async () => {
  const seen: string[] = [];
  const ours = configure({
    database: "postgres://nowhere.invalid/app",
    defaults: { queue: "ours", maxRetries: 4 },
    schema: "kit_tasks",
    alerts: { webhook: { url: "http://127.0.0.1:9" } },
  });
  ours.use((attempt, next) => {
    seen.push(attempt.funcName);
    return next();
  });
  try {
    await using ff = await testFirefly({ database: SERVER, defaults: { queue: "mine" } });
    const { queue, maxRetries } = await add.schedule(1, 2);
    await ff.drain();

    assertEquals([queue, maxRetries, ff.firefly.schema], ["mine", 0, "kit_tasks"]);
    assertEquals(seen, ["kit.add"]);
    assertEquals(ff.firefly.options.alerts, undefined);
  } finally {
    setDefaultInstance(undefined);
    await ours.close();
  }
});

Deno.test("url leads other programs to the database, which go by its clock", async () => {
  await using ff = await testFirefly({ database: SERVER, now: new Date("2030-01-01T00:00:00Z") });
  const sql = postgres(ff.url, { max: 1 });
  try {
    const [row] = await sql`SELECT current_database() AS name, now() AS now`;
    assertEquals([row!.name, row!.now.getUTCFullYear()], [await databaseOf(ff), 2030]);
  } finally {
    await sql.end();
  }
});

Deno.test("setup makes the tables of tests once for all of them", async () => {
  let calls = 0;
  const setup = async ({ sql, url }: SetupDatabase) => {
    calls++;
    await sql`CREATE TABLE entry (text text, made timestamptz DEFAULT now())`;
    const own = postgres(url, { max: 1 });
    await own`INSERT INTO entry VALUES ('from setup')`;
    await own.end();
  };
  const write = task("kit.write", async (text: string) => void await current().sql`INSERT INTO entry VALUES (${text})`);
  const made: string[] = [];
  for (const text of ["one", "two"]) {
    await using ff = await testFirefly({ database: SERVER, setup });
    await write.schedule(text);
    await ff.travel("1d");
    await ff.drain();
    const rows = await ff
      .sql`SELECT text, made > pg_catalog.now() + interval '1 hour' AS travelled FROM entry ORDER BY made`;
    made.push(...rows.map(({ text, travelled }) => `${text} ${travelled}`));
  }

  assertEquals(calls, 1);
  assertEquals(made, ["from setup false", "one true", "from setup false", "two true"]);
});

Deno.test("setup runs once for each schema", async () => {
  const schemas: string[] = [];
  const setup = async ({ sql }: SetupDatabase) => {
    const [{ name }] = await sql`SELECT nspname AS name FROM pg_namespace WHERE nspname IN ('firefly', 'kit_tasks')`;
    schemas.push(name);
  };
  for (const schema of ["firefly", "kit_tasks", "firefly"]) {
    await using ff = await testFirefly({ database: SERVER, setup, schema });
    await add.schedule(1, 2);
    assertEquals((await ff.drain()).completed, 1);
  }

  assertEquals(schemas, ["firefly", "kit_tasks"]);
});

Deno.test("setup runs again if its database is gone, and must close its connections", async () => {
  let [calls, made] = [0, ""];
  let left: postgres.Sql | undefined;
  const setup = async ({ sql, url }: SetupDatabase) => {
    calls++;
    made = await databaseOf({ sql });
    if (calls > 1) return;
    left = postgres(url, { max: 1 });
    await left`SELECT 1`;
  };
  await assertRejects(() => testFirefly({ database: SERVER, setup }), Error, "close them in setup()");
  await left!.end();

  await (await testFirefly({ database: SERVER, setup })).close();
  {
    await using sql = admin();
    await sql.unsafe(`DROP DATABASE ${made}`);
  }
  await (await testFirefly({ database: SERVER, setup })).close();

  assertEquals(calls, 3);
});

Deno.test("testFirefly() refuses wrong options before any I/O, and says what a role lacks", async () => {
  // @ts-expect-error: it is called tasks
  await assertRejects(() => testFirefly({ task: [] }), TypeError, 'did you mean "tasks"');
  await assertRejects(() => testFirefly({ now: new Date(NaN) }), TypeError, '"now"');
  await assertRejects(
    () => testFirefly({ database: `${SERVER}?options=-c%20search_path%3Dapp` }),
    TypeError,
    "sets search_path",
  );

  const role = `kit_${crypto.randomUUID().slice(0, 8)}`;
  await using sql = admin();
  await sql.unsafe(`CREATE ROLE ${role} LOGIN PASSWORD 'x'`);
  try {
    const url = Object.assign(new URL(SERVER), { username: role, password: "x" }).href;
    await assertRejects(() => testFirefly({ database: url }), Error, `run ALTER ROLE "${role}" CREATEDB`);
  } finally {
    await sql.unsafe(`DROP ROLE ${role}`);
  }
});

Deno.test("testFirefly() works for a role that may create databases, whose own search_path is another", async () => {
  const role = `kit_${crypto.randomUUID().slice(0, 8)}`;
  const url = Object.assign(new URL(SERVER), { username: role, password: "x" }).href;
  await (await testFirefly({ database: SERVER })).close(); // has made a template that is another role's
  await using sql = admin();
  await sql.unsafe(`CREATE ROLE ${role} LOGIN CREATEDB PASSWORD 'x'`);
  await sql.unsafe(`ALTER ROLE ${role} SET search_path = elsewhere`);
  try {
    for (let i = 0; i < 2; i++) {
      await using ff = await testFirefly({ database: url });
      const later = await add.with({ delay: "1h" }).schedule(1, 2);
      await ff.travel("1h");
      await ff.drain();
      assertEquals(await later.result(), 3);
    }
  } finally {
    const own = await sql`SELECT datname FROM pg_database WHERE datdba = ${role}::regrole`;
    for (const { datname } of own) await sql.unsafe(`DROP DATABASE ${datname}`);
    await sql.unsafe(`DROP ROLE ${role}`);
    assertEquals(own.length, 1, "the template");
  }
});

Deno.test("testFirefly() takes the server of TEST_DATABASE_URL, and else that of instances", async () => {
  const { TEST_DATABASE_URL, FIREFLY_DATABASE_URL } = Deno.env.toObject();
  Deno.env.set("FIREFLY_DATABASE_URL", SERVER);
  Deno.env.set("TEST_DATABASE_URL", "postgres://127.0.0.1:1/none");
  try {
    await assertRejects(() => testFirefly(), Error, "127.0.0.1:1");
    Deno.env.delete("TEST_DATABASE_URL");
    await using ff = await testFirefly();
    assertNotEquals(await databaseOf(ff), "");
  } finally {
    for (const [name, value] of Object.entries({ TEST_DATABASE_URL, FIREFLY_DATABASE_URL })) {
      if (value === undefined) Deno.env.delete(name);
      else Deno.env.set(name, value);
    }
  }
});

/** A program that makes an instance, prints its database, and does `rest`. */
function program(rest: string, options = "{}"): Deno.ChildProcess {
  const root = new URL("../../", import.meta.url);
  const code = `import { testFirefly } from "${root}testing.ts";
    import { task } from "${root}mod.ts";
    const add = task("kit.program", (a, b) => a + b);
    const ff = await testFirefly(${options});
    const [{ name }] = await ff.sql\`SELECT current_database() AS name\`;
    console.log(name);
    ${rest}`;
  return new Deno.Command(Deno.execPath(), {
    args: ["eval", `--config=${root.pathname}deno.json`, code],
    env: { TEST_DATABASE_URL: SERVER, NO_COLOR: "1" },
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
}

/** Reads the first line that a program prints; it goes on. */
async function firstLine(child: Deno.ChildProcess): Promise<string> {
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("\n")) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`The program ended after ${JSON.stringify(text)}`);
    text += value;
  }
  await reader.cancel();
  return text.split("\n", 1)[0]!;
}

Deno.test("the database of a killed test is dropped by a later one, and none that is in use", async () => {
  const killed = program("await new Promise((resolve) => setTimeout(resolve, 60_000));");
  const inUse = await firstLine(killed);
  await using ff = await testFirefly({ database: SERVER });
  const mine = await databaseOf(ff);

  await (await program("await ff.close();").output());
  assertEquals([await exists(inUse), await exists(mine)], [true, true]);

  killed.kill("SIGKILL");
  await killed.status;
  await using sql = admin();
  while ((await sql`SELECT FROM pg_stat_activity WHERE datname = ${inUse}`).length > 0) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await (await program("await ff.close();").output());
  assertEquals([await exists(inUse), await exists(mine)], [false, true]);
});

Deno.test("a process that has not closed its instance can end", async () => {
  const { success } = await program("await add.schedule(1, 2); await ff.drain();").output();
  assertEquals(success, true);
});

Deno.test("processes that need a template at the same time make one", async () => {
  const schema = `kit_${crypto.randomUUID().slice(0, 8)}`;
  await using sql = admin();
  const before = await sql`SELECT datname FROM pg_database WHERE datname LIKE 'firefly_template_%'`;

  const work = "await add.schedule(1, 2); console.log((await ff.drain()).completed); await ff.close();";
  const outputs = await Promise.all([1, 2, 3].map(() => program(work, JSON.stringify({ schema })).output()));

  const lines = outputs.map(({ stdout }) => new TextDecoder().decode(stdout).trim().split("\n"));
  assertEquals(lines.map(([, completed]) => completed), ["1", "1", "1"]);
  const names = before.map(({ datname }) => datname);
  const made = await sql`
    SELECT datname FROM pg_database WHERE datname LIKE 'firefly_template_%' AND datname <> ALL (${names})
  `;
  for (const { datname } of made) await sql.unsafe(`DROP DATABASE ${datname}`);
  assertEquals(made.length, 1);
});

Deno.test("TestDatabases.open() drops templates that no test has used for a day, and notes the use of its own", async () => {
  const { settings: serverSettings, strategy } = await testServer();
  const settings = await resolveConnection(SERVER);
  await using sql = admin();
  // A schema of its own makes a template that no other test uses.
  const options = { schema: `kit_${crypto.randomUUID().slice(0, 8)}`, hasClock: false, strategy, serverSettings };
  const open = async () => await (await TestDatabases.open(settings, options)).end();
  const before = await templates();
  await open();
  const [own] = (await templates()).filter((name) => !before.includes(name) && name !== undefined);
  const [old, recent, connected, plain] = [1, 2, 3, 4].map(() => `firefly_template_${crypto.randomUUID().slice(24)}`);
  for (const name of [old, recent, connected, plain]) await sql.unsafe(`CREATE DATABASE ${name}`);
  const connection = postgres(Object.assign(new URL(SERVER), { pathname: `/${connected}` }).href, { max: 1 });
  await connection`SELECT 1`;
  for (const [name, age] of [[old, 25], [connected, 25], [recent, 23], [own, 2]] as const) await note(name!, age);

  await open();

  const left = await templates();
  assertEquals([old, recent, connected, plain, own].map((name) => left.includes(name)), [
    false,
    true,
    true,
    true,
    true,
  ]);
  const [{ comment }] = await sql`
    SELECT shobj_description(oid, 'pg_database') AS comment FROM pg_database WHERE datname = ${own!}
  ` as unknown as [{ comment: string }];
  const noted = /^Used by tests at (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d)$/.exec(comment)?.[1];
  assertEquals((await sql`SELECT now() - ${noted!}::timestamptz < interval '1 hour' AS fresh`)[0]!.fresh, true);

  await connection.end();
  for (const name of [recent, connected, plain, own]) await sql.unsafe(`DROP DATABASE ${name}`);

  async function templates(): Promise<(string | undefined)[]> {
    return (await sql`SELECT datname FROM pg_database WHERE datname LIKE 'firefly_template_%'`).map((row) =>
      row.datname
    );
  }

  /** Makes the last use of a template so many hours old. */
  async function note(name: string, hours: number): Promise<void> {
    const [row] = await sql`
      SELECT to_char(now() - ${hours} * interval '1 hour', 'YYYY-MM-DD HH24:MI:SSOF') AS time
    `;
    await sql.unsafe(`COMMENT ON DATABASE ${name} IS 'Used by tests at ${row!.time}'`);
  }
});
