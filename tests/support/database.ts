import postgres from "postgres";
import { Database } from "../../src/database/pools.ts";
import type { Tag } from "../../src/database/driver.ts";
import { type ConnectionSettings, resolveConnection } from "../../src/database/settings.ts";
import { TestDatabases } from "../../src/testing/databases.ts";
import { testServer } from "./server.ts";

/** A database of a test's own. */
export interface TestDatabase extends AsyncDisposable {
  url: string;
  settings: ConnectionSettings;
  /** A plain client, for a test's own statements. */
  sql: postgres.Sql;
  /** The tag of the store's statements on the hot path. */
  store: Tag;
  /** The tag of the store's other statements. */
  records: Tag;
}

/** Makes a migrated database, or, with `migrated: false`, an empty one. A migrated one is a copy of a template. */
export async function testDatabase({ migrated = true } = {}): Promise<TestDatabase> {
  const { url: server, settings: serverSettings, strategy } = await testServer();
  const options = { schema: "firefly", hasClock: false, strategy, serverSettings };
  const databases = await TestDatabases.open(await resolveConnection(server), options);
  const database = await databases.create({ isEmpty: !migrated });
  const url = urlOf(server, database);
  const settings = await resolveConnection(url);
  const sql = postgres(url, { max: 2, onnotice() {} });
  const own = new Database(settings, "firefly");
  return {
    url,
    settings,
    sql,
    store: own.sql,
    records: own.records,
    async [Symbol.asyncDispose]() {
      await Promise.all([sql.end({ timeout: 1 }), own.end()]);
      await databases.drop(database);
      await databases.end();
    },
  };
}

function urlOf(server: string, database: string): string {
  return Object.assign(new URL(server), { pathname: `/${database}` }).href;
}
