import { assert, assertEquals } from "@std/assert";
import { findCriticalPath } from "../../src/dashboard/graph/critical_path.ts";
import { Graph } from "../../src/dashboard/graph/graph.ts";
import { type Grouped, groupTasks } from "../../src/dashboard/graph/groups.ts";
import { BOX, placeGroups } from "../../src/dashboard/graph/places.ts";
import type { DrawnTask } from "../../src/store/task_graph.ts";

/** A task that has completed at a second, after those that it depends on. */
function drawn(id: number, dependencies: number[] = [], options: Partial<DrawnTask> = {}): DrawnTask {
  const ended = new Date(id * 1000);
  return {
    id,
    funcName: "part",
    state: "completed",
    started: new Date(ended.getTime() - 500),
    ended,
    dependencies,
    calledBy: null,
    ...options,
  };
}

function grouped(tasks: DrawnTask[], focus: number): Grouped {
  const graph = new Graph(tasks);
  return groupTasks({ graph, focus, path: findCriticalPath(graph) });
}

Deno.test("Graph puts a task behind all that come before it, on the longest way, and callees behind their caller", () => {
  const graph = new Graph([
    drawn(1),
    drawn(2, [1]),
    drawn(3, [1, 2]),
    drawn(4, [1]),
    drawn(5, [], { calledBy: 3 }),
    drawn(6, [99]),
  ]);

  assertEquals([...graph.layers].sort(([a], [b]) => a - b), [[1, 0], [2, 1], [3, 2], [4, 1], [5, 3], [6, 0]]);
});

Deno.test("Graph ends with tasks that depend on one another in a circle, as an edit by hand leaves them", () => {
  const graph = new Graph([drawn(1), drawn(2, [1, 3]), drawn(3, [2])]);

  assertEquals(graph.layers.get(1), 0);
  assert(graph.layers.get(2)! > 0 && graph.layers.get(3)! > 0);
  placeGroups(grouped([...graph.tasks.values()], 1)); // it ends, too
});

Deno.test("Graph counts how many of the dependencies of a task have ended, a deleted one with them", () => {
  const graph = new Graph([
    drawn(1),
    drawn(2, [], { state: "failed" }),
    drawn(3, [], { state: "running", ended: null }),
    drawn(4, [1, 2, 3, 99], { state: "dependent", started: null, ended: null }),
  ]);

  assertEquals(graph.progressOf(graph.tasks.get(4)!), { ended: 3, of: 4 });
});

Deno.test("findCriticalPath() goes back over the dependency, and the callee, that ended last", () => {
  const graph = new Graph([
    drawn(1),
    drawn(2),
    drawn(3, [1]),
    drawn(4, [2], { ended: new Date(9_000) }),
    drawn(5, [3, 4], { ended: new Date(20_000) }),
    drawn(6, [], { calledBy: 5, ended: new Date(15_000) }),
    drawn(7, [], { calledBy: 5, ended: new Date(12_000) }),
    drawn(8, [3]),
  ]);
  const path = findCriticalPath(graph)!;

  assertEquals([...path.tasks].sort(), [2, 4, 5, 6]);
  assertEquals([...path.edges].map(({ from, to, isCall }) => [from, to, isCall]).sort(), [
    [2, 4, false],
    [4, 5, false],
    [5, 6, true],
  ]);
  assertEquals(path.seconds, 20 - 1.5);
});

Deno.test("findCriticalPath() finds none while a task may still run, and of a single task", () => {
  assertEquals(findCriticalPath(new Graph([drawn(1), drawn(2, [1], { state: "running", ended: null })])), undefined);
  assertEquals(findCriticalPath(new Graph([drawn(1)])), undefined);
});

Deno.test("groupTasks() makes one box of many equal siblings, and never of the chosen task", () => {
  const parts = Array.from({ length: 9_999 }, (_, index) => drawn(index + 1));
  const failed = drawn(10_000, [], { state: "failed" });
  const ids = [...parts.map(({ id }) => id), failed.id];
  const tasks = [...parts, failed, drawn(10_001, ids, { funcName: "merge" })];

  const fromMerge = grouped(tasks, 10_001);
  assertEquals(fromMerge.groups.map(({ tasks, state }) => [tasks.length, state]), [
    [9_999, "completed"],
    [1, "failed"],
    [1, "completed"],
  ]);
  assertEquals(fromMerge.links.length, 2);

  const fromPart = grouped(tasks, 5);
  assertEquals(fromPart.groups.map(({ tasks, isFocus }) => [tasks.length, isFocus]).sort(), [
    [1, false],
    [1, false],
    [1, true],
    [9_998, false],
  ]);
});

Deno.test("groupTasks() draws a few siblings one by one", () => {
  const tasks = [...Array.from({ length: 8 }, (_, index) => drawn(index + 1)), drawn(9, [1, 2, 3, 4, 5, 6, 7, 8])];

  assertEquals(grouped(tasks, 9).groups.length, 9);
});

Deno.test("groupTasks() makes boxes of tasks alike in one layer where siblings are too many", () => {
  const tasks = Array.from({ length: 500 }, (_, pair) => [
    drawn(2 * pair + 1, [], { funcName: "fetch" }),
    drawn(2 * pair + 2, [2 * pair + 1], { funcName: "parse", state: pair === 7 ? "failed" : "completed" }),
  ]).flat();
  const count = drawn(1001, tasks.filter(({ funcName }) => funcName === "parse").map(({ id }) => id), {
    funcName: "count",
  });
  const { groups, links, left } = grouped([...tasks, count], 1001);

  assertEquals(groups.map(({ funcName, state, tasks }) => `${funcName} ${state} ${tasks.length}`).sort(), [
    "count completed 1",
    "fetch completed 500",
    "parse completed 499",
    "parse failed 1",
  ]);
  assertEquals([links.length, left], [4, 0]);
});

Deno.test("groupTasks() draws what is nearest to the chosen task of a chain that is too long", () => {
  const chain = Array.from({ length: 5_000 }, (_, index) => drawn(index + 1, index === 0 ? [] : [index]));
  const { groups, left } = grouped(chain, 2_500);
  const ids = groups.flatMap(({ tasks }) => tasks.map(({ id }) => id)).sort((a, b) => a - b);

  assertEquals([groups.length, left], [120, 4_880]);
  assert(ids[0]! > 2_430 && ids.at(-1)! < 2_570, `${ids[0]} to ${ids.at(-1)}`);
});

Deno.test("placeGroups() lets no box overlap another, and no line pass behind one", () => {
  const tasks = [
    drawn(1),
    drawn(2, [1]),
    drawn(3, [2]),
    drawn(4, [1, 3]),
    drawn(5, [1, 4]),
    drawn(6, [1], { calledBy: 5 }),
  ];
  const { boxes, lines, width, height } = placeGroups(grouped(tasks, 1));

  for (const [index, a] of boxes.entries()) {
    assert(a.x >= 0 && a.y >= 0 && a.x + BOX.width <= width && a.y + BOX.height <= height);
    for (const b of boxes.slice(index + 1)) {
      assert(Math.abs(a.x - b.x) >= BOX.width || Math.abs(a.y - b.y) >= BOX.height, "boxes overlap");
    }
    for (const { link, points } of lines) {
      if (link.from === a.group || link.to === a.group) continue;
      for (const [x, y] of points) {
        const isWithin = x > a.x && x < a.x + BOX.width && y > a.y && y < a.y + BOX.height;
        const isAtSide = (x === a.x || x === a.x + BOX.width) && y > a.y && y < a.y + BOX.height;
        assert(!isWithin && !isAtSide, "a line passes behind a box");
      }
    }
  }
});
