import { makeUserTag, openClient } from "../database/driver.ts";
import type { ConnectionSettings } from "../database/settings.ts";
import { Firefly } from "../firefly/firefly.ts";
import { DEFAULT_SCHEMA } from "../firefly/options.ts";
import { startClock } from "../store/test_clock.ts";
import { defaultInstance } from "../task/scope.ts";
import { type Place, toConnectionString, withDatabase } from "./database_url.ts";
import { type Setup, TestDatabases } from "./databases.ts";
import { standInForDefault } from "./default_instance.ts";
import { checkTestOptions, findTestServer, type TestOptions } from "./options.ts";
import { TestFirefly } from "./test_firefly.ts";

/**
 * Makes an instance for one test, on a database of its own: a copy of a template, which the first call on a server makes.
 * Dispose of it at the end of the test, which drops the database; that of a test run that was killed is dropped by a later
 * one.
 *
 * @throws {TypeError | RangeError} If an option is wrong.
 * @throws {DatabaseUnreachable} If there is no server.
 * @throws {FireflyError} If the role may not create databases.
 *
 * @example
 * ```ts
 * import { task } from "@firefly/tasks";
 * import { testFirefly } from "@firefly/tasks/testing";
 *
 * const greet = task("doc.testing.greet", (name: string) => `Hello, ${name}!`);
 *
 * await using ff = await testFirefly();
 * const greeting = await greet.schedule("Ada");
 * await ff.assertScheduled(greet, { args: ["Ada"] });
 * await ff.drain();
 * console.log(await greeting.result()); // Hello, Ada!
 * ```
 */
export async function testFirefly(options: TestOptions = {}): Promise<TestFirefly> {
  checkTestOptions(options);
  const { now, tasks, cron, setup, database: given, ...own } = options;
  const predecessor = defaultInstance() as Firefly | undefined;
  const { database: _, listenDatabase: __, alerts: ___, ...inherited } = predecessor?.options ?? {};
  const instance = { ...inherited, ...own };
  const { onProgress } = instance;
  const { place, settings } = await findTestServer({ database: given, onProgress });
  const schema = instance.schema ?? DEFAULT_SCHEMA;
  const databases = await TestDatabases.open(settings, { schema, hasClock: true });
  const parts: { name?: string; firefly?: Firefly; restore?: () => void } = {};
  async function end(): Promise<void> {
    parts.restore?.();
    try {
      await parts.firefly?.close();
      databases.setIdle(false);
      if (parts.name) await databases.drop(parts.name);
    } finally {
      await databases.end();
    }
  }
  try {
    parts.name = await databases.create({ setup: setup && setupOf(setup, place) });
    databases.setIdle(true);
    const database = withDatabase(place, parts.name);
    const firefly = parts.firefly = new Firefly({ ...instance, database });
    for (const middleware of predecessor?.hooks.middleware ?? []) firefly.use(middleware);
    if (now) await startClock((await firefly.connect()).database.records, now);
    const test = new TestFirefly({
      firefly,
      url: toConnectionString(database),
      end,
      ...(tasks ? { tasks: [...tasks] } : {}),
      ...(cron === undefined ? {} : { cron }),
    });
    await test.start();
    parts.restore = standInForDefault(firefly);
    return test;
  } catch (error) {
    await end();
    throw error;
  }
}

/** Makes of a user's function one that gets the settings of the database to fill. */
function setupOf(setup: NonNullable<TestOptions["setup"]>, place: Place): Setup {
  async function run(settings: ConnectionSettings): Promise<void> {
    const client = openClient(settings, {});
    try {
      const sql = makeUserTag((build) => build(client) as never);
      await setup({ url: toConnectionString(withDatabase(place, settings.target.database)), sql });
    } finally {
      await client.end({ timeout: 2 });
    }
  }
  return { key: setup, run };
}
