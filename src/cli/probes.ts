import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Consumer, ConsumerHealth } from "../consume/consume.ts";
import type { Firefly } from "../firefly/firefly.ts";
import { CONTENT_TYPE, writeMetrics } from "../metrics/metrics.ts";
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
  /** The instance whose metrics to answer. */
  readonly firefly: Firefly;
}

/**
 * Answers `GET /livez`, `GET /readyz` and `GET /metrics` in the thread that runs the handlers: while a handler blocks it, probes get no
 * answer and so fail, as they must.
 */
export class Probes {
  readonly #server: Server;
  /** The consumer whose health to report; undefined before it starts. */
  consumer: Consumer | undefined;

  private constructor(firefly: Firefly) {
    this.#server = createServer((request, response) => this.#answer(request, response, firefly));
  }

  /**
   * Starts listening.
   *
   * @throws {UsageError} If it cannot listen there, for example as the port is in use.
   */
  static async listen({ port, host, firefly }: ProbeOptions): Promise<Probes> {
    const probes = new Probes(firefly);
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

  #answer(request: IncomingMessage, response: ServerResponse, firefly: Firefly): void {
    const [pathname = "", query] = (request.url ?? "").split("?");
    const checksOf = CHECKS.get(pathname);
    const isMetrics = pathname === "/metrics";
    if (!checksOf && !isMetrics) return send(response, 404, "Not found: use /livez, /readyz or /metrics\n");
    if (request.method !== "GET" && request.method !== "HEAD") {
      response.setHeader("allow", "GET, HEAD");
      return send(response, 405, "Method not allowed: use GET\n");
    }
    if (!checksOf) return void sendMetrics(response, firefly, new URLSearchParams(query).get("only"));
    const checks = checksOf(this.consumer?.health);
    const text = checks.map(({ name, text }) => `${name}: ${text}\n`).join("");
    send(response, checks.every(({ ok }) => ok) ? 200 : 503, text);
  }
}

function send(response: ServerResponse, status: number, text: string): void {
  if (!response.hasHeader("content-type")) response.setHeader("content-type", "text/plain; charset=utf-8");
  response.writeHead(status, { "cache-control": "no-store", "connection": "close" }).end(text);
}

async function sendMetrics(response: ServerResponse, firefly: Firefly, only: string | null): Promise<void> {
  if (only !== null && only !== "consumer" && only !== "queues") {
    return send(response, 400, 'Bad request: "only" must be "consumer" or "queues"\n');
  }
  try {
    const text = await writeMetrics(firefly, only === null ? {} : { only });
    response.setHeader("content-type", CONTENT_TYPE);
    send(response, 200, text);
  } catch (error) {
    send(response, 500, `Cannot read the metrics: ${(error as Error).name}\n`); // its message may name hosts
  }
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
