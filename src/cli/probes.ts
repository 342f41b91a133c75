import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Consumer, ConsumerHealth } from "../consume/consume.ts";
import { usageError } from "./arguments.ts";

/** One line of an answer. */
interface Check {
  readonly name: string;
  readonly text: string;
  readonly ok: boolean;
}

/** Where probes come in. */
export interface ProbeOptions {
  /** 0 for any that is free. */
  readonly port: number;
  /** The address to listen on; undefined for all, as a kubelet asks at the address of the pod. */
  readonly host: string | undefined;
}

/**
 * Answers `GET /livez` and `GET /readyz`, in the thread that runs the handlers: while one of them blocks it, nothing is
 * answered, which is what a probe must learn.
 */
export class Probes {
  readonly #server: Server;
  /** Whose health it is; undefined before it starts. */
  consumer: Consumer | undefined;

  private constructor() {
    this.#server = createServer((request, response) => answer(request, response, this.consumer?.health));
  }

  /**
   * Listens.
   *
   * @throws {UsageError} If it cannot, as when the port is in use.
   */
  static async listen({ port, host }: ProbeOptions): Promise<Probes> {
    const probes = new Probes();
    const server = probes.#server;
    await new Promise<void>((resolve, reject) => {
      const refuse = (error: Error) => {
        const where = host === undefined ? `port ${port}` : `${host}, port ${port}`;
        reject(usageError("consume", `probes cannot be answered on ${where}: ${reasonOf(error)}`));
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

  /** Answers no more. */
  async end(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }
}

function answer(request: IncomingMessage, response: ServerResponse, health: ConsumerHealth | undefined): void {
  const checksOf = CHECKS.get((request.url ?? "").split("?")[0]!);
  const headers = { "content-type": "text/plain; charset=utf-8", "cache-control": "no-store", "connection": "close" };
  if (!checksOf) return void response.writeHead(404, headers).end("There are /livez and /readyz\n");
  if (request.method !== "GET" && request.method !== "HEAD") {
    return void response.writeHead(405, { ...headers, allow: "GET, HEAD" }).end("Probes are asked by GET\n");
  }
  const checks = checksOf(health);
  const text = checks.map(({ name, text }) => `${name}: ${text}\n`).join("");
  response.writeHead(checks.every(({ ok }) => ok) ? 200 : 503, headers).end(text);
}

const CHECKS: ReadonlyMap<string, (health: ConsumerHealth | undefined) => Check[]> = new Map([
  ["/livez", checkAlive],
  ["/readyz", checkReady],
]);

/** Whether a new process would do better. Without a database it would not, so that is no part of it. */
function checkAlive(health: ConsumerHealth | undefined): Check[] {
  return [
    check("event loop", "ok"), // this is its answer
    check("consumer", health?.responsive ?? true ? "ok" : "stuck", "ok"),
  ];
}

/** Whether it runs tasks, and soon. Behind a pooler that keeps notifications back it polls, and that is as it should be. */
function checkReady(health: ConsumerHealth | undefined): Check[] {
  const { state = "starting", leased = false, listener = "down" } = health ?? {};
  return [
    ...checkAlive(health).slice(0, 1),
    check("consumer", state, "running"),
    check("lease", leased ? "ok" : "none", "ok"),
    check("listener", LISTENER[listener], listener === "down" ? "ok" : LISTENER[listener]),
  ];
}

const LISTENER = { connected: "ok", unavailable: "none arrives through the pooler, polling", down: "down" } as const;

function check(name: string, text: string, expected = text): Check {
  return { name, text, ok: text === expected };
}

function reasonOf(error: Error): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === "EADDRINUSE" || error.name === "AddrInUse") return "it is in use";
  return error.message;
}
