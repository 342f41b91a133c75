import { assert, assertEquals, assertInstanceOf, assertRejects, assertStringIncludes } from "@std/assert";
import { type Events, Firefly, FireflyError, SchemaMismatch, task } from "../../mod.ts";
import { claim, expireConsumer, startConsumer } from "../support/claiming.ts";
import type { TestDatabase } from "../support/database.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { testDatabase } from "../support/database.ts";
import { until } from "../support/waiting.ts";

const work = task({ name: taskName() })((n: number) => n);
const OLD = "now() - interval '90 days'";

/** Makes `count` completed records that have expired; each of `holds` keeps a record from being deleted. */
async function expired({ sql }: TestDatabase, count: number): Promise<void> {
  await sql.unsafe(`
    INSERT INTO firefly.task (func_name) SELECT 'test.old' FROM generate_series(1, ${count});
    DELETE FROM firefly.ready;
    UPDATE firefly.task SET status = 'completed', created = ${OLD}, started = ${OLD}, completed = ${OLD}
  `);
}

/** What users add to the database so that task 150 cannot be deleted. */
const HOLDS: Record<string, string> = {
  "a foreign key": `
    CREATE TABLE invoice (task_id bigint REFERENCES firefly.task (id));
    INSERT INTO invoice VALUES (150)`,
  "a deferred foreign key": `
    CREATE TABLE invoice (task_id bigint REFERENCES firefly.task (id) DEFERRABLE INITIALLY DEFERRED);
    INSERT INTO invoice VALUES (150)`,
  "a trigger that raises": `
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        IF old.id = 150 THEN RAISE 'kept for the audit'; END IF;
        RETURN old;
      END
    $$;
    CREATE TRIGGER refuse BEFORE DELETE ON firefly.task FOR EACH ROW EXECUTE FUNCTION refuse()`,
};

for (const [name, hold] of Object.entries(HOLDS)) {
  Deno.test(`${name} keeps one record from being deleted, and no other: prune(), a consumer, delete()`, async () => {
    await using test = await testInstance();
    const { db, ff } = test;
    await expired(db, 300);
    await db.sql.unsafe(hold);
    const errors: Events["consumer.error"][] = [];
    ff.on("consumer.error", (detail) => errors.push(detail));
    const left = async () => (await db.sql`SELECT id::integer FROM firefly.task`).map(({ id }) => id);

    assertEquals(await ff.prune(), 299);
    assertEquals(await left(), [150]);
    assertEquals(errors.map(({ action }) => action), ["prune records"]);
    assertStringIncludes(String(errors[0]!.error), "Cannot prune task 150, all others are pruned: ");

    errors.length = 0;
    await db.sql.unsafe(`INSERT INTO firefly.task (id, func_name) OVERRIDING SYSTEM VALUE SELECT id, 'test.old'
      FROM generate_series(1000, 1099) AS id; DELETE FROM firefly.ready;
      UPDATE firefly.task SET status = 'completed', created = ${OLD}, completed = ${OLD} WHERE id >= 1000;
      UPDATE firefly.retention SET next_prune = now(), prune_cursor = 0`);
    await using consumer = ff.consume({ tasks: [work], lease: "1s" });
    await consumer.ready;
    await until(async () => (await left()).join() === "150");
    await until(() => errors.length > 0);
    assertEquals(errors.map(({ action }) => action), ["prune records"]);
    assertEquals(await ff.run(async () => await work.schedule(7).result({ timeout: "20s" })), 7);

    await db.sql.unsafe(`INSERT INTO firefly.task (func_name) SELECT 'test.gone' FROM generate_series(1, 20)`);
    const error = await assertRejects(() => ff.tasks.delete({}), FireflyError, "task 150 stayed as they were");
    assertInstanceOf(error.cause, Error);
    assertEquals(await left(), [150]);
  });
}

Deno.test("a record that a trigger of the user's refuses to change is not rescued, and all others are", async () => {
  await using db = await testDatabase();
  await using ff = new Firefly({ database: db.url });
  const crashed = await startConsumer(db);
  await db.sql`INSERT INTO firefly.task (func_name) SELECT 'test.task' FROM generate_series(1, 9)`;
  await claim(db, { consumerId: crashed, limit: 9 });
  await expireConsumer(db, crashed);
  await db.sql.unsafe(`
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        IF old.id = 5 THEN RAISE 'not this one'; END IF;
        RETURN new;
      END
    $$;
    CREATE TRIGGER refuse BEFORE UPDATE ON firefly.task FOR EACH ROW EXECUTE FUNCTION refuse()
  `);
  const errors: string[] = [];
  const rescued: number[] = [];
  ff.on("consumer.error", ({ action, error }) => errors.push(`${action}: ${error}`));
  ff.on("rescued", ({ id }) => rescued.push(id));

  await using consumer = ff.consume({ queues: "other", tasks: [work], lease: "1s" });
  await consumer.ready;
  await until(() => errors.length > 0);

  assertEquals(rescued.sort(), [1, 2, 3, 4, 6, 7, 8, 9]);
  assertEquals(errors, ["rescue tasks: FireflyError: Cannot rescue task 5, all others are rescued"]);
});

Deno.test("a consumer that drains first rescues what a crashed consumer left, and requeues what stands nowhere", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  const names = { tasks: [work.name] };
  const crashed = await startConsumer(db, names);
  await ff.run(() => work.scheduleMany(Array.from({ length: 11 }, (_, i) => [i])));
  await claim(db, { consumerId: crashed, limit: 10 });
  await expireConsumer(db, crashed);
  await db.sql`DELETE FROM firefly.ready`; // one stands nowhere

  const consumer = ff.consume({ tasks: [work], drain: true });

  assertEquals(await consumer.finished, { completed: 11, failed: 0 });
});

Deno.test("a consumer that cannot start is an unhandled rejection, unless ready or finished was read, or it was stopped", async () => {
  await using db = await testDatabase({ migrated: false });
  await using ff = new Firefly({ database: db.url });
  const unhandled: unknown[] = [];
  const onRejection = (event: PromiseRejectionEvent) => {
    unhandled.push(event.reason);
    event.preventDefault();
  };
  globalThis.addEventListener("unhandledrejection", onRejection);
  try {
    await assertRejects(() => ff.consume({ tasks: [work] }).ready, SchemaMismatch);
    await assertRejects(() => ff.consume({ tasks: [work] }).finished, SchemaMismatch);
    await ff.consume({ tasks: [work] }).stop();
    await new Promise((resolve) => setTimeout(resolve, 20));
    assertEquals(unhandled, []);

    ff.consume({ tasks: [work] });
    await until(() => unhandled.length > 0);
    assert(unhandled[0] instanceof SchemaMismatch);
  } finally {
    globalThis.removeEventListener("unhandledrejection", onRejection);
  }
});
