import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  configure,
  consume,
  current,
  DatabaseUnreachable,
  defineConfig,
  Firefly,
  SchemaMismatch,
  task,
  tasks,
  transaction,
} from "../../mod.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { until } from "../support/waiting.ts";
import { countTasks } from "../support/records.ts";

const ping = task(taskName(), (value?: number) => value);

/** How many connections an instance has. */
async function countConnections(db: TestDatabase): Promise<number> {
  const rows = await db.sql`
    SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'firefly'
  `;
  return rows.count;
}

Deno.test("configure() creates the default instance, which the functions use, and closes the one it replaces", async () => {
  await using db = await testDatabase();
  const replaced = configure({ database: db.url });
  await ping.schedule(1);
  assert(await countConnections(db) > 0);

  await using ff = configure({ database: db.url, defaults: { queue: "other" } });
  const row = await ping.schedule(2);
  assertEquals(row.queue, "other");
  assertEquals((await tasks.get(row.id)).params, [2]);
  assertEquals((await tasks.list({ queue: "other" })).items.length, 1);
  assertEquals((await ff.tasks.counts()).other!.created, 1);
  await transaction((sql) => sql`SELECT 1`);
  await using consumer = consume({ queues: "other", drain: true });
  assertEquals(await consumer.finished, { completed: 1, failed: 0 });

  assertEquals(await tasks.delete({}), 2);
  await replaced.close();
  await ff.close();
  await until(async () => await countConnections(db) === 0);
});

Deno.test("tasks act on the instance that is current when they are called, not when they were read", async () => {
  await using db = await testDatabase();
  await using main = new Firefly({ database: db.url });
  await using jobs = new Firefly({ database: db.url, schema: "jobs" });
  await jobs.migrate();
  const { list } = tasks;

  await jobs.run(() => ping.schedule(1));

  assertEquals((await jobs.run(() => list())).items.length, 1);
  assertEquals((await main.run(() => list())).items.length, 0);
});

Deno.test("an instance that is logged shows no password and no key", () => {
  const ff = new Firefly({
    database: "postgres://user:hush@localhost/app",
    encryption: { keys: { a: "aHVzaGh1c2hodXNoaHVzaGh1c2hodXNoaHVzaGh1c2g=" }, current: "a" },
  });

  for (const text of [Deno.inspect(ff, { depth: 9 }), JSON.stringify(ff), JSON.stringify({ ...ff })]) {
    assert(!/hush|aHVz/.test(text), text);
  }
});

Deno.test("run() replaces the default instance, only for the code that runs inside it", async () => {
  await using db = await testDatabase();
  await using main = new Firefly({ database: db.url });
  await using jobs = new Firefly({ database: db.url, schema: 'Jo"bs' });
  await jobs.migrate();

  await main.run(async () => {
    await ping.schedule(1);
    await jobs.run(async () => {
      await ping.schedule(2);
      await Promise.resolve();
      await ping.schedule(3);
    });
    await ping.schedule(4);
  });

  assertEquals([await countTasks(db), await countTasks(db, 'Jo"bs')], [2, 2]);
  assertEquals(jobs.schema, 'Jo"bs');
  await using consumer = jobs.consume({ tasks: [ping], drain: true });
  assertEquals(await consumer.finished, { completed: 2, failed: 0 });
  assertEquals((await main.tasks.counts()).default!.created, 2);
});

Deno.test("current().sql outside of any attempt is the pool, or the open transaction", async () => {
  await using test = await testInstance();
  const pid = async () => (await current().sql<{ pid: number }>`SELECT pg_backend_pid() AS pid`)[0]!.pid;

  await test.ff.run(async () => {
    const pool = await pid();
    await test.ff.transaction(async (sql) => {
      const [own] = await sql<{ pid: number }>`SELECT pg_backend_pid() AS pid`;
      assertEquals(await pid(), own!.pid);
      assert(own!.pid !== pool);
    });
  });
});

Deno.test("close() ends consumers and every connection, can be called twice, and by two at once", async () => {
  await using db = await testDatabase();
  const ff = new Firefly({ database: db.url });
  const consumer = ff.consume({ tasks: [ping] });
  await consumer.ready;
  await ff.run(async () => await ping.schedule(1).result({ timeout: "10s" }));
  await ff.transaction((sql) => sql`SELECT 1`);
  assert(await countConnections(db) >= 3);

  await Promise.all([ff.close(), ff.close()]);
  await ff.close();

  assertEquals(await consumer.finished, { completed: 1, failed: 0 });
  assertEquals((await db.sql`SELECT FROM firefly.consumer`).length, 0);
  await until(async () => await countConnections(db) === 0);
});

Deno.test("close() of an instance that never connected does nothing", async () => {
  await new Firefly({ database: "postgres://127.0.0.1:1/nowhere" }).close();
});

Deno.test("configure() and new Firefly() take what defineConfig() made, and ignore tasks and consume", async () => {
  const config = defineConfig({
    database: "postgres://h/d",
    schema: "jobs",
    tasks: "x.ts",
    consume: { concurrency: 2 },
  });

  await using configured = configure(config);
  await using made = new Firefly(config);

  assertEquals([configured.schema, made.schema], ["jobs", "jobs"]);
});

Deno.test("new Firefly() refuses databases that are wrong, without the password", () => {
  const refused: [database: unknown, reason: string][] = [
    [{ user: "u", password: "secret" }, 'there is no option "user", did you mean "username"?'],
    [{ hots: "h" }, 'there is no option "hots", did you mean "host"?'],
    [5, '"database" must be a URL'],
  ];
  for (const [database, reason] of refused) {
    const error = assertThrows(() => new Firefly({ database } as never), TypeError, reason);
    assert(!error.message.includes("secret"));
  }
});

Deno.test("new Firefly() refuses unknown options, and names that cannot be a schema's", () => {
  assertThrows(
    () => new Firefly({ databse: "postgres://localhost/x" } as never),
    TypeError,
    'Cannot make an instance as there is no option "databse", did you mean "database"?',
  );
  for (const schema of ["", "a:b", "a\0b", "$user", "x".repeat(41)]) {
    assertThrows(() => new Firefly({ schema }), RangeError, "Cannot use the schema");
  }
});

Deno.test("schedule() reports what is missing: the server, the database, the schema, a valid URL", async () => {
  await using db = await testDatabase({ migrated: false });
  const schedule = async (database: string) => {
    await using ff = new Firefly({ database });
    await ff.run(() => ping.schedule(1));
  };

  await assertRejects(() => schedule("postgres://127.0.0.1:1/nowhere"), DatabaseUnreachable, "127.0.0.1:1/nowhere");
  const missing = await assertRejects(() => schedule(`${db.url}_missing`), DatabaseUnreachable, "does not exist");
  assert(missing.refused);
  await assertRejects(() => schedule(db.url), SchemaMismatch, 'run the command "migrate"');
  await assertRejects(() => schedule("mysql://localhost/x"), TypeError, "postgres://");
});

Deno.test("two copies of the package share the tasks, the scope and the default instance", async () => {
  await using test = await testInstance();
  const copy = await copyOfPackage();
  const theirs = copy.task(taskName(), () => copy.current().id);
  const ours = task(taskName(), async () => (await theirs.schedule(), current().id));

  await test.ff.run(async () => {
    const [a, b] = [await theirs.schedule(), await ours.schedule()];
    await test.drain(); // all that are defined, by whichever copy
    const done = await theirs.get(a.id);
    assert(done.status === "completed");
    assertEquals(done.returned, a.id);
    assertEquals((await b.refresh()).returned, b.id);
    assertEquals((await copy.tasks.list()).items.length, 3);
  });
  assertThrows(() => copy.task(ours.funcName, () => {}), Error, "is already a name of task");
  const retried = task({ name: taskName(), retryDelay: "1h" }, () => {
    throw new copy.Retry({ delay: "2h" });
  });
  const row = await test.ff.run(() => retried.schedule());
  await test.drain();
  assertEquals((await row.refresh()).errors[0]!.delay, 7200);
});

/** The package's modules once more, as an application has them that got it by two ways. */
async function copyOfPackage(): Promise<typeof import("../../mod.ts")> {
  const root = new URL("../../", import.meta.url);
  const folder = await Deno.makeTempDir();
  async function copyFolder(path: string): Promise<void> {
    await Deno.mkdir(`${folder}/${path}`, { recursive: true });
    for await (const { name, isDirectory } of Deno.readDir(new URL(path, root))) {
      if (isDirectory) await copyFolder(`${path}/${name}`);
      else await Deno.copyFile(new URL(`${path}/${name}`, root), `${folder}/${path}/${name}`);
    }
  }
  await copyFolder("src");
  await Deno.copyFile(new URL("mod.ts", root), `${folder}/mod.ts`);
  try {
    return await import(`file://${folder}/mod.ts`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
