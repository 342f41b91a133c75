import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Consumer, ConsumerHealth } from "../consume/consume.ts";
import { usageError } from "./arguments.ts";

/** One line of a response. */
interface Check {
  readonly name: string;
  readonly text: string;
  readonly ok: boolean;
}

/** The address that probes connect to. */
export interface ProbeOptions {
  /** The port; 0 for any free one. */
  readonly port: number;
  /** The address to listen on; undefined for all, as a kubelet connects to the pod's address. */
  readonly host: string | undefined;
}

/**
 * Answers `GET /livez` and `GET /readyz` in the thread that runs the handlers: while a handler blocks it, probes get no
 * answer and so fail, as they must.
 */
export class Probes {
  readonly #server: Server;
  /** The consumer whose health to report; undefined before it starts. */
  consumer: Consumer | undefined;

  private constructor() {
    this.#server = createServer((request, response) => answer(request, response, this.consumer?.health));
  }

  /**
   * Starts listening.
   *
   * @throws {UsageError} If it cannot listen there, for example as the port is in use.
   */
  static async listen({ port, host }: ProbeOptions): Promise<Probes> {
    const probes = new Probes();
    const server = probes.#server;
    await new Promise<void>((resolve, reject) => {
      const refuse = (error: Error) => {
        const where = host === undefined ? `port ${port}` : `${host}, port ${port}`;
        reject(usageError("consume", `it cannot listen for probes on ${where}: ${reasonOf(error)}`));
      };
      server.once("error", refuse);
      server.listen(port, host, () => {
        server.off("error", refuse);
        resolve();
      });
    });
    return probes;
  }

  /** The port that it listens on. */
  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  /** Stops listening and closes all connections. */
  async end(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }
}

function answer(request: IncomingMessage, response: ServerResponse, health: ConsumerHealth | undefined): void {
  const checksOf = CHECKS.get((request.url ?? "").split("?")[0]!);
  const headers = { "content-type": "text/plain; charset=utf-8", "cache-control": "no-store", "connection": "close" };
  if (!checksOf) return void response.writeHead(404, headers).end("Not found: use /livez or /readyz\n");
  if (request.method !== "GET" && request.method !== "HEAD") {
    return void response.writeHead(405, { ...headers, allow: "GET, HEAD" }).end("Method not allowed: use GET\n");
  }
  const checks = checksOf(health);
  const text = checks.map(({ name, text }) => `${name}: ${text}\n`).join("");
  response.writeHead(checks.every(({ ok }) => ok) ? 200 : 503, headers).end(text);
}

const CHECKS: ReadonlyMap<string, (health: ConsumerHealth | undefined) => Check[]> = new Map([
  ["/livez", checkAlive],
  ["/readyz", checkReady],
]);

/** Whether to keep the process. A lost database does not count: a new process would not have it either. */
function checkAlive(health: ConsumerHealth | undefined): Check[] {
  return [
    check("event loop", "ok"), // this response proves it
    check("consumer", health?.responsive ?? true ? "ok" : "stuck", "ok"),
  ];
}

/** Whether it runs new tasks soon. Polling behind a pooler without notifications counts as ready. */
function checkReady(health: ConsumerHealth | undefined): Check[] {
  const { state = "starting", leased = false, listener = "down" } = health ?? {};
  return [
    ...checkAlive(health).slice(0, 1),
    check("consumer", state, "running"),
    check("lease", leased ? "ok" : "none", "ok"),
    check("listener", LISTENER[listener], listener === "down" ? "ok" : LISTENER[listener]),
  ];
}

const LISTENER = {
  connected: "ok",
  unavailable: "no notifications through the pooler, polling",
  down: "down",
} as const;

function check(name: string, text: string, expected = text): Check {
  return { name, text, ok: text === expected };
}

function reasonOf(error: Error): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === "EADDRINUSE" || error.name === "AddrInUse") return "it is in use";
  return error.message;
}
