import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { current, task } from "../../mod.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { jsonLines, testProject } from "../support/project.ts";

Deno.test("fork schedules a copy, prints its id, and exits with 4 for a task or step that there is not", async () => {
  await using t = await testInstance();
  const order = task(taskName(), async () => {
    for (const _ of [1, 2]) await current().step("charge", () => {});
  });
  const { id } = await t.ff.run(() => order.schedule());
  await t.drain({ tasks: [order] });
  await using project = await testProject({ database: t.db.url });

  const forked = await project.run("fork", `${id}`, "--from", "charge", "--key", "2", "--table");
  assertEquals([forked.code, forked.stdout], [0, "2\n"]);
  assertEquals((await t.ff.tasks.steps(2)).map(({ key }) => key), [""]);
  assertEquals(jsonLines((await project.run("fork", `${id}`)).stdout), [{ id: 3, forked_from: id }]);
  assertMatch((await project.run("show", "3", "--table")).stdout, /\nFork of +1\n/);

  const missing = await project.run("fork", `${id}`, "--from", "chrage");
  assertEquals(missing.code, 4);
  assertStringIncludes(missing.stderr, 'it has no step "chrage", did you mean "charge"?');
  assertEquals((await project.run("fork", "99")).code, 4);
  assertEquals((await project.run("fork")).code, 2);
  assertEquals((await project.run("fork", `${id}`, "--key", "2")).code, 2);
});
