/** What roles do in databases of their own: a consumer's whole life, and traps that producers set for the owner. */
import { assert, assertEquals } from "@std/assert";
import type postgres from "postgres";
import { PACKAGE, testProject } from "../support/project.ts";
import { until } from "../support/waiting.ts";
import { type RolesDatabase, rolesDatabase } from "../support/roles.ts";

Deno.test("a consumer lives its whole life: cli.ts consume, and the commands beside it", async () => {
  await using own = await rolesDatabase();
  const { schema } = own;
  const files = { "tasks.ts": consumerTasks() };
  await using project = await testProject({ database: own.urlOf("consumer"), files });
  await using consumer = project.start("consume", "--schema", schema, "--verbose");
  await consumer.said("listening");

  // Each is scheduled by a producer, whose NOTIFY wakes the consumer.
  for (
    const call of ["'parent', '[2]'", "'flaky'", "'limited', '[1]'", "'limited', '[2]'", "'bad', max_retries => 0"]
  ) {
    await own.run("producer", `SELECT firefly.schedule(${call})`);
  }
  await own.run("producer", "SELECT firefly.schedule('once', unique_key => 'u', unique_for => 1)");
  await consumer.said("boom");
  const ended = "SELECT count(*)::integer AS n FROM firefly.task WHERE status <> 'created'";
  await until(async () => (await own.run("owner", ended))[0]!.n >= 8);
  const run = async (...args: string[]) => {
    const { code, stderr } = await project.run(...args, "--schema", schema);
    return [args[0], code, code === 0 ? "" : stderr];
  };
  const [bad] = await own.run("owner", "SELECT id FROM firefly.task WHERE func_name = 'bad'");
  const commands = [
    ["migrate"],
    ["migrate", "--status"],
    ["list", "--json"],
    ["show", String(bad!.id)],
    ["explain", String(bad!.id)],
    ["retry", String(bad!.id)],
    ["schedule", "nap", "[]", "--delay", "1h"],
    ["queues"],
    ["pause", "mail", "--yes"],
    ["resume", "mail"],
    ["cron", "list"],
    ["cron", "pause", "tick"],
    ["cron", "resume", "tick"],
    ["cron", "run", "tick"],
    ["schedule", "echo", '["x"]', "--wait"],
    ["cancel", "--queue", "default", "--yes"],
    ["prune"],
    ["delete", "--status", "completed", "--yes"],
  ];
  const answers = [];
  for (const args of commands) answers.push(await run(...args));
  consumer.kill("SIGTERM");
  const { code, stderr } = await consumer.ended();

  assertEquals(answers.filter(([, code]) => code !== 0), []);
  assertEquals(code, 0);
  assert(!/permission denied|42501/.test(stderr), stderr);
  assert(!stderr.includes('"event":"error"'), stderr);
});

function consumerTasks(): string {
  return `
    import { current, task } from ${JSON.stringify(PACKAGE)};
    const child = task("child", (n: number) => n + 1);
    task("parent", async (n: number) => {
      await current().progress(0.5, "half");
      await current().sql\`SELECT 1\`;
      await child.schedule(n);
      return n;
    });
    task({ name: "flaky", maxRetries: 1, retryDelay: 0 }, () => {
      if (current().attempt === 1) throw new Error("not yet");
    });
    task({ name: "limited", concurrency: { limit: 1 }, rateLimit: { limit: 100, per: "1s" } }, (n: number) => n);
    task("bad", () => { throw new Error("boom"); });
    task("once", () => {});
    task("echo", (text: string) => text);
    task("nap", () => {});
    task({ name: "tick", cron: "* * * * * *" }, () => {});
  `;
}

/** Runs schedule() as a producer who has put a schema of their own before all others, with `traps` in it. */
async function scheduleAmongTraps(own: RolesDatabase, traps: string): Promise<postgres.Row[]> {
  await own.db.sql.unsafe(`CREATE SCHEMA evil AUTHORIZATION ${own.login("producer")}`);
  await own.run(
    "producer",
    `CREATE TABLE evil.caught (who text); GRANT INSERT ON evil.caught TO PUBLIC;
    GRANT USAGE ON SCHEMA evil TO PUBLIC; SET search_path = evil, pg_catalog; ${traps}`,
  );
  await own.run("producer", `SELECT firefly.schedule('x', '["a"]', unique_key => 'k')`);
  await own.run("producer", `SELECT * FROM firefly._produce('[]')`);
  return await own.run("producer", "SELECT who FROM evil.caught");
}

Deno.test("a function before pg_catalog in the caller's search_path is not called as the owner", async () => {
  await using own = await rolesDatabase();

  const caught = await scheduleAmongTraps(
    own,
    `CREATE FUNCTION evil.jsonb_typeof(j jsonb) RETURNS text LANGUAGE plpgsql AS $$ BEGIN
      INSERT INTO evil.caught VALUES (current_user); RETURN pg_catalog.jsonb_typeof(j); END $$;`,
  );

  assertEquals(caught.map(({ who }) => who), []);
});

Deno.test("an operator before pg_catalog in the caller's search_path is not called as the owner", async () => {
  await using own = await rolesDatabase();

  const caught = await scheduleAmongTraps(
    own,
    `CREATE FUNCTION evil.differs(a text, b text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
      INSERT INTO evil.caught VALUES (current_user); RETURN a OPERATOR(pg_catalog.<>) b; END $$;
    CREATE OPERATOR evil.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.differs);`,
  );

  assertEquals(caught.map(({ who }) => who), []);
});

Deno.test("a temporary table with the name of a type does not get into a function of the owner", async () => {
  await using own = await rolesDatabase();

  const caught = await scheduleAmongTraps(
    own,
    "CREATE TEMP TABLE regclass (x integer); CREATE TEMP TABLE task (x integer);",
  );

  assertEquals(caught.length, 0);
  assertEquals((await own.run("owner", "SELECT FROM firefly.task")).length, 1);
});
