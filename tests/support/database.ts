import postgres from "postgres";
import { Database } from "../../src/database/pools.ts";
import type { Tag } from "../../src/database/driver.ts";
import { type ConnectionSettings, resolveConnection } from "../../src/database/settings.ts";
import { migrate } from "../../src/schema/migrator.ts";
import { MIGRATIONS } from "../../src/schema/migrations.ts";
import { type TestServer, testServer } from "./server.ts";

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

let template: Promise<{ server: TestServer; name: string }> | undefined;
let created = 0;

/** Makes a migrated database, or, with `migrated: false`, an empty one. A migrated one is a copy of a template. */
export async function testDatabase({ migrated = true } = {}): Promise<TestDatabase> {
  const { server, name } = await (template ??= makeTemplate());
  const database = `firefly_test_${Deno.pid}_${++created}_${crypto.randomUUID().slice(0, 8)}`;
  const admin = adminOf(server.url); // kept to the end: a second login would cost as much as making the database
  const source = migrated ? name : "template0";
  await admin.unsafe(`CREATE DATABASE ${database} TEMPLATE ${source} STRATEGY ${server.strategy}`);
  const url = urlOf(server.url, database);
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
      await admin.unsafe(`DROP DATABASE IF EXISTS ${database} WITH (FORCE)`);
      await admin.end({ timeout: 1 });
    },
  };
}

/** One template for each state of the migrations, shared by all test processes and runs. */
async function makeTemplate(): Promise<{ server: TestServer; name: string }> {
  const server = await testServer();
  const text = new TextEncoder().encode(MIGRATIONS.map(({ sql }) => sql).join());
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", text));
  const name = `firefly_template_${
    Array.from(digest.subarray(0, 6), (byte) => byte.toString(16).padStart(2, "0")).join("")
  }`;
  const admin = adminOf(server.url);
  try {
    await admin`SELECT pg_advisory_lock(hashtextextended('firefly:test template', 0))`;
    const [found] = await admin`SELECT FROM pg_database WHERE datname = ${name}`;
    if (found) return { server, name };
    const settings = Object.entries(server.settings);
    for (const [name, value] of settings) await admin.unsafe(`ALTER SYSTEM SET ${name} = '${value}'`);
    if (settings.length > 0) await admin`SELECT pg_reload_conf()`;
    await admin.unsafe(`DROP DATABASE IF EXISTS ${name}_new WITH (FORCE)`);
    await admin.unsafe(`CREATE DATABASE ${name}_new TEMPLATE template0`);
    await migrate(await resolveConnection(urlOf(server.url, `${name}_new`)), "firefly");
    await admin.unsafe(`ALTER DATABASE ${name}_new RENAME TO ${name}`);
    return { server, name };
  } finally {
    await admin.end({ timeout: 1 });
  }
}

function urlOf(server: string, database: string): string {
  return Object.assign(new URL(server), { pathname: `/${database}` }).href;
}

function adminOf(server: string): postgres.Sql {
  return postgres(server, { max: 1, max_lifetime: null, onnotice() {}, fetch_types: false });
}
