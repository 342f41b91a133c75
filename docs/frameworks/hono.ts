import { parseTaskId } from "@firefly/tasks";
import { Hono } from "hono";
import { HTTPException } from "hono/http-exception";
import { answerOf, failureOf } from "./answers.ts";
import { board } from "./firefly.ts";
import { add } from "./tasks.ts";

export const app = new Hono();

app.post("/sums", async (c) => {
  const body = await c.req.json().catch(() => undefined);
  const { id } = await add.schedule(body?.i, body?.j, body?.seconds);
  return c.json({ id }, 202, { location: `/sums/${id}` });
});

app.get("/sums/:id", async (c) => {
  const { status, body } = answerOf(await add.get(parseTaskId(c.req.param("id"))));
  return c.json(body, status);
});

app.all("/firefly/*", (c) => board.fetch(c.req.raw));

app.onError((error) => {
  const { status, body } = failureOf(error, error instanceof HTTPException ? error.status : 500);
  return Response.json(body, { status });
});
