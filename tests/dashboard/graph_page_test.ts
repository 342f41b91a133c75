import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { task } from "../../mod.ts";
import { testDashboard } from "../support/dashboard.ts";
import { workflowScene } from "../support/dashboard_scene_workflow.ts";
import { pageOf, textOf } from "../support/html.ts";
import { taskName } from "../support/instance.ts";

Deno.test("the graph of a task that waits has a link for each task, and says how many have ended", async () => {
  await using board = await testDashboard();
  const { dependent } = await workflowScene(board.test.ff);
  const page = await pageOf(await board.get(`/tasks/${dependent}/graph`));

  const boxes = page.texts(".graph .node");
  assert(boxes.some((text) => text.includes(`#${dependent} · Waits, 12 of 13`)), String(boxes));
  assert(boxes.some((text) => text.includes("×12 completed")), String(boxes));
  assert(boxes.some((text) => text.includes("To retry")), String(boxes));
  assertEquals(page.count(".graph .edge.critical"), 0);
  const row = page.rows("#graph-rows tr").find(([name]) => name!.startsWith("csv.merge"))!;
  assertEquals(row.slice(1, 3), ["After others", "Waits, 12 of 13"]);
  assertMatch(row[3]!, /^#\d+ #\d+ #\d+ and 10 more$/);

  // The box of many leads to the list of them, which is a part of the table.
  const many = page.all(".graph .node").find((node) => textOf(node).includes("×12"))!;
  const list = await pageOf(await board.get(many.getAttribute("href")!));
  assertEquals(list.count("#graph-rows tr"), 12);
  assertMatch(list.text("main")!, /csv\.extract, completed: 12 tasks/);
});

Deno.test("the graph of tasks that have ended marks its critical path, in the picture and in the table", async () => {
  await using board = await testDashboard();
  const { graph } = await workflowScene(board.test.ff);
  const page = await pageOf(await board.get(`/tasks/${graph}/graph`));

  assertEquals(page.count(".graph .node.critical"), 3);
  assertEquals(page.count(".graph .edge.critical"), 2);
  assertEquals(page.rows("#graph-rows tr").filter((cells) => cells.at(-1) === "yes").length, 3);
  assertMatch(page.text(".key")!, /critical path, \d/);
});

Deno.test("the graph of a caller draws the tasks that it called with dashed lines", async () => {
  await using board = await testDashboard();
  const { steps } = await workflowScene(board.test.ff);
  const page = await pageOf(await board.get(`/tasks/${steps}/graph`));

  assertEquals(page.count(".graph .edge.call"), 3);
  assertEquals(page.count(".graph .edge"), 3);
  const [caller, callee] = page.rows("#graph-rows tr");
  assertMatch(caller!.join(" "), /^order\.process #\d+ this task Suspended – – #\d+ #\d+ #\d+ – –$/);
  assertMatch(callee!.join(" "), /^label\.print #\d+ Completed – – –/);
});

Deno.test("the graph of 10,000 tasks that lead into one is a page of less than 100 kB, and lists 100 of them", async () => {
  await using board = await testDashboard();
  const part = task(taskName(), (n: number) => n);
  const merge = task(taskName(), (all: number[]) => all.length);
  const { id } = await board.test.ff.run(() =>
    merge.schedule(part.scheduleMany(Array.from({ length: 9_999 }, (_, n): [number] => [n])))
  );
  const page = await pageOf(await board.get(`/tasks/${id}/graph`));

  assertEquals(page.count(".graph .node"), 2);
  assertStringIncludes(page.text(".graph")!, "×9,999");
  assertStringIncludes(page.text(".graph")!, "Waits, 0 of 9,999");
  assert(page.source.length < 100_000, `${page.source.length} bytes`);
  assertEquals(page.count("#graph-rows tr"), 100);
  const [next] = page.attributes("a[rel=next]", "href");
  const second = await pageOf(await board.get(next!.split("#")[0]!));
  assertStringIncludes(second.text("footer")!, "101 to 200");
  assertEquals(second.rows("#graph-rows tr")[0]![0], `${part.funcName} #101`);
});

Deno.test("the graph escapes names, cuts long ones, and is none of a task that is not there", async () => {
  await using board = await testDashboard();
  const name = `</text><script>alert(1)</script>`;
  // Only another program can have scheduled it.
  const [row] = await board.test.db.sql`
    WITH scheduled AS (
      INSERT INTO firefly.task (func_name, queue) VALUES (${name}, 'default'), (${name}, 'default') RETURNING id
    )
    INSERT INTO firefly.dependency (task_id, ordinal, dependency_id)
    SELECT max(id), 0, min(id) FROM scheduled
    RETURNING task_id AS id
  `;
  const id = Number(row!.id);
  const page = await pageOf(await board.get(`/tasks/${id}/graph`));

  assertEquals(page.count("main script"), 0);
  assertEquals(page.texts(".graph .name"), [`${name.slice(0, 25)}…`, `${name.slice(0, 25)}…`]);
  for (const path of ["/tasks/9999/graph", "/tasks/x/graph"]) assertEquals((await board.get(path)).status, 404);
});
