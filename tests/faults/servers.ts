import * as fs from "node:fs/promises";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { exists } from "../../src/embedded/files.ts";
import { type Binaries, findInstalled, OLDEST_MAJOR } from "../../src/embedded/installed_binaries.ts";
import { findBinaries } from "../../src/embedded/npm_binaries.ts";
import { runPostgres, serverUser } from "../../src/embedded/run_program.ts";

/** How a server is stopped: `fast` rolls back what is open, `immediate` is a crash that it recovers from. */
export type StopMode = "fast" | "immediate";

/** A PostgreSQL server of a fault's own, on a port of its own, over loopback; `postgres` needs no password. */
export interface Server extends AsyncDisposable {
  /** Opens its database `postgres`, as its superuser. */
  readonly url: string;
  readonly port: number;
  readonly dataDirectory: string;
  start(): Promise<void>;
  stop(mode: StopMode): Promise<void>;
  /** Makes a standby the primary. */
  promote(): Promise<void>;
}

type Settings = Record<string, string>;

/** Makes a server in the directory `parent` and starts it, with `settings` in its `postgresql.conf`. */
export async function startServer(settings: Settings = {}, parent?: string): Promise<Server> {
  const binaries = await findInstalled((major) => major >= OLDEST_MAJOR) ?? await embeddedBinaries();
  const dataDirectory = await makeDirectory(parent);
  const asPostgres = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"];
  await runPostgres(binaries.directory, "initdb", [`--pgdata=${dataDirectory}`, ...asPostgres]);
  return await startIn(dataDirectory, { max_connections: "200", ...settings }, binaries);
}

/**
 * Makes a standby of `primary` by `pg_basebackup`, which PostgreSQL's packages bring and npm's binaries do not, and
 * starts it. It is called `standby` in `synchronous_standby_names`.
 */
export async function startStandby(primary: Server, settings: Settings = {}): Promise<Server> {
  const binaries = await findInstalled((major) => major >= OLDEST_MAJOR);
  if (!binaries) throw new Error("Cannot make a standby as pg_basebackup is not installed");
  // What stands on PATH may be links to a few of its programs.
  const directory = dirname(await Deno.realPath(join(binaries.directory, "postgres")));
  const dataDirectory = await makeDirectory();
  const source = `host=127.0.0.1 port=${primary.port} user=postgres application_name=standby`;
  const how = ["--checkpoint=fast", "--write-recovery-conf", "--wal-method=stream", "--no-sync"];
  await runPostgres(directory, "pg_basebackup", [`--pgdata=${dataDirectory}`, `--dbname=${source}`, ...how]);
  return await startIn(dataDirectory, settings, binaries);
}

async function embeddedBinaries(): Promise<Binaries> {
  const home = Deno.env.get("FIREFLY_HOME") ??
    (Deno.uid() === 0 ? "/var/lib/firefly" : `${Deno.env.get("HOME")}/.firefly`);
  return await findBinaries({ directory: home }, { major: undefined, onProgress: () => {} });
}

async function makeDirectory(parent?: string): Promise<string> {
  const place = parent === undefined ? {} : { dir: parent };
  const directory = await Deno.realPath(await Deno.makeTempDir({ prefix: "firefly_server_", ...place }));
  const user = serverUser();
  if (user) await fs.chown(directory, user.uid, user.gid);
  await fs.chmod(directory, 0o700);
  return directory;
}

async function startIn(dataDirectory: string, settings: Settings, { directory }: Binaries): Promise<Server> {
  const port = await freePort();
  const lines = { listen_addresses: "127.0.0.1", unix_socket_directories: "", port: String(port), ...settings };
  const text = Object.entries(lines).map(([name, value]) => `${name} = '${value}'\n`).join("");
  await fs.appendFile(join(dataDirectory, "postgresql.conf"), `\n${text}`);
  const control = (...args: string[]) => runPostgres(directory, "pg_ctl", ["-w", "-s", "-D", dataDirectory, ...args]);
  const server: Server = {
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    port,
    dataDirectory,
    async start() {
      await control("-l", join(dataDirectory, "server.log"), "start");
    },
    async stop(mode) {
      await control("-m", mode, "stop");
    },
    async promote() {
      await control("promote");
    },
    async [Symbol.asyncDispose]() {
      if (await exists(join(dataDirectory, "postmaster.pid"))) await server.stop("immediate").catch(() => {});
      await Deno.remove(dataDirectory, { recursive: true });
    },
  };
  await server.start();
  return server;
}

/** A port of loopback that nobody listens on. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().on("error", reject).listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
