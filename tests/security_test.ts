/** Threats of SECURITY.md that no other test stands for. */
import { assert, assertEquals, assertMatch, assertNotMatch, assertRejects, assertThrows } from "@std/assert";
import { Firefly, task } from "../mod.ts";
import { resolveConnection } from "../src/database/settings.ts";
import { migrate } from "../src/schema/migrator.ts";
import { commandLine, jsonLines, PACKAGE, testProject } from "./support/project.ts";
import { startConsumer } from "./support/claiming.ts";
import { type TestDatabase, testDatabase } from "./support/database.ts";
import { taskName, testInstance } from "./support/instance.ts";

const ROOT = new URL("../", import.meta.url);
const INJECTION = `q"; DROP TABLE firefly.task; --`;
const QUOTED = `q'); DROP TABLE firefly.task; --`;

/** How many tasks there are: it throws if the table is gone. */
async function tasksOf(db: TestDatabase): Promise<number> {
  const [row] = await db.sql`SELECT count(*)::integer AS count FROM firefly.task`;
  return row!.count;
}

for (const text of [INJECTION, QUOTED]) {
  Deno.test(`a queue named ${text} is refused by schedule(), consume(), pause() and by SQL`, async () => {
    await using t = await testInstance();
    const note = task(taskName(), (text: string) => text);

    await assertRejects(
      async () => await t.ff.run(() => note.with({ queue: text }).schedule("a")),
      RangeError,
      "queue",
    );
    assertThrows(() => t.ff.consume({ queues: [text], tasks: [note] }), RangeError, "queue");
    await assertRejects(() => t.ff.pause(text), RangeError, "queue");
    await assertRejects(() => t.db.sql`SELECT firefly.schedule('x', queue => ${text})`, Error, "task_queue_name");
    await assertRejects(() => t.db.sql`INSERT INTO firefly.task (func_name, queue) VALUES ('x', ${text})`, Error);

    assertEquals(await tasksOf(t.db), 0);
  });

  Deno.test(`${text} is text like any other as an argument, tag or key of a task, and no name of one`, async () => {
    await using t = await testInstance();
    const concurrency = { limit: 1, key: (text: string) => text };
    const name = taskName();
    const note = task({ name, concurrency, rateLimit: { limit: 9, per: "1s" } }, (given: string) => given);
    assertThrows(() => task(text, () => {}), TypeError, "name");

    const record = await t.ff.run(() => note.with({ tags: [text], unique: { key: text } }).schedule(text));
    await t.db.sql`SELECT firefly.schedule(${text}, ${t.db.sql.json([text])}, tags => ${[
      text,
    ]}, unique_key => ${text})`;
    const listed = await t.ff.tasks.list({ tags: [text], params: [text] });
    await t.drain({ tasks: [note] });

    const { tags, returned } = await t.ff.tasks.get(record.id);
    assertEquals([tags, returned], [[text], text]);
    assertEquals([listed.items.map(({ funcName }) => funcName), await tasksOf(t.db)], [[text, name], 2]);
  });

  Deno.test(`the command line takes ${text} for no more than text`, async () => {
    await using db = await testDatabase();
    await using project = await testProject({ database: db.url });
    await db.sql`SELECT firefly.schedule('math.add', '[1, 2]')`;

    const commands = [
      ["schedule", "math.add", "[1,2]", "--queue", text],
      ["schedule", text, "[]"],
      ["consume", "--queue", text, "--drain"],
      ["list", "--queue", text],
      ["list", "--tag", text],
      ["show", text],
      ["pause", text],
      ["cron", "run", text],
      ["list", "--schema", text],
      ["migrate", "--status", "--schema", text],
      ["schedule", "math.add", "[3,4]", "--tag", text, "--unique", text],
    ];
    const codes = await Promise.all(commands.map(async (args) => (await project.run(...args)).code));

    assertEquals(codes, [2, 4, 2, 0, 0, 2, 2, 4, 3, 0, 0]);
    assertEquals(await tasksOf(db), 2);
  });
}

Deno.test("a schema may have any name, and no name gets out of its quotes", async () => {
  await using db = await testDatabase();
  const schema = `x"; DROP SCHEMA firefly CASCADE`;
  await migrate(await resolveConnection(db.url), schema);
  await using ff = new Firefly({ database: db.url, schema });
  const note = task(taskName(), (text: string) => text);

  const record = await ff.run(() => note.schedule("a"));
  await ff.consume({ drain: true, tasks: [note] }).finished;

  assertEquals((await ff.tasks.get(record.id)).status, "completed");
  assertEquals(await tasksOf(db), 0);
});

Deno.test("consume on a terminal shows a hostile error on one line, and obeys none of it", async () => {
  await using db = await testDatabase();
  const files = {
    "tasks.ts": `
      import { task } from ${JSON.stringify(PACKAGE)};
      export const hostile = task("hostile", (text: string) => {
        throw Object.assign(new Error(text), { name: text });
      });
    `,
  };
  await using project = await testProject({ database: db.url, files });
  const message = "first\r\nforged  completed\u001b[2J\u001b]0;title\u0007\u009b31m\u202e last";
  await db.sql`SELECT firefly.schedule('hostile', ${db.sql.json([message])})`;

  // script(1) gives it a terminal of its own, on which it writes lines for people.
  const command = commandLine("consume", "--drain", "--database", db.url).map((word) => `'${word}'`).join(" ");
  const { stdout } = await new Deno.Command("script", {
    args: ["--quiet", "--return", "--command", command, "/dev/null"],
    cwd: project.directory,
    env: { NO_COLOR: "1", TERM: "xterm", FIREFLY_DATABASE_URL: db.url },
    stdin: "null",
  }).output();
  const text = new TextDecoder().decode(stdout);
  const lines = text.replaceAll("\r\n", "\n").split("\n").filter(Boolean);

  assertNotMatch(text.replaceAll("\r\n", ""), /[\p{Cc}\u202e]/u);
  assertEquals(lines.map((line) => line.split("  ")[1]!.trim()), ["ready", "failed", "stopped"]);
  assertMatch(lines[1]!, /hostile #1 {2}first\\r\\nforged {2}completed\\x1b\[2J.*last$/);
});

Deno.test("a failed statement leaves nothing of its parameters, neither in the record nor in the log", async () => {
  await using db = await testDatabase();
  await db.sql`CREATE TABLE account (mail text PRIMARY KEY, age integer)`;
  await db.sql`INSERT INTO account VALUES ('hunter2@example.org', 1)`;
  const files = {
    "tasks.ts": `
      import { current, task } from ${JSON.stringify(PACKAGE)};
      task({ name: "twice", maxRetries: 0 }, async () => {
        await current().sql\`INSERT INTO account VALUES (\${"hunter2" + "@example.org"}, \${1})\`;
      });
      task({ name: "cause", maxRetries: 0 }, async () => {
        try {
          await current().sql\`INSERT INTO account VALUES (\${"hunter2" + "@example.org"}, \${1})\`;
        } catch (error) {
          throw Object.assign(new Error("no", { cause: error }), { parameters: ["hunter2"] });
        }
      });
      task({ name: "quoted", maxRetries: 0 }, async () => {
        await current().sql\`SELECT \${"hunter" + 2}::text::integer\`;
      });
    `,
  };
  await using project = await testProject({ database: db.url, files });
  for (const name of ["twice", "cause", "quoted"]) await db.sql`SELECT firefly.schedule(${name})`;

  const { stderr } = await project.run("consume", "--drain");

  const rows = await db.sql`SELECT func_name, errors, to_jsonb(task)::text AS whole FROM firefly.task ORDER BY id`;
  const said = rows.map(({ func_name, whole }) => [func_name, whole.split("hunter2").length - 1]);
  // "Key (mail)=(…) already exists" is the error's detail, which is not stored, and a parameter is cut from a message.
  assertEquals(said, [["twice", 0], ["cause", 0], ["quoted", 0]]);
  assertMatch(rows[0]!.errors[0].message, /duplicate key value violates unique constraint/);
  assertMatch(rows[2]!.errors[0].message, /invalid input syntax for type integer: /);
  const failed = jsonLines(stderr).filter(({ event }) => event === "failed");
  const logged = failed.filter((entry) => JSON.stringify(entry).includes("hunter2"));
  assertEquals([failed.length, logged.map(({ func_name }) => func_name)], [3, []]);
});

/** A copy of what is needed to install the package, with nothing downloaded yet. */
async function cleanCheckout(): Promise<
  AsyncDisposable & { run(...args: string[]): Promise<Deno.CommandOutput>; lock: string }
> {
  const directory = await Deno.realPath(await Deno.makeTempDir({ prefix: "firefly_install_" }));
  const { success } = await new Deno.Command("cp", {
    args: [
      "-R",
      ...["deno.json", "deno.lock", "mod.ts", "cli.ts", "src", "scripts"].map((it) => new URL(it, ROOT).pathname),
      directory,
    ],
  }).output();
  assert(success);
  return {
    lock: `${directory}/deno.lock`,
    run: (...args) =>
      new Deno.Command(Deno.execPath(), {
        args,
        cwd: directory,
        env: { DENO_DIR: `${directory}/.cache`, NO_COLOR: "1" },
        stdin: "null",
      }).output(),
    [Symbol.asyncDispose]: () => Deno.remove(directory, { recursive: true }),
  };
}

const INSTALL = ["install", "--frozen", "--entrypoint", "mod.ts", "cli.ts"];

Deno.test("a clean checkout installs from the frozen lockfile, which pins every package by its digest", async () => {
  await using checkout = await cleanCheckout();

  const { code, stderr } = await checkout.run(...INSTALL);

  assertEquals(code, 0, new TextDecoder().decode(stderr));
  const { npm } = JSON.parse(await Deno.readTextFile(checkout.lock));
  const { allowScripts: { deny } } = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT)));
  for (const [name, { integrity, scripts }] of Object.entries<{ integrity: string; scripts?: boolean }>(npm)) {
    assertMatch(integrity, /^sha512-/, name);
    const isDenied = deny.includes(`npm:${name.replace(/@[^@]+$/, "")}`);
    assertEquals(scripts ?? false, isDenied, `${name} has an install script, or none that deno.json would deny`);
  }
  assertEquals(await Deno.readTextFile(checkout.lock), await Deno.readTextFile(new URL("deno.lock", ROOT)));
});

Deno.test("a package that is not the one of the lockfile is not installed", async () => {
  await using checkout = await cleanCheckout();
  const lock = JSON.parse(await Deno.readTextFile(checkout.lock));
  lock.npm["postgres@3.4.9"].integrity = `sha512-${btoa("x".repeat(64))}`;
  await Deno.writeTextFile(checkout.lock, JSON.stringify(lock));

  const { code, stderr } = await checkout.run(...INSTALL);

  assertEquals(code, 1);
  assertMatch(new TextDecoder().decode(stderr), /(integrity|checksum)/i);
});

Deno.test("src/ imports the few packages that it is known to import, and built-ins of Node", async () => {
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["info", "--json", "cli.ts"], cwd: ROOT })
    .output();
  const { modules } = JSON.parse(new TextDecoder().decode(stdout)) as { modules: { specifier: string }[] };

  const packages = modules.flatMap(({ specifier }) => {
    if (specifier.startsWith("node:")) return [];
    if (!specifier.startsWith(ROOT.href)) {
      return [/^(?:npm|jsr):\/?(@[^/]+\/[^@/]+|[^@/]+)/.exec(specifier)?.[1] ?? specifier];
    }
    // The links to @std, which is a dependency where Firefly is published.
    return /\/scripts\/std\/(\w+)\//.exec(specifier)?.slice(1).map((name) => `@std/${name}`) ?? [];
  });
  assertEquals([...new Set(packages)].sort(), [
    "@hono/node-server",
    "@std/cli",
    "@std/encoding",
    "@std/text",
    "croner",
    "deno-std",
    "hono",
    "postgres",
  ]);
});

Deno.test("_notify(), which acts as its owner, calls nothing that the search_path of its caller offers", async () => {
  await using db = await testDatabase();
  await startConsumer(db);
  await db.sql`UPDATE firefly.consumer SET all_queues = true`;
  await db.sql.unsafe(`
    CREATE SCHEMA evil;
    CREATE FUNCTION evil.trap() RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE ''trapped''; END';
    CREATE FUNCTION evil.times(timestamptz, timestamptz) RETURNS boolean LANGUAGE sql RETURN evil.trap();
    CREATE FUNCTION evil.texts(text, text) RETURNS boolean LANGUAGE sql RETURN evil.trap();
    CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE plpgsql AS 'BEGIN RAISE ''trapped''; END';
    CREATE FUNCTION evil.pg_notify(text, text) RETURNS void LANGUAGE plpgsql AS 'BEGIN RAISE ''trapped''; END';
    CREATE FUNCTION evil.hashtextextended(text, bigint) RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RAISE ''trapped''; END';
    CREATE FUNCTION evil.pg_try_advisory_xact_lock_shared(bigint) RETURNS boolean LANGUAGE sql RETURN evil.trap();
    CREATE OPERATOR evil.> (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = evil.times);
    CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.texts);
  `);
  const sql = await db.sql.reserve();
  try {
    await sql`SET search_path = evil, pg_catalog`;
    await assertRejects(() => sql`SELECT now()`.execute(), Error, "trapped");
    await assertRejects(() => sql`SELECT 'a'::text = 'b'::text`.execute(), Error, "trapped");

    for (const queue of ["default", "unserved"]) await sql`SELECT firefly._notify(${queue})`;

    // Every other function of the schema that acts as its owner has a search_path of its own.
    const open = await sql`
      SELECT proname FROM pg_proc
      WHERE pronamespace OPERATOR(pg_catalog.=) 'firefly'::regnamespace AND prosecdef AND proconfig IS NULL
    `;
    assertEquals(open.map(({ proname }) => proname), ["_notify"]);
  } finally {
    await sql`RESET search_path`;
    sql.release();
  }
});
