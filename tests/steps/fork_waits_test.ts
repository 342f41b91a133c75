import { assertEquals } from "@std/assert";
import { current, signal, task } from "../../mod.ts";
import { taskName, testInstance } from "../support/instance.ts";

Deno.test("fork() keeps what waits have brought, and begins those anew that have not ended, calls with new tasks", async () => {
  await using t = await testInstance();
  const approved = signal<string>("approved");
  const print = task(taskName(), (label: string) => `printed ${label}`);
  const ship = task({ name: taskName(), queue: "later" }, (label: string) => `shipped ${label}`);
  const order = task(taskName(), async () => {
    const { step } = current();
    const printed = await step.call(print, "a");
    const by = await step.waitFor(approved);
    return [printed, by, await step.call(ship, "a")];
  });
  const record = await t.ff.run(() => order.schedule());
  const tasks = [order, print, ship];
  await record.signal(approved, "Ada");
  await t.drain({ tasks, queues: ["default"] });
  const { state } = await record.refresh();
  const callees = async (of: typeof record) => (await of.steps()).flatMap(({ callees }) => callees);
  const [printed, shipped] = await callees(record);
  assertEquals(state, "suspended");

  const fork = await record.fork();
  const early = await record.fork({ from: "approved" });
  assertEquals((await fork.steps()).map(({ name, kind }) => [name, kind]), [[print.funcName, "call"], [
    "approved",
    "signal",
  ]]);
  await t.drain({ tasks, queues: ["default"] });
  assertEquals([(await fork.refresh()).state, (await early.refresh()).state], ["suspended", "suspended"]);
  const [printedToo, shippedToo] = await callees(fork);
  assertEquals([printedToo, shippedToo! > shipped!], [printed, true]);
  assertEquals(await early.signal(approved, "Bob"), true);

  await t.ff.tasks.delete({ funcName: print.funcName });
  await t.drain({ tasks, queues: ["default", "later"] });
  await t.drain({ tasks, queues: ["default", "later"] });
  const returned = async (of: typeof record) => (await of.refresh()).returned;
  assertEquals(await returned(record), ["printed a", "Ada", "shipped a"]);
  assertEquals(await returned(fork), ["printed a", "Ada", "shipped a"]);
  assertEquals(await returned(early), ["printed a", "Bob", "shipped a"]);
  assertEquals((await t.db.sql`SELECT FROM firefly.task WHERE func_name = ${ship.funcName}`).count, 3);
});
