import { assert, assertEquals, assertInstanceOf, assertLess, assertRejects, assertThrows } from "@std/assert";
import { configure, consume, Firefly, InstanceClosed, task, tasks } from "../../mod.ts";
import { withDeadline } from "../../src/database/deadline.ts";
import { setDefaultInstance } from "../../src/task/scope.ts";
import { testDatabase } from "../support/database.ts";
import { taskName } from "../support/instance.ts";
import { until } from "../support/waiting.ts";

/** Longer than anything should take that has to end at once, on a busy machine. */
const AT_ONCE = 8_000;

const never = task({ name: taskName(), queue: "never" })(() => 1);

/** A port of this machine that accepts connections and answers nothing. */
function silentServer(): { url: string } & Disposable {
  const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const accepted: Deno.Conn[] = [];
  (async () => {
    for await (const connection of listener) accepted.push(connection);
  })().catch(() => {});
  return {
    url: `postgres://127.0.0.1:${(listener.addr as Deno.NetAddr).port}/app`,
    [Symbol.dispose]() {
      listener.close();
      for (const connection of accepted) connection.close();
    },
  };
}

Deno.test("close() ends a pending result() and watch() with InstanceClosed, at once and for good", async () => {
  await using db = await testDatabase();
  const ff = new Firefly({ database: db.url });
  const row = await ff.run(() => never.schedule());
  const watch = row.watch()[Symbol.asyncIterator]();
  await watch.next();
  const pending = [row.result(), row.result({ timeout: "1h" }), watch.next()];
  const outcomes = Promise.allSettled(pending);
  await new Promise((resolve) => setTimeout(resolve, 20));

  await ff.close();

  for (const outcome of await withDeadline(outcomes, AT_ONCE)) {
    assert(outcome.status === "rejected");
    assertInstanceOf(outcome.reason, InstanceClosed);
  }
  await until(async () =>
    (await db.sql`
    SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'firefly'
  `).count === 0
  );
});

Deno.test("close() makes every later use reject with InstanceClosed, whatever it is", async () => {
  await using db = await testDatabase();
  const ff = new Firefly({ database: db.url });
  const row = await ff.run(() => never.schedule());
  const page = (await ff.tasks.list({}, { limit: 1 }))[Symbol.asyncIterator]();
  await ff.run(() => never.schedule());
  await page.next();
  const { database } = await ff.connect();
  await ff.close();

  const uses: Record<string, () => Promise<unknown>> = {
    schedule: () => ff.run(() => never.schedule()),
    scheduleMany: () => ff.run(() => never.scheduleMany([[], []])),
    transaction: () => ff.transaction((sql) => sql`SELECT 1`),
    sql: () => ff.sql`SELECT 1`,
    "sql of a connection": () => database.userSql`SELECT 1`,
    prune: () => ff.prune(),
    migrate: () => ff.migrate(),
    migrations: () => ff.migrations(),
    queues: () => ff.queues(),
    pause: () => ff.pause("default"),
    resume: () => ff.resume("default"),
    get: () => ff.tasks.get(row.id),
    list: () => ff.tasks.list(),
    "the next page": () => page.next(),
    counts: () => ff.tasks.counts(),
    explain: () => ff.tasks.explain(row.id),
    "cancel in bulk": () => ff.tasks.cancel({}),
    result: () => row.result(),
    watch: () => row.watch()[Symbol.asyncIterator]().next(),
    refresh: () => row.refresh(),
    retry: () => row.retry(),
    cancel: () => row.cancel(),
    delete: () => row.delete(),
  };
  for (const [name, use] of Object.entries(uses)) {
    await assertRejects(() => withDeadline(use(), AT_ONCE), InstanceClosed, "as it was closed", name);
  }
  assertThrows(() => ff.consume({ tasks: [never] }), InstanceClosed);
});

Deno.test("close() of the default instance leaves it closed until configure() makes another", async () => {
  await using db = await testDatabase();
  await configure({ database: db.url }).close();
  try {
    await assertRejects(() => never.schedule(), InstanceClosed, "call configure() again");
    await assertRejects(() => tasks.list(), InstanceClosed);
    assertThrows(() => consume({ tasks: [never] }), InstanceClosed);

    await using _again = configure({ database: db.url });
    assertEquals((await never.schedule()).status, "created");
  } finally {
    setDefaultInstance(undefined);
  }
});

Deno.test("close() while it connects to a server that does not answer ends at once, with what waits for it", async () => {
  using server = silentServer();
  for (const delay of [0, 50]) {
    const ff = new Firefly({ database: server.url });
    const consumer = ff.consume({ tasks: [never] });
    const listed = assertRejects(() => ff.tasks.list(), InstanceClosed);
    await new Promise((resolve) => setTimeout(resolve, delay));
    const began = performance.now();

    await ff.close();

    assertLess(performance.now() - began, 4_000); // its timeout is 10 s
    await listed;
    assertEquals(await consumer.finished, { completed: 0, failed: 0 });
    await new Promise((resolve) => setTimeout(resolve, 100)); // the driver's timers for connections that it gave up
  }
});

Deno.test("close() waits for schedule() calls that came before it, also before it has connected", async () => {
  await using db = await testDatabase();
  const ff = new Firefly({ database: db.url });
  const scheduled = ff.run(() =>
    Promise.all([never.schedule(), never.scheduleMany([[], []]), never.with({ unique: "a" }).schedule()])
  );

  await ff.close();

  await scheduled;
  assertEquals((await db.sql`SELECT FROM firefly.task`).length, 4);
});

Deno.test("close() lets an open transaction commit, and begins no other", async () => {
  await using db = await testDatabase();
  const ff = new Firefly({ database: db.url });
  const [begun, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const open = ff.transaction(async (sql) => {
    await sql`SELECT 1`;
    begun.resolve();
    await go.promise;
    await never.schedule();
    await sql`SELECT 2`;
  });
  await begun.promise;

  await ff.close();
  await assertRejects(() => ff.transaction((sql) => sql`SELECT 1`), InstanceClosed);
  go.resolve();

  await open;
  assertEquals((await db.sql`SELECT FROM firefly.task`).length, 1);
});

Deno.test("close() ends calls that wait for a free session", async () => {
  await using db = await testDatabase();
  const ff = new Firefly({ database: db.url });
  const go = Promise.withResolvers<void>();
  const open = Array.from({ length: 11 }, () =>
    ff.transaction(async (sql) => {
      await sql`SELECT 1`;
      await go.promise;
    }));
  const outcomes = Promise.allSettled(open);
  await until(async () => (await db.sql`SELECT FROM pg_stat_activity WHERE state = 'idle in transaction'`).count >= 10);

  await ff.close();
  go.resolve();

  const failures = (await outcomes).flatMap((outcome) => outcome.status === "rejected" ? [outcome.reason] : []);
  assertEquals(failures.length, 1);
  assertInstanceOf(failures[0], InstanceClosed);
});

Deno.test("close() lets a handler use the instance until it has ended", async () => {
  await using db = await testDatabase();
  const ff = new Firefly({ database: db.url });
  const [began, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const slow = task({ name: taskName() })(async () => {
    began.resolve();
    await go.promise;
    await ff.sql`SELECT 1`;
    return (await never.schedule()).id;
  });
  const consumer = ff.consume({ tasks: [slow] });
  await ff.run(() => slow.schedule());
  await began.promise;

  const closed = ff.close();
  await new Promise((resolve) => setTimeout(resolve, 20));
  assertThrows(() => ff.consume({ tasks: [never] }), InstanceClosed);
  go.resolve();
  await closed;

  assertEquals(await consumer.finished, { completed: 1, failed: 0 });
});
