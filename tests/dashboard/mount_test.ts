import { assertEquals, assertStringIncludes } from "@std/assert";
import { getRequestListener } from "@hono/node-server";
import express from "express";
import fastify from "fastify";
import { Hono } from "hono";
import { createServer, type Server } from "node:http";
import { type Dashboard, dashboard } from "../../dashboard.ts";
import { testInstance } from "../support/instance.ts";
import { deadline } from "../support/waiting.ts";

/** A server that a dashboard is mounted in. */
interface Mounted extends AsyncDisposable {
  readonly port: number;
}

/** Mounts a dashboard at a path, beside a page of the application. */
type Mount = (board: Dashboard, path: string) => Promise<Mounted>;

const overNode = (board: Dashboard) => getRequestListener(board.fetch, { overrideGlobalObjects: false });

async function listen(server: Server): Promise<Mounted> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as { port: number }).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function serve(handler: (request: Request) => Response | Promise<Response>): Mounted {
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, handler);
  return { port: server.addr.port, [Symbol.asyncDispose]: () => server.shutdown() };
}

const MOUNTS: Record<string, Mount> = {
  "Deno.serve": (board, path) =>
    Promise.resolve(serve((request) => {
      const { pathname } = new URL(request.url);
      return pathname.startsWith(path) ? board.fetch(request) : new Response("the application");
    })),
  "Hono, by a route": (board, path) => {
    const app = new Hono();
    app.get("/app", (c) => c.text("the application"));
    app.all(`${path}/*`, (c) => board.fetch(c.req.raw));
    return Promise.resolve(serve(app.fetch));
  },
  "Hono, by mount()": (board, path) => {
    const app = new Hono();
    app.get("/app", (c) => c.text("the application"));
    app.mount(path || "/", board.fetch);
    return Promise.resolve(serve(app.fetch));
  },
  "Express 5": (board, path) => {
    const app = express();
    app.get("/app", (_request: unknown, response: { send(text: string): void }) => response.send("the application"));
    app.use(path || "/", overNode(board));
    return listen(createServer(app));
  },
  "Fastify": async (board, path) => {
    const app = fastify();
    const listener = overNode(board);
    app.get("/app", () => "the application");
    await app.register((scope) => {
      // The dashboard reads its forms itself.
      scope.removeAllContentTypeParsers();
      scope.addContentTypeParser("*", (_request, _body, done) => done(null));
      scope.all(`${path}/*`, (request, reply) => {
        reply.hijack();
        void listener(request.raw, reply.raw);
      });
      return Promise.resolve();
    });
    await app.listen({ port: 0, host: "127.0.0.1" });
    return {
      port: (app.server.address() as { port: number }).port,
      [Symbol.asyncDispose]: async () => {
        app.server.closeAllConnections();
        await app.close();
      },
    };
  },
};

for (const [name, mount] of Object.entries(MOUNTS)) {
  for (const path of ["/ops/firefly", ""]) {
    Deno.test(`a dashboard works in ${name} at ${path || "the root"}`, async () => {
      await using test = await testInstance();
      await test.db.sql`SELECT firefly.schedule('mail.send', queue => 'mail')`;
      const board = dashboard({ firefly: test.ff, basePath: path || "/", open: true });
      await using mounted = await mount(board, path);
      const origin = `http://localhost:${mounted.port}`;

      const page = await fetch(`${origin}${path}/`);
      const text = await page.text();
      const links = Array.from(text.matchAll(/(?:href|src)="([^"#:]*)"/g), ([, link]) => link!);

      assertEquals(page.status, 200);
      assertEquals(links.filter((link) => !link.startsWith(`${path}/`)), [], "a link leads out of the base path");
      for (const asset of links.filter((link) => link.includes("/assets/"))) {
        const response = await fetch(`${origin}${asset}`);
        assertEquals([response.status, response.headers.get("x-content-type-options")], [200, "nosniff"], asset);
        await response.body?.cancel();
      }
      await checkForms(`${origin}${path}`, origin);
      const [queue] = await test.ff.queues();
      assertEquals([queue?.name, queue?.paused], ["mail", true]);
      await checkEvents(`${origin}${path}`);
      if (path !== "") assertEquals(await (await fetch(`${origin}/app`)).text(), "the application");
      board.close();
    });
  }
}

/** A form gets as far as its path, with its headers and its body. */
async function checkForms(url: string, origin: string): Promise<void> {
  const post = async (headers: Record<string, string>) => {
    const response = await fetch(`${url}/queues/pause`, {
      method: "POST",
      body: new URLSearchParams({ name: "mail" }),
      redirect: "manual",
      headers,
    });
    await response.body?.cancel();
    return response.status;
  };
  assertEquals(await post({ origin: "https://evil.example" }), 403);
  assertEquals(await post({ origin }), 303);
}

async function checkEvents(url: string): Promise<void> {
  const controller = new AbortController();
  const response = await fetch(`${url}/pulse`, { signal: controller.signal });
  assertStringIncludes(response.headers.get("content-type")!, "text/event-stream");
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  await deadline(
    (async () => {
      for (let text = ""; !text.includes("event: pulse");) text += (await reader.read()).value;
    })(),
    () => "no event came",
  );
  controller.abort();
  await reader.closed.catch(() => {});
}
