import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import postgres from "postgres";
import { DatabaseUnreachable, Firefly, task } from "../../mod.ts";
import { Database } from "../../src/database/pools.ts";
import { type PostgresOptions, resolveConnection } from "../../src/database/settings.ts";
import { testDatabase } from "../support/database.ts";
import { taskName } from "../support/instance.ts";
import { until } from "../support/waiting.ts";

/** Options with which to reach a test's database. */
function optionsOf(url: string, password: unknown): PostgresOptions {
  const { hostname, port, pathname, username } = new URL(url);
  return {
    host: hostname,
    port: Number(port),
    database: pathname.slice(1),
    username,
    password: password as () => string,
  };
}

/** The password that the server of the tests wants, if it wants one. */
function passwordOf(url: string): string {
  return decodeURIComponent(new URL(url).password) || "any";
}

/** Collects rejections that are not handled: each would end a process. */
function unhandled(): { rejections: unknown[] } & Disposable {
  const rejections: unknown[] = [];
  const listener = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    rejections.push(event.reason);
  };
  addEventListener("unhandledrejection", listener);
  return { rejections, [Symbol.dispose]: () => removeEventListener("unhandledrejection", listener) };
}

const broken = new Error("the token service answers 503");
const failing: [what: string, password: () => unknown, reason: string, cause: unknown][] = [
  ["rejects", () => Promise.reject(broken), "the token service answers 503", broken],
  [
    "throws",
    () => {
      throw broken;
    },
    "the token service answers 503",
    broken,
  ],
  ["throws a text", () => Promise.reject("no token"), "no token", "no token"],
  ["throws an object without a prototype", () => Promise.reject(Object.create(null)), "cannot be read", undefined],
  [
    "resolves to undefined",
    () => Promise.resolve(undefined),
    "returned no text, but a value of type undefined",
    undefined,
  ],
  ["returns null", () => null, "returned no text, but null", undefined],
  ["returns a number", () => 5, "returned no text, but a value of type number", undefined],
];

for (const [what, password, reason, cause] of failing) {
  Deno.test(`a password function that ${what} makes the database unreachable`, async () => {
    await using db = await testDatabase({ migrated: false });
    using heard = unhandled();
    const database = new Database(await resolveConnection(optionsOf(db.url, password)), "firefly");

    const error = await assertRejects(async () => await database.userSql`SELECT 1`, DatabaseUnreachable);
    await assertRejects(async () => await database.sql`SELECT 1`, DatabaseUnreachable, reason);
    await database.end();

    assertStringIncludes(error.message, reason);
    assertEquals(error.refused, false);
    if (cause !== undefined) assert(error.cause === cause);
    assertEquals(heard.rejections, []);
  });
}

Deno.test("a password function is called for each connection, and its password is used", async () => {
  await using db = await testDatabase({ migrated: false });
  let calls = 0;
  const database = new Database(
    await resolveConnection(optionsOf(db.url, () => {
      calls++;
      return Promise.resolve(passwordOf(db.url));
    })),
    "firefly",
  );

  await database.sql`SELECT 1`;
  await database.records`SELECT 1`;
  await database.end();

  assertEquals(calls, 2);
});

Deno.test("a password function and a socket that is gone make the database unreachable", async () => {
  const options = { host: "/nonexistent", username: "u", password: () => "any" };
  const database = new Database(await resolveConnection(options), "firefly");

  for (let i = 0; i < 2; i++) {
    const error = await assertRejects(async () => await database.sql`SELECT 1`, DatabaseUnreachable, "ENOENT");
    assertEquals((error.cause as { code: string }).code, "ENOENT");
  }
  await database.end();
});

Deno.test("a client that is discarded while its password is fetched opens no connection", async () => {
  await using db = await testDatabase({ migrated: false });
  const fetched = Promise.withResolvers<string>();
  const asked = Promise.withResolvers<void>();
  const password = () => (asked.resolve(), fetched.promise);
  const settings = await resolveConnection({ ...optionsOf(db.url, password) });
  const named = { ...settings, target: { ...settings.target, settings: { application_name: "abandoned" } } };
  const database = new Database(named, "firefly");
  const running = database.userSql`SELECT 1`.then(() => "answered", () => "rejected");

  await asked.promise;
  const ended = database.end();
  await running;
  await ended;
  fetched.resolve("late");
  await new Promise((resolve) => setTimeout(resolve, 300)); // a connection would be there by then

  const sql = postgres(db.url, { max: 1 });
  const rows = await sql`SELECT FROM pg_stat_activity WHERE application_name = 'abandoned'`;
  await sql.end();
  assertEquals(rows.length, 0);
});

Deno.test("a consumer waits while its password cannot be fetched, and goes on then", async () => {
  await using db = await testDatabase();
  using heard = unhandled();
  let isDown = false;
  const password = () => isDown ? Promise.reject(broken) : Promise.resolve(passwordOf(db.url));
  await using ff = new Firefly({ database: optionsOf(db.url, password) });
  const name = taskName();
  const add = task({ name, maxRetries: 0 }, (i: number) => i + 1);
  const consumer = ff.consume({ tasks: [add], pollInterval: "100ms" });
  await consumer.ready;

  isDown = true;
  const error = await assertRejects(
    async () => await new Firefly({ database: optionsOf(db.url, password) }).sql`SELECT 1`,
    DatabaseUnreachable,
  );
  await db.sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'firefly' AND pid <> pg_backend_pid()`;
  const [row] = await db.sql`SELECT firefly.schedule(${name}, '[1]') AS id`;
  isDown = false;
  await until(async () =>
    (await db.sql`SELECT FROM firefly.task WHERE id = ${row!.id} AND status = 'completed'`).length > 0
  );
  await consumer.stop();

  assert(error.cause === broken);
  assertEquals(heard.rejections, []);
});
