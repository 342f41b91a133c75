import { parseTaskId } from "@firefly/tasks";
import { getRequestListener } from "@hono/node-server";
// @ts-types="@types/express"
import express from "express";
import type { NextFunction, Request, Response } from "express";
import type { AddressInfo } from "node:net";
import { answerOf, failureOf } from "./answers.ts";
import { board, port, startConsumer, stopServerAtSignal } from "./firefly.ts";
import { add } from "./tasks.ts";

const app = express();

app.use("/firefly", getRequestListener(board.fetch)); // before a parser takes the bodies of its forms

app.use(express.json());

app.post("/sums", async (request, response) => {
  const { i, j, seconds } = request.body ?? {};
  const { id } = await add.schedule(i, j, seconds);
  response.status(202).location(`/sums/${id}`).json({ id });
});

app.get("/sums/:id", async (request, response) => {
  const { status, body } = answerOf(await add.get(parseTaskId(request.params.id)));
  response.status(status).json(body);
});

app.use((error: Error & { status?: number }, _request: Request, response: Response, next: NextFunction) => {
  if (response.headersSent) return next(error);
  const { status, body } = failureOf(error, error.status);
  response.status(status).json(body);
});

startConsumer();
const server = app.listen(port, () => {
  console.log(`Listening on http://localhost:${(server.address() as AddressInfo).port}/`);
});
stopServerAtSignal(server);
