import { port, startConsumer, stopAtSignal } from "./firefly.ts";
import { app } from "./hono.ts";

// Or the types of Bun: bun add --dev @types/bun
declare const Bun: {
  serve(options: { port: number; fetch(request: Request): Response | Promise<Response> }): {
    readonly url: URL;
    stop(): Promise<void>;
  };
};

startConsumer();
const server = Bun.serve({ port, fetch: app.fetch });
console.log(`Listening on ${server.url}`);
stopAtSignal(() => server.stop());
