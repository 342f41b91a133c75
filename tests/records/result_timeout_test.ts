import { assertEquals, assertRejects } from "@std/assert";
import { task } from "../../mod.ts";
import { taskName, testInstance } from "../support/instance.ts";

Deno.test("result() that times out says why the task does not run", async () => {
  await using test = await testInstance();
  const mail = task({ name: taskName(), queue: "mail" }, () => {});
  const record = await test.ff.run(() => mail.schedule());

  const error = await assertRejects(() => record.result({ timeout: "10ms" }), DOMException);

  assertEquals(error.name, "TimeoutError");
  const text = `Task ${record.id} did not end within 0.01 s: `;
  assertEquals(error.message, text + (await test.ff.tasks.explain(record.id)).summary);
});

Deno.test("result() that times out says how to ask, where the reason cannot be read", async () => {
  await using test = await testInstance();
  const mail = task(taskName(), () => {});
  const record = await test.ff.run(() => mail.schedule());
  await test.db.sql`ALTER FUNCTION firefly.explain(bigint) RENAME TO hidden`;

  const error = await assertRejects(() => record.result({ timeout: "10ms" }), DOMException);

  assertEquals(error.message, `Task ${record.id} did not end within 0.01 s: "firefly explain ${record.id}" says why`);
});
