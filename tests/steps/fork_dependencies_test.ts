import { assertEquals, assertMatch } from "@std/assert";
import { current, settled, task } from "../../mod.ts";
import { taskName, testInstance } from "../support/instance.ts";

Deno.test("fork() of a task with dependencies reads their results, which are not pruned before it has ended", async () => {
  await using t = await testInstance();
  const part = task(taskName(), (n: number) => {
    if (n === 3) throw new Error("no third");
    return n * 10;
  });
  const merge = task(taskName(), async (...parts: unknown[]) => {
    await current().step("merge", () => {});
    return JSON.stringify(parts);
  });
  const { record, parts } = await t.ff.run(async () => {
    const parts = [await part.schedule(1), await part.schedule(2), await part.schedule(3)] as const;
    const record = await merge.schedule(parts[0], parts[1], settled(parts[2]) as never);
    return { record, parts };
  });
  await t.drain({ tasks: [part, merge] });
  const prune = async () => await t.ff.prune({ retention: { completed: 0, failed: 0 } });

  const fork = await record.fork();
  assertEquals([fork.dependencies, fork.state], [3, "ready"]);
  assertEquals(await prune(), 1); // the original
  await t.drain({ tasks: [part, merge] });
  const { returned } = await fork.refresh();
  assertMatch(`${returned}`, /^\[10,20,\{"status":"rejected","reason":\{.*"message":"no third"/);
  assertEquals(await prune(), 4);
  assertEquals((await t.db.sql`SELECT FROM firefly.dependency`).count, 0);
  await t.ff.run(() => Promise.all(parts.map(({ id }) => t.ff.tasks.find(id)))).then((found) =>
    assertEquals(found, [undefined, undefined, undefined])
  );
});

Deno.test("fork() of a task that waits for another waits for it, too, and is cancelled if it does not complete", async () => {
  await using t = await testInstance();
  const part = task({ name: taskName(), queue: "later" }, (ok: boolean) => {
    if (!ok) throw new Error("not ok");
    return "part";
  });
  const merge = task(taskName(), (value: string) => value);
  const [good, bad] = await t.ff.run(async () => [
    await merge.schedule(part.schedule(true)),
    await merge.schedule(part.schedule(false)),
  ]);
  const forks = [await good!.fork(), await bad!.fork()];
  assertEquals(forks.map(({ state }) => state), ["dependent", "dependent"]);
  const late = async (id: number) => {
    const record = await t.ff.tasks.fork(id);
    await t.drain({ queues: ["default", "later"], tasks: [part, merge] });
    return await record.refresh();
  };

  await t.drain({ queues: ["default", "later"], tasks: [part, merge] });
  const ends = await Promise.all([good!, bad!, ...forks].map((each) => each.refresh()));
  assertEquals(ends.map(({ status }) => status), ["completed", "cancelled", "completed", "cancelled"]);
  assertEquals((await late(bad!.id)).error?.name, "DependencyFailed");
  await t.ff.tasks.delete({ funcName: part.funcName, status: "completed" });
  const { status, error } = await late(good!.id);
  assertEquals([status, error?.name], ["failed", "DependencyFailed"]);
  assertMatch(error!.message, /the result of task \d+, which was deleted/);
});
