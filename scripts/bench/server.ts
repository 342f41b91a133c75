import postgres from "postgres";
import { startServer } from "../../tests/faults/servers.ts";
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
}

/** Starts a server, or uses the one at `url`. */
export async function openServer(url: string | undefined): Promise<BenchServer> {
  const own = url === undefined ? await startServer(SETTINGS) : undefined;
  const home = own?.url ?? url!;
  const name = `firefly_bench_${Deno.pid}`;
  const sql = postgres(home, { max: 1, onnotice() {} });
  try {
    const [row] = await sql`SELECT pg_backend_pid() AS pid, current_setting('server_version') AS version`;
    const settings = await sql`
      SELECT name, current_setting(name) AS value
      FROM pg_settings
      WHERE name = ANY (${SHOWN}::text[]) OR source = 'configuration file' AND setting IS DISTINCT FROM boot_val
        AND name !~ '^(lc_|log_|listen|port|unix|default_text|TimeZone|DateStyle|dynamic_shared|cluster_name|ssl)|_file$'
      ORDER BY name
    `;
    const postmaster = findPostmaster(row!.pid);
    return {
      version: row!.version,
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
