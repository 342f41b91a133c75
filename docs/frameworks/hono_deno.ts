import { port, startConsumer, stopAtSignal } from "./firefly.ts";
import { app } from "./hono.ts";

startConsumer();
const server = Deno.serve({ port }, app.fetch);
stopAtSignal(() => server.shutdown());
