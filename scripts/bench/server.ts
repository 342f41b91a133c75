import postgres from "postgres";
import { type Server, startServer } from "../../tests/faults/servers.ts";
import { cpuOfFamily, findPostmaster } from "./proc.ts";

/** What the benchmark's own server is given; all else are the defaults. */
const SETTINGS = { shared_buffers: "1GB", max_connections: "200" };

/** Settings that the page shows beside those that are not the defaults. */
const SHOWN = ["fsync", "synchronous_commit", "full_page_writes", "wal_level", "autovacuum", "max_wal_size", "jit"];

/** The server that all peers share. */
export interface BenchServer extends AsyncDisposable {
  readonly version: string;
  readonly settings: readonly (readonly [string, string])[];
  /** Its directory, if it is the benchmark's own. */
  readonly directory: string | undefined;
  /** Drops the database of the measurement before, and makes an empty one; resolves to its URL. */
  freshDatabase(): Promise<string>;
  /** Bytes of WAL since ever. */
  wal(): Promise<number>;
  /** Milliseconds of CPU of all of its processes; NaN if they are not on this machine. */
  cpu(): number;
  checkpoint(): Promise<void>;
  /** How many statements clients have sent to the database of the measurement; NaN if the server does not count them. */
  statements(): Promise<number>;
  /** Milliseconds that its statements with this text took. */
  timeOf(text: string): Promise<number>;
  /** How often the log was flushed to disk, as far as sessions that have ended tell; NaN if it is not known. */
  syncs(): Promise<number>;
  /** How many sessions the database of the measurement has. */
  sessions(): Promise<number>;
}

/** Starts a server, or uses the one at `url`; one that counts statements if it can be had. */
export async function openServer(
  url: string | undefined,
  { counting = false }: { readonly counting?: boolean } = {},
): Promise<BenchServer> {
  const own = url === undefined ? await startOwn(counting) : undefined;
  const home = own?.url ?? url!;
  const name = `firefly_bench_${Deno.pid}`;
  const sql = postgres(home, { max: 1, onnotice() {} });
  try {
    const counts = counting && await isCounting(sql);
    const [row] = await sql`SELECT pg_backend_pid() AS pid, current_setting('server_version') AS version`;
    const settings = await sql`
      SELECT name, current_setting(name) AS value
      FROM pg_settings
      WHERE name = ANY (${SHOWN}::text[]) OR source = 'configuration file' AND setting IS DISTINCT FROM boot_val
        AND name !~ '^(lc_|log_|listen|port|unix|default_text|TimeZone|DateStyle|dynamic_shared|cluster_name|ssl)|_file$'
      ORDER BY name
    `;
    const postmaster = findPostmaster(row!.pid);
    const version: string = row!.version;
    return {
      version,
      settings: settings.map((setting) => [setting.name, setting.value] as const),
      directory: own?.dataDirectory,
      async freshDatabase() {
        await sql.unsafe(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
        await sql.unsafe(`CREATE DATABASE ${name} TEMPLATE template0`);
        return Object.assign(new URL(home), { pathname: `/${name}` }).href;
      },
      async wal() {
        const [row] = await sql`SELECT (pg_current_wal_lsn() - '0/0')::text AS bytes`;
        return Number(row!.bytes);
      },
      cpu: () => postmaster === undefined ? NaN : cpuOfFamily(postmaster),
      async checkpoint() {
        await sql`CHECKPOINT`;
      },
      async statements() {
        if (!counts) return NaN;
        const [row] = await sql`
          SELECT COALESCE(sum(calls), 0)::float8 AS calls
          FROM pg_stat_statements
          WHERE dbid = (SELECT oid FROM pg_database WHERE datname = ${name})
        `;
        return row!.calls;
      },
      async timeOf(text) {
        if (!counts) return NaN;
        const [row] = await sql`
          SELECT COALESCE(sum(total_exec_time), 0)::float8 AS time
          FROM pg_stat_statements
          WHERE dbid = (SELECT oid FROM pg_database WHERE datname = ${name}) AND strpos(query, ${text}) > 0
        `;
        return row!.time;
      },
      async syncs() {
        const [row] = Number.parseInt(version) < 18
          ? await sql`SELECT wal_sync::float8 AS syncs FROM pg_stat_wal`
          : await sql`SELECT sum(fsyncs)::float8 AS syncs FROM pg_stat_io WHERE object = 'wal'`;
        return row!.syncs;
      },
      async sessions() {
        const [row] = await sql`
          SELECT count(*)::integer AS sessions
          FROM pg_stat_activity
          WHERE datname = ${name} AND backend_type = 'client backend'
        `;
        return row!.sessions;
      },
      async [Symbol.asyncDispose]() {
        if (!own) await sql.unsafe(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
        await sql.end({ timeout: 1 });
        await own?.[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await sql.end({ timeout: 1 });
    await own?.[Symbol.asyncDispose]();
    throw error;
  }
}

/** Starts a server with the extension that counts statements, or without it where it is not installed. */
async function startOwn(counting: boolean): Promise<Server> {
  if (!counting) return await startServer(SETTINGS);
  const loaded = { ...SETTINGS, shared_preload_libraries: "pg_stat_statements" };
  return await startServer(loaded).catch(() => startServer(SETTINGS));
}

/** Whether a server counts statements: those of clients, not those within functions, which is the extension's default. */
async function isCounting(sql: postgres.Sql): Promise<boolean> {
  try {
    await sql`CREATE EXTENSION IF NOT EXISTS pg_stat_statements`;
    await sql`SELECT FROM pg_stat_statements LIMIT 1`;
    return true;
  } catch {
    return false; // it is not installed, or not loaded, or not allowed
  }
}
