import { configure, type Consumer, httpStatus, type TaskRecord } from "@firefly/tasks";
import { dashboard } from "@firefly/tasks/dashboard";
import { createHash, timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import type { Server, ServerResponse } from "node:http";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import "./tasks.ts"; // a consumer in this process runs the tasks that are defined when it starts

export const firefly = configure({});
export const board = dashboard({ firefly, basePath: "/firefly", authorize });
export const port = Number(process.env.PORT ?? 8000);

let consumer: Consumer | undefined;

/** Starts a consumer in this process, unless CONSUMER=outside says that `firefly consume` runs the tasks. */
export function startConsumer(): void {
  if (process.env.CONSUMER !== "outside") consumer = firefly.consume({ concurrency: 5 });
}

/** At SIGTERM, ends the pages of the dashboard, the server and the consumer, and then the connections that they use. */
export function stopAtSignal(closeServer: () => Promise<unknown>): void {
  async function stop(): Promise<void> {
    board.close();
    await Promise.all([closeServer(), consumer?.stop()]);
    await firefly.close();
  }
  process.once("SIGTERM", stop).once("SIGINT", stop);
}

/**
 * The same for a server of Node, which closes once it has answered all requests: its own `close()` would also wait for
 * connections that a browser has opened and does not use.
 */
export function stopServerAtSignal(server: Server, close: () => unknown = () => server.close()): void {
  const open = new Set<ServerResponse>();
  server.on("request", (_request, response: ServerResponse) => {
    open.add(response);
    response.once("close", () => open.delete(response));
  });
  stopAtSignal(async () => {
    const closed = Promise.all([once(server, "close"), close()]);
    while (open.size > 0) await sleep(10);
    server.closeAllConnections();
    await closed;
  });
}

/** The response to a question for a result: 202 as long as there is none. */
export function answerOf(record: TaskRecord): { status: 200 | 202; body: object } {
  const { id, status, returned } = record.toJSON(); // as JSON has no bigint, Map or Date
  return { status: status === "created" || status === "running" ? 202 : 200, body: { id, status, returned } };
}

/** The response to a request that failed; `ownStatus` is that of an error of the framework. */
export function failureOf(error: unknown, ownStatus = 500): { status: number; body: { error: string } } {
  const status = httpStatus(error) ?? ownStatus;
  if (status < 500 && error instanceof Error) return { status, body: { error: error.message } };
  console.error(error);
  return { status, body: { error: status === 503 ? "Try again later" : "Internal error" } };
}

/** Asks browsers for the password in DASHBOARD_PASSWORD. Without one, the dashboard stays closed. */
function authorize(request: Request): { user: string } | Response | false {
  const password = process.env.DASHBOARD_PASSWORD;
  if (!password) return false;
  const [, credentials = ""] = /^Basic (.+)$/i.exec(request.headers.get("authorization") ?? "") ?? [];
  const [, user = "", given = ""] = /^(.*?):(.*)$/s.exec(atob(credentials)) ?? [];
  const digest = (text: string) => createHash("sha256").update(text).digest();
  if (user && timingSafeEqual(digest(given), digest(password))) return { user };
  return new Response("Log in", { status: 401, headers: { "www-authenticate": 'Basic realm="Firefly"' } });
}
