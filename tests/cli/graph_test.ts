import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { renderGraph } from "../../src/cli/graph.ts";
import { testDatabase } from "../support/database.ts";
import { jsonLines, testProject } from "../support/project.ts";
import { claimMany } from "../support/claiming.ts";
import { scheduleGraph } from "../support/dependencies.ts";
import { callAndSuspend } from "../support/suspended.ts";

/** 1 and 2 are waited for by 3; 2 and 3 by 4; 5 stands alone. */
async function filled() {
  const db = await testDatabase();
  const ids = await scheduleGraph(db.store, [[], [], [{ ref: 0 }, { ref: 1 }], [{ ref: 1 }, { ref: 2 }], []]);
  assertEquals(ids, [1, 2, 3, 4, 5]);
  return db;
}

Deno.test("graph shows the tasks that hang together, each below those that depend on it", async () => {
  await using db = await filled();
  await using project = await testProject({ database: db.url });
  await db.sql`SELECT firefly.cancel(2)`;

  const { code, stdout } = await project.run("graph", "3", "--table");
  const name = "test.task";
  assertEquals([code, stdout.trimEnd().split("\n")], [0, [
    `${name} #4  created`,
    `├─ ${name} #2  cancelled`,
    `└─ ${name} #3  created`,
    `   ├─ ${name} #1  created`,
    `   └─ ${name} #2  cancelled`,
  ]]);
  assertEquals(jsonLines((await project.run("graph", "1")).stdout), [
    { id: 1, func_name: name, status: "created", dependencies: [], called_by: null },
    { id: 2, func_name: name, status: "cancelled", dependencies: [], called_by: null },
    { id: 3, func_name: name, status: "created", dependencies: [1, 2], called_by: null },
    { id: 4, func_name: name, status: "created", dependencies: [2, 3], called_by: null },
  ]);
  const chart = (await project.run("graph", "1", "--mermaid")).stdout;
  assert(chart.startsWith("flowchart LR\n"), chart);
  assertStringIncludes(chart, "t2 --> t4");
  const missing = await project.run("graph", "99");
  assertEquals([missing.code, missing.stderr.includes("Cannot find task 99")], [4, true]);
  assertEquals((await project.run("graph")).code, 2);
  assertEquals((await project.run("graph", "1,2")).code, 2);
});

Deno.test("renderGraph() shows a task with dependencies once in full, callees, a deleted one by its id, and long chains", () => {
  const terminal = { style: (_: unknown, text: string) => text };
  const node = (id: number, dependencies: number[], calledBy: number | null = null) => ({
    id,
    funcName: "f",
    status: "created" as const,
    dependencies,
    calledBy,
  });
  assertEquals(renderGraph([node(2, [1]), node(3, [2]), node(4, [2, 3])], { chosen: 2, terminal }), [
    "f #4  created",
    "├─ f #2  created",
    "│  └─ #1  deleted",
    "└─ f #3  created",
    "   └─ f #2  created  (shown above)",
  ]);
  const calls = [node(1, []), node(2, [1]), node(3, [], 2), node(4, [], 2), node(5, [], 4), node(6, [], 99)];
  assertEquals(renderGraph(calls, { chosen: 2, terminal }), [
    "f #2  created",
    "├─ f #1  created",
    "├─ f #3  created  (called)",
    "└─ f #4  created  (called)",
    "   └─ f #5  created  (called)",
    "f #6  created",
  ]);
  const chain = Array.from({ length: 5000 }, (_, i) => node(i + 1, i === 0 ? [] : [i]));
  assertEquals(renderGraph(chain, { chosen: 1, terminal }).length, 5000);
});

Deno.test("cancel --graph cancels all that hang together with the ids, and nothing else", async () => {
  await using db = await filled();
  await using project = await testProject({ database: db.url });

  const dry = await project.run("cancel", "3", "--graph", "--dry-run");
  assertEquals(jsonLines(dry.stdout), [{ cancelled: 4, dry_run: true, newest: [4, 3, 2, 1] }]);
  const { code, stdout } = await project.run("cancel", "3", "--graph");
  assertEquals(code, 0);
  assert((jsonLines(stdout)[0] as { cancelled: number }).cancelled > 0);
  const rows = await db.sql`SELECT id, status FROM firefly.task WHERE id IN (1, 2, 5) ORDER BY id`;
  assertEquals(rows.map(({ status }) => status), ["cancelled", "cancelled", "created"]);
  assertEquals((await project.run("cancel", "3", "99", "--graph")).code, 4);
  for (const flags of [["--all"], ["--queue", "default"], ["3", "--name", "x"]]) {
    const wrong = await project.run("cancel", "--graph", ...flags);
    assertEquals([wrong.code, wrong.stderr.includes("--graph takes ids")], [2, true], flags.join(" "));
  }
});

Deno.test("show names the neighbours of a task, and list finds those that wait for others", async () => {
  await using db = await filled();
  await using project = await testProject({ database: db.url });

  const page = (await project.run("show", "3", "--table")).stdout;
  assert(/Depends on +test\.task #1 created\n +test\.task #2 created\n/.test(page), page);
  assert(/Dependants +test\.task #4 created\n/.test(page), page);
  assert(!(await project.run("show", "5", "--table")).stdout.includes("Depend"));
  assertEquals(jsonLines((await project.run("list", "--status", "dependent")).stdout).map(({ id }) => id), [4, 3]);
  const [caller] = await claimMany(db, 1);
  const [callee] = await callAndSuspend(db.store, caller!);
  assert(
    new RegExp(`Called +test\\.task #${callee} created\n`).test(
      (await project.run("show", `${caller!.id}`, "--table")).stdout,
    ),
  );
  assert(
    new RegExp(`Called by +test\\.task #${caller!.id} created\n`).test(
      (await project.run("show", `${callee}`, "--table")).stdout,
    ),
  );
  assertEquals(jsonLines((await project.run("list", "--status", "suspended")).stdout).map(({ id }) => id), [
    caller!.id,
  ]);
  const explained = (await project.run("explain", `${caller!.id}`, "--table")).stdout;
  assertStringIncludes(explained, `It waits for 1 of 1 task that it called: ${callee}`);
  const hint = await project.run("list", "--waiting", "dependencies");
  assertEquals([hint.code, hint.stderr.includes("dependent")], [2, true]);
});
