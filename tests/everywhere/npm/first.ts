import { configure, consume, task } from "@firefly/tasks";
import assert from "node:assert/strict";
import { check, library } from "../check.ts";

library("@firefly/tasks");
const ff = configure({});
const add = task({ name: "add" }, (a: number, b: number) => a + b);

await check("a consumer runs a task", async () => {
  const consumer = consume();
  await consumer.ready;
  assert.equal(await add.schedule(1, 3).result({ timeout: "10s" }), 4);
  await consumer.stop();
});
await ff.close();
