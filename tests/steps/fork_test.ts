import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { current, FireflyError, StepNotFound, task, TaskNotFound } from "../../mod.ts";
import { OLD } from "../support/encryption.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { gate } from "../support/step_gate.ts";
import { until } from "../support/waiting.ts";

Deno.test("fork() gives results of the steps before its first one back, and runs that and those after it", async () => {
  await using t = await testInstance();
  const calls: string[] = [];
  const order = task({ name: taskName(), maxRetries: 0 }, async (id: number) => {
    const { step, id: taskId } = current();
    const charge = await step("charge", () => (calls.push(`charge ${taskId}`), { of: id, by: taskId }));
    for (const page of ["a", "b"]) await step("page", () => void calls.push(`${page} ${taskId}`));
    await step("ship", () => void calls.push(`ship ${taskId}`));
    return charge.by;
  });
  const record = await t.ff.run(() => order.with({ tags: ["shop"] }).schedule(7));
  await t.drain({ tasks: [order] });
  const { id } = record;
  calls.length = 0;

  const [all, ship, page, first] = [
    await record.fork(),
    await t.ff.tasks.fork(id, { from: "ship" }),
    await record.fork({ from: { step: "page", key: "2" } }),
    await t.ff.tasks.fork(id, { from: "charge" }),
  ];
  assertEquals([all.forkedFrom, all.status, all.params, all.tags], [id, "created", [7], ["shop"]]);
  assertEquals((await record.refresh()).forkedFrom, null);
  await t.drain({ tasks: [order] });

  const of = (each: { id: number }) =>
    calls.filter((call) => call.endsWith(` ${each.id}`)).map((call) => call.split(" ")[0]);
  assertEquals([of(all), of(ship), of(page), of(first)], [[], ["ship"], ["b", "ship"], ["charge", "a", "b", "ship"]]);
  const returned = async (of: { refresh(): Promise<{ returned: unknown }> }) => (await of.refresh()).returned;
  assertEquals([await returned(all), await returned(ship), await returned(page), await returned(first)], [
    id,
    id,
    id,
    first.id,
  ]);
  assertEquals((await ship.steps()).map(({ name, key, seq }) => [name, key, seq]), [
    ["charge", "", 1],
    ["page", "", 2],
    ["page", "2", 3],
    ["ship", "", 4],
  ]);
});

Deno.test("fork() of a task that runs begins with the steps that it has stored, and leaves it running", async () => {
  await using t = await testInstance();
  const calls: number[] = [];
  const ship = gate();
  const order = task(taskName(), async () => {
    const { step, id } = current();
    await step("charge", () => void calls.push(id));
    await step("ship", () => id === 1 ? ship.wait() : undefined);
    return "done";
  });
  const record = await t.ff.run(() => order.schedule());
  const running = t.ff.consume({ tasks: [order] });
  await ship.reached;

  const fork = await record.fork();
  assertEquals((await fork.refresh()).forkedFrom, 1);
  await until(async () => (await fork.refresh()).status === "completed");
  assertEquals((await record.refresh()).status, "running");
  ship.open();
  await until(async () => (await record.refresh()).status === "completed");
  await running.stop();
  assertEquals(calls, [1]);
});

Deno.test("fork() refuses a step that the task has not, and suggests one; a missing task; and wrong options", async () => {
  await using t = await testInstance();
  const order = task(taskName(), async () => {
    for (const key of ["a", "b"]) await current().step({ name: "resize", key }, () => {});
  });
  const record = await t.ff.run(() => order.schedule());
  await t.drain({ tasks: [order] });
  const message = async (from: Parameters<typeof record.fork>[0]) =>
    (await assertRejects(() => record.fork(from), StepNotFound)).message;

  assertEquals(
    await message({ from: "resizes" }),
    'Cannot fork task 1 as it has no step "resizes", did you mean "resize"?',
  );
  assertEquals(
    await message({ from: "resize" }),
    'Cannot fork task 1 as it has no step "resize" with the key "": its keys are "a", "b"',
  );
  assertEquals(await message({ from: "zzzzzz" }), 'Cannot fork task 1 as it has no step "zzzzzz": it has "resize"');
  await assertRejects(() => t.ff.tasks.fork(99), TaskNotFound);
  await assertRejects(() => t.ff.tasks.fork(99, { from: "resize" }), TaskNotFound);
  await assertRejects(() => record.fork({ from: 7 as never }), TypeError, '"from" must be the name of a step');
  await assertRejects(() => record.fork({ frm: "a" } as never), TypeError, 'did you mean "from"?');
  await assertRejects(() => t.ff.tasks.fork("1" as never), TypeError, "its id must be an integer");
  assertEquals((await t.db.sql`SELECT FROM firefly.task`).count, 1);
});

Deno.test("fork() keeps a caught failure, and reads encrypted arguments and results", async () => {
  await using t = await testInstance({ encryption: OLD });
  const calls: string[] = [];
  const order = task({ name: taskName(), queue: "orders" }, async (name: string) => {
    const { step } = current();
    const seen = await step("charge", () => Promise.reject(new RangeError(`declined ${name}`))).catch((e) => e.name);
    const by = await step("invoice", () => (calls.push("invoice"), { name }));
    await step("ship", () => void calls.push("ship"));
    return [seen, by.name];
  });
  const record = await t.ff.run(() => order.schedule("Ada"));
  await t.drain({ tasks: [order], queues: ["orders"] });

  const fork = await record.fork({ from: "ship" });
  await t.drain({ tasks: [order], queues: ["orders"] });

  assertEquals((await fork.refresh()).returned, ["RangeError", "Ada"]);
  assertEquals(calls, ["invoice", "ship", "ship"]);
  const [row] = await t.db.sql`SELECT returned FROM firefly.step WHERE task_id = ${fork.id} AND name = 'invoice'`;
  assertStringIncludes(atob(row!.returned), '"Encrypted"');
});

Deno.test("fork() takes the unique key of a task that has ended, and none while its original has it", async () => {
  await using t = await testInstance();
  const order = task({ name: taskName(), unique: { key: (id: number) => `${id}` } }, (_: number) => {});
  const record = await t.ff.run(() => order.schedule(7));
  const keyOf = async (id: number) =>
    (await t.db.sql`SELECT unique_key FROM firefly.task_record WHERE id = ${id}`)[0]!.unique_key;
  const holder = async () => (await t.db.sql`SELECT task_id::int AS id FROM firefly.unique_key`).map(({ id }) => id);

  const early = await record.fork();
  assertEquals([await keyOf(early.id), await holder()], [null, [record.id]]);
  await t.drain({ tasks: [order] });
  const late = await record.fork();
  const third = await record.fork();
  assertEquals([await keyOf(late.id), await keyOf(third.id), await holder()], ["7", null, [late.id]]);
  assertEquals((await t.ff.run(() => order.schedule(7))).id, late.id);
  await t.drain({ tasks: [order] });
  assertEquals([(await late.refresh()).status, await holder()], ["completed", []]);
});

Deno.test("fork() of a task that was cancelled runs in its queue with its limits", async () => {
  await using t = await testInstance();
  const order = task(
    { name: taskName(), queue: "orders", concurrency: { limit: 1, key: (id: number) => `${id}` } },
    (id: number) => id,
  );
  const record = await t.ff.run(() => order.schedule(7));
  await record.cancel();

  const fork = await record.fork();
  assertEquals([fork.queue, fork.state], ["orders", "limited"]);
  await t.drain({ tasks: [order], queues: ["orders"] });
  assertEquals([(await fork.refresh()).returned, (await record.refresh()).status], [7, "cancelled"]);
});

Deno.test("fork() in SQL refuses what fork() refuses, and takes part in the transaction of its caller", async () => {
  await using t = await testInstance();
  const order = task(taskName(), async () => await current().step("charge", () => 1));
  const { id } = await t.ff.run(() => order.schedule());
  await t.drain({ tasks: [order] });
  const { sql } = t.db;

  const codeOf = (query: Promise<unknown>) => query.then(() => "done", ({ code }) => code);
  assertEquals(await codeOf(sql`SELECT firefly.fork(99)`), "P0002");
  assertEquals(await codeOf(sql`SELECT firefly.fork(${id}, 'ship')`), "P0002");
  assertEquals(await codeOf(sql`SELECT firefly.fork(${id}, 'charge', '2')`), "P0002");
  await sql.begin(async (sql) => {
    await sql`SELECT firefly.fork(${id}, 'charge')`;
    throw new Error("undo");
  }).catch(() => {});
  assertEquals((await sql`SELECT FROM firefly.task`).count, 1);
  assertEquals((await sql`SELECT firefly.fork(${id}, step => 'charge') AS id`)[0]!.id, "3");
  assertEquals((await sql`SELECT forked_from::int FROM firefly.task_json WHERE id = 3`)[0]!.forked_from, id);
  await assertRejects(() => t.ff.run(() => t.ff.tasks.fork(id, { from: "x" })), FireflyError);
});
