import { parseTaskId } from "@firefly/tasks";
import { getRequestListener } from "@hono/node-server";
import fastify, { type FastifyError } from "fastify";
import { answerOf, failureOf } from "./answers.ts";
import { board, port, startConsumer, stopServerAtSignal } from "./firefly.ts";
import { add } from "./tasks.ts";

const app = fastify();
const listener = getRequestListener(board.fetch);

app.register((scope, _options, done) => {
  scope.removeAllContentTypeParsers(); // the dashboard reads its forms itself
  scope.addContentTypeParser("*", (_request, _body, done) => done(null));
  for (const path of ["/firefly", "/firefly/*"]) {
    scope.all(path, (request, reply) => {
      reply.hijack();
      void listener(request.raw, reply.raw);
    });
  }
  done();
});

app.post<{ Body: { i: number; j: number; seconds?: number } | undefined }>("/sums", async (request, reply) => {
  const { i, j, seconds } = request.body ?? {};
  const { id } = await add.schedule(i!, j!, seconds); // it validates them
  return reply.code(202).header("location", `/sums/${id}`).send({ id });
});

app.get<{ Params: { id: string } }>("/sums/:id", async (request, reply) => {
  const { status, body } = answerOf(await add.get(parseTaskId(request.params.id)));
  return reply.code(status).send(body);
});

app.setErrorHandler<FastifyError>((error, _request, reply) => {
  const { status, body } = failureOf(error, error.statusCode);
  return reply.code(status).send(body);
});

startConsumer();
console.log(`Listening on ${await app.listen({ port, host: "0.0.0.0" })}/`);
stopServerAtSignal(app.server, () => app.close());
