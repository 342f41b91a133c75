import { createHash, timingSafeEqual } from "node:crypto";
import { createServer, type Server } from "node:http";
import { isIP } from "node:net";
import { Buffer } from "node:buffer";
import process from "node:process";
import type { Dashboard } from "../dashboard/dashboard.ts";
import type { Authorize, DashboardOptions } from "../dashboard/options.ts";
import type { Firefly } from "../firefly/firefly.ts";
import { type Arguments, asUsage, omitUndefined, usageError } from "./arguments.ts";
import type { Command } from "./command.ts";
import { EXIT } from "./exit_code.ts";
import { withInstance } from "./settings.ts";
import { describe, type Terminal } from "./terminal.ts";

const DEFAULT_PORT = 8585;
const PASSWORD = "FIREFLY_DASHBOARD_PASSWORD";

/** `dashboard`: serves the dashboard. */
export const dashboard: Command = {
  name: "dashboard",
  usage: "",
  positionals: [0, 0],
  summary: "Serve the dashboard on this machine until SIGTERM or SIGINT",
  details:
    `It listens on 127.0.0.1 alone, unless --host names another address; that needs a password in ${PASSWORD}, which ` +
    "browsers then ask for, or --open where a proxy asks for a login. It speaks HTTP: let a proxy add TLS. Requests must " +
    "name this machine, an IP address or one of --allow-host, unless there is a password.\n\n" +
    "An application can serve the dashboard itself, beside its other pages: see docs/dashboard.md.",
  flags: {
    port: { value: "number", description: `The port; 0 for any free one. Default: ${DEFAULT_PORT}` },
    host: { value: "address", description: "The address to listen on. Default: 127.0.0.1" },
    user: { value: "name", description: `The name that belongs to the password in ${PASSWORD}. Default: "firefly"` },
    open: { description: "Listen on a public address without a password" },
    "allow-host": { value: "name", list: "commas", description: "A host name that requests may have" },
    "base-path": { value: "path", description: "The path at which a proxy serves it, such as /firefly" },
    "read-only": { description: "Refuse every change" },
    title: { value: "text", description: "A name to show on every page, such as that of the environment" },
  },
  examples: ["dashboard", "dashboard --port 9000 --read-only --title production"],
  async run(args, terminal) {
    const { port, host, options } = readOptions(args);
    // Here, as the other commands would start 25 ms later, of 70, for pages that they do not show.
    const { dashboard } = await import("../dashboard/dashboard.ts");
    return await withInstance({ args, terminal, tasks: "none" }, async (ff) => {
      await ff.migrations(); // reports a database that cannot be reached, or has no tables
      const board = asUsage(() => dashboard({ ...options, firefly: ff }));
      const unsubscribe = reportErrors(ff, terminal);
      try {
        await serve(board, { port, host, basePath: options.basePath ?? "/", terminal });
      } finally {
        unsubscribe();
      }
      return EXIT.done;
    });
  },
};

/** The options that a command line sets; the instance is added later. */
type Options = Omit<DashboardOptions, "firefly">;

function readOptions(args: Arguments): { port: number; host: string; options: Options } {
  const port = args.integer("port", 0) ?? DEFAULT_PORT;
  if (port > 65_535) throw usageError("dashboard", `"--port" must be at most 65535: current value is "${port}"`);
  const host = args.text("host") ?? "127.0.0.1";
  const password = process.env[PASSWORD];
  const isOpen = args.isOn("open");
  if (args.text("user") !== undefined && !password) {
    throw usageError("dashboard", `"--user" needs a password: set ${PASSWORD}`);
  }
  if (password && isOpen) throw usageError("dashboard", `"--open" and the password in ${PASSWORD} exclude each other`);
  if (!password && !isOpen && !isLoopback(host)) {
    throw usageError(
      "dashboard",
      `everyone who reaches ${host} could use it: set ${PASSWORD}, or pass --open where a proxy asks for a login`,
    );
  }
  const access = password ? { authorize: askFor(args.text("user") ?? "firefly", password) } : { open: true };
  const options = omitUndefined({
    basePath: args.text("base-path"),
    hosts: args.list("allow-host"),
    readOnly: args.isOn("read-only") || undefined,
    title: args.text("title"),
  });
  return { port, host, options: { ...access, ...options } };
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || isIP(host) === 4 && host.startsWith("127.");
}

/** Authorizes requests that send the name and the password, which browsers ask for. */
function askFor(user: string, password: string): Authorize {
  const expected = digestOf(`${user}:${password}`);
  return (request) => {
    const [, encoded = ""] = /^basic +([\w+/=]+)$/i.exec(request.headers.get("authorization") ?? "") ?? [];
    if (timingSafeEqual(digestOf(Buffer.from(encoded, "base64")), expected)) return { user };
    const headers = { "www-authenticate": 'Basic realm="Firefly", charset="UTF-8"' };
    return new Response("A name and a password are needed\n", { status: 401, headers });
  };
}

function digestOf(data: string | Uint8Array): Uint8Array {
  return createHash("sha256").update(data).digest();
}

/** Prints what the pages do not show of errors. */
function reportErrors(ff: Firefly, terminal: Terminal): () => void {
  return ff.on("dashboard.error", ({ path, error }) => {
    terminal.warn(`${path}: ${describe(ff.redactor.redact(error))}`);
  });
}

/** Serves until a signal tells the process to end. */
async function serve(
  board: Dashboard,
  { port, host, basePath, terminal }: { port: number; host: string; basePath: string; terminal: Terminal },
): Promise<void> {
  const { getRequestListener } = await import("@hono/node-server");
  const server = createServer(getRequestListener(board.fetch, { overrideGlobalObjects: false }));
  await listen(server, port, host);
  const { port: actual } = server.address() as { port: number };
  const url = `http://${isIP(host) === 6 ? `[${host}]` : host}:${actual}${basePath}`;
  if (terminal.json) await terminal.printJson({ url });
  else await terminal.print(`The dashboard is at ${url}`);
  await untilSignal();
  board.close();
  const closed = new Promise((resolve) => server.close(resolve));
  server.closeAllConnections();
  await closed;
}

async function listen(server: Server, port: number, host: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const isInUse = error.code === "EADDRINUSE" || error.name === "AddrInUse";
      const why = isInUse ? "it is in use: choose another --port" : error.message;
      reject(usageError("dashboard", `it cannot listen on ${host}, port ${port}: ${why}`));
    });
    server.listen(port, host, resolve);
  });
}

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Resolves at the first signal to end. A second one ends the process at once. */
async function untilSignal(): Promise<void> {
  await new Promise<void>((resolve) => {
    const end = () => {
      for (const signal of SIGNALS) process.off(signal, end);
      resolve();
    };
    for (const signal of SIGNALS) process.on(signal, end);
  });
}
