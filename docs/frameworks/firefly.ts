import { configure, type Consumer } from "@firefly/tasks";
import { dashboard } from "@firefly/tasks/dashboard";
import { once } from "node:events";
import type { Server, ServerResponse } from "node:http";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { authorize } from "./login.ts";
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
