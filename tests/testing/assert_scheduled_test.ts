import { AssertionError } from "node:assert";
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { task } from "../../mod.ts";
import { testFirefly } from "../../testing.ts";

const mail = task(
  { name: "assert.mail", aliases: ["assert.old_mail"], queue: "mail" },
  (_to: string, _n: number) => {},
);
const other = task("assert.other", () => {});

Deno.test("assertScheduled() returns the oldest record that is as expected", async () => {
  await using ff = await testFirefly({ tasks: [mail, other] });
  const first = await mail.with({ tags: ["a", "b"], priority: 3 }).schedule("ada", 1);
  await mail.schedule("ada", 2);

  assertEquals((await ff.assertScheduled(mail)).id, first.id);
  await ff.assertScheduled(mail, { args: ["ada", 1], queue: "mail", tags: ["b"], priority: 3, count: 1 });
  await ff.assertScheduled("assert.mail", { args: ["ada", 2] });
  await ff.assertScheduled(mail, { args: (to, n) => to === "ada" && n > 1, count: 1 });
  await ff.assertScheduled(mail, { count: 2 });
  const { params: [to] } = await ff.assertScheduled(mail);
  assertEquals(to satisfies string, "ada");
});

Deno.test("assertScheduled() compares times: a delay from the scheduling on, and a date", async () => {
  const at = new Date("2031-01-01T00:00:00Z");
  await using ff = await testFirefly({ tasks: [mail], now: new Date("2030-01-01T00:00:00Z") });
  await mail.with({ delay: "2h" }).schedule("ada", 1);
  await mail.with({ notBefore: at }).schedule("ben", 1);
  await ff.travel("1h");

  await ff.assertScheduled(mail, { args: ["ada", 1], in: "2h" });
  await ff.assertScheduled(mail, { args: ["ben", 1], at });
  await assertRejects(() => ff.assertScheduled(mail, { args: ["ada", 1], in: "1h" }), AssertionError, "in: '7200s'");
  await assertRejects(() => ff.assertScheduled(mail, { at: new Date(at.getTime() + 2000) }), AssertionError, "at: ");
});

Deno.test("assertScheduled() shows what is expected, and how records differ, the closest first", async () => {
  await using ff = await testFirefly({ tasks: [mail] });
  const far = await mail.with({ queue: "slow", tags: ["bulk"] }).schedule("ben", 7);
  const close = await mail.schedule("ada", 2);

  const error = await assertRejects(
    () => ff.assertScheduled(mail, { args: ["ada", 1], queue: "mail" }),
    AssertionError,
  );

  const expected = `Task "assert.mail" was not scheduled as expected: of 2 records none is like
  status: 'created'
  args: [ 'ada', 1 ]
  queue: 'mail'
They are:
  id ${close.id}: args: [ 'ada', 2 ]
  id ${far.id}: args: [ 'ben', 7 ], queue: 'slow'`;
  assertStringIncludes(error.message, expected);
  assertEquals(error.actual, { args: ["ada", 2] });
  assertEquals(error.expected, { args: ["ada", 1] });
});

Deno.test("assertScheduled() of a task that has run says so, and finds it by its status", async () => {
  await using ff = await testFirefly({ tasks: [mail] });
  const { id } = await mail.schedule("ada", 1);
  await ff.drain();

  await assertRejects(() => ff.assertScheduled(mail), AssertionError, `id ${id}: status: 'completed'`);
  await ff.assertScheduled(mail, { status: "completed" });
  await ff.assertScheduled(mail, { status: ["failed", "completed"] });
  await ff.assertNotScheduled(mail);
});

Deno.test("assertScheduled() says that there are no records, and how many there are too many", async () => {
  await using ff = await testFirefly({ tasks: [mail, other] });
  await assertRejects(() => ff.assertScheduled(other), AssertionError, "of 0 records none is like");
  await other.schedule();
  await other.schedule();
  await assertRejects(() => ff.assertScheduled(other, { count: 1 }), AssertionError, "of 2 records 2 instead of 1 are");
  await ff.assertScheduled(mail, { count: 0 });
});

Deno.test("assertScheduled() refuses a key that it does not know", async () => {
  await using ff = await testFirefly({ tasks: [other] });
  // @ts-expect-error: it is called args
  await assertRejects(() => ff.assertScheduled(other, { arg: [] }), TypeError, 'did you mean "args"');
});

Deno.test("assertNotScheduled() shows the record that is as described", async () => {
  await using ff = await testFirefly({ tasks: [mail] });
  const { id } = await mail.schedule("ada", 1);

  await ff.assertNotScheduled(mail, { args: ["ben", 1] });
  await assertRejects(
    () => ff.assertNotScheduled(mail, { args: ["ada", 1] }),
    AssertionError,
    `id ${id}: args: [ 'ada', 1 ]`,
  );
});

Deno.test("scheduled() lists the tasks that have not started, the oldest first, with names of before", async () => {
  await using ff = await testFirefly({ tasks: [mail, other] });
  await ff.sql`SELECT firefly.schedule('assert.old_mail', '["old", 0]')`;
  await mail.schedule("ada", 1);
  await other.schedule();

  assertEquals((await ff.scheduled(mail)).map(({ params }) => params[0]), ["old", "ada"]);
  assertEquals((await ff.scheduled()).map(({ funcName }) => funcName), [
    "assert.old_mail",
    "assert.mail",
    "assert.other",
  ]);
  assertEquals((await ff.scheduled(mail, { params: ["ada"] })).length, 1);
  await ff.drain();
  assertEquals(await ff.scheduled(), []);
  assertEquals((await ff.scheduled(mail, { status: "completed" })).length, 2);
});
