import postgres from "postgres";
import { findDatabase } from "../../src/firefly/connect.ts";
import { EMBEDDED, isConfigured } from "../../src/firefly/database_choice.ts";
import { type Server, startServer } from "../../tests/faults/servers.ts";
import type { SoakOptions } from "./options.ts";

/** The database of one soak. */
export interface SoakDatabase extends AsyncDisposable {
  readonly url: string;
  /** The soak's own server, if it has one. */
  readonly server: Server | undefined;
  /** What it runs on, in words. */
  readonly version: string;
}

/** Makes a database; in the end it is dropped, with its server if that is the soak's own. */
export async function makeDatabase({ database, ownServer }: SoakOptions): Promise<SoakDatabase> {
  const server = ownServer ? await startServer() : undefined;
  try {
    const home = server?.url ?? (await findDatabase({ database: databaseOf(database) })).url;
    if (!home) throw new Error("Cannot soak as the database is named by PGHOST: give it as a URL");
    const name = `firefly_soak_${Deno.pid}`;
    const [row] = await ask(home, (sql) => sql`SELECT current_setting('server_version') AS version`);
    await ask(home, (sql) => sql.unsafe(`CREATE DATABASE ${name} TEMPLATE template0`));
    return {
      url: Object.assign(new URL(home), { pathname: `/${name}` }).href,
      server,
      version: row!.version,
      async [Symbol.asyncDispose]() {
        if (server) await server[Symbol.asyncDispose]();
        else await ask(home, (sql) => sql.unsafe(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`));
      },
    };
  } catch (error) {
    await server?.[Symbol.asyncDispose]();
    throw error;
  }
}

/** The given database, else the configured one, else the embedded one. */
function databaseOf(given: string | undefined): string | undefined {
  return given ?? (isConfigured({}) ? undefined : EMBEDDED);
}

/** How long the server may take to answer, in milliseconds. */
const TIMEOUT = 10_000;

/** Asks the server over a connection of its own, so that no fault that befell an older one has a say in it. */
export async function ask<T>(url: string, act: (sql: postgres.Sql) => PromiseLike<T>): Promise<T> {
  const connection = { application_name: "soak-probe" };
  const sql = postgres(url, { max: 1, onnotice() {}, fetch_types: false, connect_timeout: 3, connection });
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`The server did not answer within ${TIMEOUT} ms`)), TIMEOUT);
  });
  try {
    return await Promise.race([act(sql), late]);
  } finally {
    clearTimeout(timer);
    await sql.end({ timeout: 0 });
  }
}

/** The same, again and again while the server is away. */
export async function insist<T>(act: () => Promise<T>, timeout = 60_000): Promise<T> {
  const until = performance.now() + timeout;
  for (;;) {
    try {
      return await act();
    } catch (error) {
      if (performance.now() > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}
