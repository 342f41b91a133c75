import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { current, task } from "../../mod.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { jsonLines, testProject } from "../support/project.ts";

Deno.test("steps and show show the steps of a task, for people and as JSON, redacted", async () => {
  await using t = await testInstance();
  const order = task(taskName(), async () => {
    const { step } = current();
    await step({ name: "charge", key: "k" }, () => ({ id: 7, password: "s3cr3t" }));
    await step("ship", () => Promise.reject(new Error("no\u001b[31m van"))).catch(() => {});
    await step("book", () => {});
  });
  const plain = task(taskName(), () => {});
  const [record, other] = await t.ff.run(() => Promise.all([order.schedule(), plain.schedule()]));
  await t.drain({ tasks: [order, plain] });
  await using project = await testProject({ database: t.db.url });
  const { id } = record;

  const json = jsonLines((await project.run("steps", `${id}`)).stdout);
  assertEquals(json.map(({ name, key, status, seq, returned }) => [name, key, status, seq, returned]), [
    ["charge", "k", "completed", 1, { id: 7, password: "[redacted]" }],
    ["ship", "", "failed", 2, null],
    ["book", "", "completed", 3, null],
  ]);
  assertStringIncludes(json[1].error.message, "van");

  const table = (await project.run("steps", `${id}`, "--table")).stdout;
  assertMatch(table, /^STEP +STATUS +ATTEMPT +TOOK +ENDED +RESULT$/m);
  assertMatch(table, /^charge k +completed +1 .*\{ id: 7, password: '\[redacted\]' \}/m);
  assert(!table.includes("\u001b[31m"), table);

  const shown = (await project.run("show", `${id}`, "--table")).stdout;
  assertMatch(shown, /\nSteps\n {2}STEP .*\n {2}charge k /);
  assert(!(await project.run("show", `${other.id}`, "--table")).stdout.includes("Steps"));
  const none = await project.run("steps", `${other.id}`, "--table");
  assertEquals([none.code, none.stdout], [0, ""]);
  assertStringIncludes(none.stderr, `Task ${other.id} has run no steps`);
  assertEquals((await project.run("steps", "99")).code, 4);
  assertEquals((await project.run("steps")).code, 2);
});
