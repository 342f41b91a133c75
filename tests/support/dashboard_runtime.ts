/**
 * Serves the dashboard on whatever runtime this runs on, and uses it: a page, an asset, a form, and events that end with
 * their reader and with `close()`. Exits with 1 and says why if anything is wrong.
 *
 * @module
 */
import { getRequestListener } from "@hono/node-server";
import { createServer } from "node:http";
import process from "node:process";
import { dashboard } from "../../dashboard.ts";
import { Firefly } from "../../mod.ts";
import { Live } from "../../src/dashboard/live.ts";

/** The part of Bun that serves web-standard handlers. */
interface Bun {
  serve(options: { port: number; fetch(request: Request): Promise<Response> }): {
    port: number;
    stop(force: boolean): Promise<void>;
  };
}

const { Bun: bun } = globalThis as { Bun?: Bun };
const firefly = new Firefly({ database: process.env.FIREFLY_TEST_DATABASE! });

function check(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (const end = performance.now() + 30_000; !await condition();) {
    check(performance.now() < end, what);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Reads until an event has come. */
async function readEvent(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
  const decoder = new TextDecoder();
  for (let text = ""; !text.includes("event: pulse");) {
    const { value, done } = await reader.read();
    check(!done, "the stream ended");
    text += decoder.decode(value, { stream: true });
  }
}

async function use(origin: string, board: { close(): void }): Promise<void> {
  const page = await fetch(`${origin}/`);
  const text = await page.text();
  check(page.status === 200 && text.includes("<h1"), "the page");
  const [asset] = /\/assets\/[^"]+\.css/.exec(text)!;
  check((await (await fetch(origin + asset)).text()).includes(":root"), "the asset");
  const init = { method: "POST", body: new URLSearchParams({ name: "mail" }), redirect: "manual" } as const;
  check((await fetch(`${origin}/queues/pause`, { ...init, headers: { origin } })).status === 303, "the form");
  check((await fetch(`${origin}/queues/pause`, init)).status === 403, "a form from elsewhere");
  const events = (await fetch(`${origin}/pulse`)).body!.getReader();
  await readEvent(events);
  board.close();
  await until(async () => (await events.read()).done, "close() ends no stream");
}

/** A stream ends with its reader, or the poller would never stop. */
async function leave(serve: (handler: (request: Request) => Promise<Response>) => Promise<Served>): Promise<void> {
  const live = new Live(firefly);
  const server = await serve((request) => Promise.resolve(live.stream(request)));
  const controller = new AbortController();
  const response = await fetch(server.origin, { signal: controller.signal });
  await readEvent(response.body!.getReader());
  check(live.streams === 1, "no stream is open");
  controller.abort();
  await until(() => live.streams === 0, "a stream stays open without a reader");
  await server.end();
}

interface Served {
  readonly origin: string;
  end(): Promise<unknown>;
}

async function serveByNode(handler: (request: Request) => Promise<Response>): Promise<Served> {
  const server = createServer(getRequestListener(handler, { overrideGlobalObjects: false }));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const end = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return { origin: `http://localhost:${port}`, end };
}

function serveByBun(handler: (request: Request) => Promise<Response>): Promise<Served> {
  const server = bun!.serve({ port: 0, fetch: handler });
  return Promise.resolve({ origin: `http://localhost:${server.port}`, end: () => server.stop(true) });
}

await firefly.sql`SELECT firefly.schedule('mail.send', queue => 'mail')`;
for (const serve of bun ? [serveByNode, serveByBun] : [serveByNode]) {
  const board = dashboard({ firefly, open: true });
  const server = await serve(board.fetch);
  await use(server.origin, board);
  await server.end();
  await leave(serve);
}
await firefly.close();
