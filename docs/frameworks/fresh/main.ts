import { App, HttpError } from "fresh";
import { failureOf } from "../answers.ts";
import { board, port, startConsumer, stopAtSignal } from "../firefly.ts";
import { getSum, postSum } from "./handlers.ts";

export const app = new App()
  .use(async (ctx) => {
    try {
      return await ctx.next();
    } catch (error) {
      if (error instanceof HttpError) throw error; // Fresh has a page for it
      const { status, body } = failureOf(error);
      return Response.json(body, { status });
    }
  })
  .post("/sums", postSum)
  .get("/sums/:id", getSum)
  .all("/firefly", ({ req }) => board.fetch(req))
  .all("/firefly/*", ({ req }) => board.fetch(req));

startConsumer();
if (import.meta.main) {
  const server = Deno.serve({ port }, app.handler());
  stopAtSignal(() => server.shutdown());
} else stopAtSignal(() => Promise.resolve()); // `deno serve` ends once nothing is open but its server
