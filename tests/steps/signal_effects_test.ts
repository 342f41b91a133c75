import { assertEquals } from "@std/assert";
import { current, signal, task } from "../../mod.ts";
import { taskName, testInstance } from "../support/instance.ts";

Deno.test("a step with effects takes the signal away that the handler received before it, each time", async () => {
  await using t = await testInstance();
  await t.db.sql`CREATE TABLE effect (payload text)`;
  const said = signal<string>("said");
  const listen = task({ name: taskName() }, async () => {
    const { step } = current();
    const write = (payload: string) => current().sql`INSERT INTO effect VALUES (${payload})`;
    await step("before", () => write("nothing"));
    const first = await step.waitFor(said);
    await step("first", () => write(first));
    const second = await step.waitFor(said);
    await step("second", () => write(second));
    return `${first} ${second}`;
  });
  const record = await t.ff.run(() => listen.schedule());
  await t.ff.tasks.signal(record.id, said, "one");
  await t.ff.tasks.signal(record.id, said, "two");

  await t.drain({ tasks: [listen] });

  assertEquals((await t.ff.tasks.find(record.id))!.returned, "one two");
  assertEquals((await t.db.sql`SELECT payload FROM effect`).map(({ payload }) => payload), ["nothing", "one", "two"]);
  assertEquals((await t.db.sql`SELECT FROM firefly.signal`).count, 0);
});
