import * as fs from "node:fs/promises";
import { join } from "node:path";
import { freePort } from "./servers.ts";
import { serverUser } from "../../src/embedded/run_program.ts";

/** For how long a client of PgBouncer keeps a connection of the server to itself. */
export type PoolMode = "session" | "transaction" | "statement";

/** A PgBouncer of a fault's own, on a port of its own, over loopback. */
export interface PgBouncer extends AsyncDisposable {
  /** `url` by way of it. */
  through(url: string): string;
  readonly pid: number;
}

/** Starts PgBouncer in front of the server of `url`, for all of its databases, with `settings` beside the pool mode. */
export async function startPgBouncer(
  url: string,
  mode: PoolMode,
  settings: Record<string, string> = {},
): Promise<PgBouncer> {
  const server = new URL(url);
  const directory = await Deno.realPath(await Deno.makeTempDir({ prefix: "firefly_pgbouncer_" }));
  const port = await freePort();
  const file = join(directory, "pgbouncer.ini");
  const target = `host=${server.hostname} port=${server.port || 5432}`;
  const users = join(directory, "users.txt");
  const lines = {
    listen_addr: "127.0.0.1",
    listen_port: String(port),
    unix_socket_dir: "",
    auth_type: "trust",
    auth_file: users,
    pool_mode: mode,
    default_pool_size: "20",
    max_client_conn: "500",
    ...settings,
  };
  const text = Object.entries(lines).map(([name, value]) => `${name} = ${value}\n`).join("");
  await fs.writeFile(file, `[databases]\n* = ${target}\n[pgbouncer]\n${text}`);
  await fs.writeFile(users, `"${decodeURIComponent(server.username)}" "${decodeURIComponent(server.password)}"\n`);
  const user = serverUser(); // it refuses to run as root
  if (user) { for (const path of [directory, file, users]) await fs.chown(path, user.uid, user.gid); }
  const child = new Deno.Command("pgbouncer", {
    args: ["-q", file],
    env: { PATH: `${Deno.env.get("PATH")}:/usr/sbin` },
    ...(user ? { uid: user.uid, gid: user.gid } : {}),
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const bouncer: PgBouncer = {
    pid: child.pid,
    through: (url) => Object.assign(new URL(url), { hostname: "127.0.0.1", port: String(port) }).href,
    async [Symbol.asyncDispose]() {
      try {
        child.kill("SIGKILL");
      } catch {
        // It has ended by itself.
      }
      await child.status;
      await Deno.remove(directory, { recursive: true });
    },
  };
  try {
    await untilAccepting(port, child);
  } catch (error) {
    await bouncer[Symbol.asyncDispose]();
    throw error;
  }
  return bouncer;
}

async function untilAccepting(port: number, child: Deno.ChildProcess): Promise<void> {
  let ended: number | undefined;
  child.status.then(({ code }) => ended = code);
  for (const deadline = performance.now() + 10_000; performance.now() < deadline;) {
    if (ended !== undefined) throw new Error(`Cannot start PgBouncer: it ended with ${ended}`);
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  throw new Error("Cannot start PgBouncer: it does not listen after 10 s");
}
