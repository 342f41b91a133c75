import { serve } from "@hono/node-server";
import type { Server } from "node:http";
import { port, startConsumer, stopServerAtSignal } from "./firefly.ts";
import { app } from "./hono.ts";

startConsumer();
const server = serve({ fetch: app.fetch, port }, ({ port }) => console.log(`Listening on http://localhost:${port}/`));
stopServerAtSignal(server as Server);
