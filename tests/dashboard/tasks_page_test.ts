import { assert, assertEquals, assertMatch, assertNotMatch, assertStringIncludes } from "@std/assert";
import { filterText } from "../../src/dashboard/filter.ts";
import { type TestDashboard, testDashboard } from "../support/dashboard.ts";
import { type HtmlPage, pageOf } from "../support/html.ts";
import { taskScene } from "../support/task_scene.ts";
import { Random } from "../support/random.ts";
import { withoutTriggers } from "../support/records.ts";
import { task } from "../../mod.ts";
import { taskName } from "../support/instance.ts";

/** The page of a list. */
async function listOf(board: TestDashboard, q: string, after?: string): Promise<HtmlPage> {
  const query = new URLSearchParams({ q, ...after === undefined ? {} : { after } });
  return await pageOf(await board.get(`/tasks?${query}`));
}

/** The ids that a page lists, in their order. */
function idsOn(page: HtmlPage): number[] {
  return page.attributes("tbody input[name=id]", "value").map(Number);
}

Deno.test("/tasks lists the tasks of each state", async () => {
  await using board = await testDashboard();
  const scene = await taskScene(board.test);
  const { completed, failed, cancelled, due, delayed, limited, unknown, running } = scene;
  const cases: [string, number[]][] = [
    ["status:completed", [completed]],
    ["status:failed", failed.toReversed()],
    ["status:cancelled", [cancelled]],
    ["status:running", [running]],
    ["status:ready tag:nightly", [due]],
    ["place:time", [delayed]],
    ["status:delayed", [delayed]],
    ["status:retrying", []],
    ["place:limit", limited.toReversed()],
    ["place:unknown", [unknown]],
    ["status:waiting", [unknown, ...limited.toReversed(), delayed]],
    ["status:failed,cancelled", [cancelled, ...failed.toReversed()]],
    [`-status:created,running name:${scene.fails}`, failed.toReversed()],
    ["queue:other", [unknown]],
    ["-queue:default", [unknown]],
    ["tag:nightly", [due]],
    ["error:TypeError", failed.toReversed()],
    ["status:failed error:refused", failed.toReversed()],
    ["status:failed error:elsewhere", []],
    ["status:running,failed", [running, ...failed.toReversed()]],
    ["args:ana", [completed]],
    ['args:["ana"]', [completed]],
    ['args:["an"]', []],
    ["consumer:mail-1", [running]],
    ["consumer:mail-1:3980 status:running", [running]],
    ["consumer:mail-2", []],
    [`id:${failed[0]},${due} -id:${due}`, [failed[0]!]],
    [`id:${failed[0]},${due} status:failed`, [failed[0]!]],
    ["from:1h", await allIds(board)],
    ["to:1h", []],
    ["status:failed from:1h", failed.toReversed()],
    ["status:failed to:1h", []],
  ];
  for (const [q, expected] of cases) assertEquals(idsOn(await listOf(board, q)), expected, q);
});

async function allIds({ test: { db } }: TestDashboard): Promise<number[]> {
  return (await db.sql`SELECT id FROM firefly.task ORDER BY id DESC`).map(({ id }) => Number(id));
}

Deno.test("/tasks says of each task what it waits for, or how it ended", async () => {
  await using board = await testDashboard();
  const scene = await taskScene(board.test);
  await board.test.ff.pause("other");
  const page = await listOf(board, "");
  const rows = new Map(page.rows("tbody tr").map((cells) => [Number(cells[1]), cells]));
  const text = (id: number) => rows.get(id)!.join(" | ");

  assertMatch(text(scene.completed), /Completed.*→ "sent to ana"|→ "sent to ana".*Completed/);
  assertMatch(text(scene.failed[0]!), /TypeError: refused with 1/);
  assertMatch(text(scene.failed[0]!), /1 of 1/);
  assertMatch(text(scene.delayed), /In (2h|1h 59m)/);
  assertMatch(text(scene.limited[0]!), /Limited/);
  assertMatch(text(scene.limited[0]!), /concurrency key printer/);
  assertMatch(text(scene.running), /Running/);
  assertMatch(text(scene.due), /\["cyd"\]/);
  assertMatch(text(scene.due), /Due/);
});

Deno.test("/tasks says that no consumer serves a queue, and that a queue is paused", async () => {
  await using board = await testDashboard();
  const adds = task({ name: taskName() }, () => {});
  await board.test.ff.run(() => adds.schedule());
  assertMatch((await listOf(board, "")).text("tbody tr")!, /No consumer.*no live consumer serves default/);

  await board.test.ff.pause("default");

  assertMatch((await listOf(board, "")).text("tbody tr")!, /Queue paused.*default has been paused for/);
});

Deno.test("/tasks counts the tasks of its lists, by queue and name where these are the filter", async () => {
  await using board = await testDashboard();
  const scene = await taskScene(board.test);
  const counts = async (q: string) => (await listOf(board, q)).texts(".tabs a");

  const all = await counts("");
  assertEquals(all.filter((text) => /^(Due|Waiting|Running|Failed)/.test(text)), [
    "Due 1",
    "Waiting 4",
    "Running 1",
    "Failed 3",
  ]);
  const named = await counts(`name:${scene.sends}`);
  assertEquals(named.filter((text) => /\d/.test(text)), ["Due 1", "Waiting 1", "Running 1", "Failed 0"]);
  assertEquals((await counts("tag:nightly")).filter((text) => /\d/.test(text)), []);
});

Deno.test("/tasks leads to a task by its number, and makes conditions of words", async () => {
  await using board = await testDashboard();
  const { sends } = await taskScene(board.test);
  const to = async (q: string) => {
    const response = await board.get(`/tasks?${new URLSearchParams({ q })}`);
    await response.body?.cancel();
    return [response.status, decodeURIComponent(response.headers.get("location") ?? "").replaceAll("+", " ")];
  };
  assertEquals(await to("42"), [303, "/tasks/42"]);
  assertEquals(await to("#42"), [303, "/tasks/42"]);
  assertEquals(await to(sends), [303, `/tasks?q=name:${sends}`]);
  assertEquals(await to("default"), [303, "/tasks?q=queue:default"]);
  assertEquals(await to("nightly"), [303, "/tasks?q=tag:nightly"]);
  assertEquals(await to("ana@shop"), [303, "/tasks?q=args:ana@shop"]);
  assertEquals((await to("status:failed"))[0], 200);
  const added = await board.get("/tasks?q=status:failed&q=queue:mail");
  assertEquals(added.headers.get("location"), "/tasks?q=status%3Afailed+queue%3Amail");
});

Deno.test("/tasks shows its filters with links that take each away, and says which it does not apply", async () => {
  await using board = await testDashboard();
  await taskScene(board.test);
  const page = await listOf(board, "status:failed queue:default colour:red status:fialed");

  assertEquals(page.texts(".token > span"), ["queue: default", "unknown colour: red", "unknown status: fialed"]);
  const [first] = page.attributes(".token a", "href");
  assertEquals(new URL(first!, "http://x").searchParams.get("q"), "status:failed colour:red status:fialed");
  assertMatch(page.source, /“colour:red” is not applied: there is no “colour:”/);
  assertMatch(page.source, /did you mean &quot;failed&quot;/);
  assertEquals(
    page.attributes("input[type=hidden][name=q]", "value")[0],
    "status:failed queue:default colour:red status:fialed",
  );
  assertNotMatch(page.text("main")!, /All that match/);
});

Deno.test("/tasks pages through each list without a gap or a repetition", async () => {
  await using board = await testDashboard();
  const { ff, db } = board.test;
  const adds = task({ name: taskName() }, (_: number) => {});
  await ff.run(async () => {
    await adds.scheduleMany(Array.from({ length: 133 }, (_, i): [number] => [i]));
    await adds.with({ priority: 5 }).scheduleMany(Array.from({ length: 17 }, (_, i): [number] => [i]));
    await adds.with({ queue: "mail", priority: 5 }).scheduleMany(Array.from({ length: 36 }, (_, i): [number] => [i]));
    await adds.with({ delay: "1h" }).scheduleMany(Array.from({ length: 60 }, (_, i): [number] => [i]));
    await adds.with({ delay: "2h", queue: "mail" }).scheduleMany(Array.from({ length: 70 }, (_, i): [number] => [i]));
  });
  const inOrder = async (q: string, rows: Promise<{ id?: string }[]>) => {
    const listed: number[] = [];
    let page = await listOf(board, q);
    for (let pages = 0; pages < 20; pages++) {
      listed.push(...idsOn(page));
      const [href] = page.attributes("a[rel=next]", "href");
      if (href === undefined) break;
      page = await pageOf(await board.get(href!));
    }
    assertEquals(listed, (await rows).map(({ id }) => Number(id)), q);
  };
  await inOrder("status:due", db.sql`SELECT id FROM firefly._ready_task ORDER BY priority DESC, not_before, id`);
  await inOrder("status:due queue:mail", db.sql`SELECT id FROM firefly._ready_task WHERE queue = 'mail' ORDER BY id`);
  await inOrder("place:time", db.sql`SELECT id FROM firefly.waiting ORDER BY not_before, id`);
  await inOrder("status:waiting", db.sql`SELECT id FROM firefly.waiting ORDER BY id DESC`);
  await inOrder("", db.sql`SELECT id FROM firefly.task ORDER BY id DESC`);
  await inOrder("queue:mail", db.sql`SELECT id FROM firefly.task WHERE queue = 'mail' ORDER BY id DESC`);
  await inOrder(
    "status:due,waiting",
    db.sql`
    SELECT id FROM (
      SELECT 0 AS part, id, priority, not_before FROM firefly._ready_task
      UNION ALL SELECT 1, id, 0, not_before FROM firefly.waiting
    ) AS place ORDER BY part, CASE WHEN part = 0 THEN -priority END, CASE WHEN part = 0 THEN not_before END,
      CASE WHEN part = 0 THEN id ELSE -id END
  `,
  );
});

Deno.test("/tasks says how far it looked, and goes on from there", async () => {
  await using board = await testDashboard();
  const { db } = board.test;
  await withoutTriggers(db, (sql) =>
    sql`
      INSERT INTO firefly.task (id, func_name, status, completed) OVERRIDING SYSTEM VALUE
      SELECT id * 2, CASE WHEN id = 7 THEN 'test.rare' ELSE 'test.often' END, 'completed', now()
      FROM generate_series(1, 60000) AS id
    `);
  const first = await listOf(board, "name:test.rare");

  assertEquals(idsOn(first), []);
  assertMatch(first.text("footer span")!, /Looked at 50,000 records, down to #20,002/);
  const found: number[] = [];
  let page = first;
  for (let pages = 0; pages < 5; pages++) {
    const [href] = page.attributes("a[rel=next]", "href");
    if (href === undefined) break;
    page = await pageOf(await board.get(href!));
    found.push(...idsOn(page));
  }
  assertEquals(found, [14]);
  assertEquals((await listOf(board, "args:x")).text("footer span")?.includes("Looked at 5,000 records"), true);
});

Deno.test("/tasks finds the tasks of a time without a walk, though ids have gaps", async () => {
  await using board = await testDashboard();
  const { db } = board.test;
  await withoutTriggers(db, (sql) =>
    sql`
      INSERT INTO firefly.task (id, created, func_name, status, completed) OVERRIDING SYSTEM VALUE
      SELECT id * 100000, now() - (20 - id) * interval '1 day', 'test.task', 'completed', now()
      FROM generate_series(1, 20) AS id
    `);
  const days = async (q: string) => idsOn(await listOf(board, q)).map((id) => id / 100_000);
  assertEquals(await days("from:3d"), [20, 19, 18].concat(await days("from:3d to:2.5d")));
  assertEquals(await days("from:8.5d to:6.5d"), [13, 12]);
  assertEquals(await days("from:30d to:18.5d"), [1]);
  assertEquals(await days("from:1h to:0.5h"), []);
});

Deno.test("/tasks answers a place that is not in its list", async () => {
  await using board = await testDashboard();
  await taskScene(board.test);
  for (const after of ["x", "1e9", "99999999999999999999", "5~2026-01-01~1", "9:1", "'"]) {
    for (const q of ["", "status:due", "status:failed", "status:due,failed"]) {
      const page = await listOf(board, q, after);
      assertEquals(page.status, 200);
      if (!/^\d+$/.test(after) || after.length > 16) {
        assertMatch(page.text("main")!, /leads to no place in the list/, after + q);
      }
    }
  }
});

Deno.test("/tasks shows hostile names, arguments and errors as text, and hides what redact names", async () => {
  await using board = await testDashboard();
  const { ff, db, drain } = board.test;
  const hostile = `<script>alert(1)</script>"'\u202e & ${"x".repeat(600)}`;
  const fails = task({ name: taskName() }, (_: unknown): void => {
    throw Object.assign(new Error(hostile), { name: "<b>" });
  });
  await ff.run(() => fails.with({ tags: [hostile] }).schedule({ [hostile]: hostile, password: "hunter2" }));
  await drain({ tasks: [fails] });
  await db.sql`INSERT INTO firefly.task (func_name, queue) VALUES (${hostile.slice(0, 190)}, 'a.b-c_d')`;

  const page = await listOf(board, "");
  assertEquals(page.count("main script") + page.count("main b b"), 0);
  assertNotMatch(page.source, /<script>alert/);
  assertNotMatch(page.source, /hunter2/);
  assertEquals(page.texts("tbody a.name").includes(hostile.slice(0, 190)), true);
  for (const q of [filterText({ name: hostile.slice(0, 190) }), filterText({ tag: hostile })]) {
    assertEquals(idsOn(await listOf(board, q)).length, 1, q);
  }
});

Deno.test("/tasks does not tell by a search what redact hides", async () => {
  await using board = await testDashboard();
  const { ff } = board.test;
  const logs = task({ name: taskName() }, (_: unknown) => {});
  const { id } = await ff.run(() => logs.schedule({ user: "ana", password: "hunter2" }));

  assertEquals(idsOn(await listOf(board, "args:ana")), [id]);
  assertEquals(idsOn(await listOf(board, 'args:{"user":"ana"}')), [id]);
  assertEquals(idsOn(await listOf(board, "args:hunter")), []);
  assertEquals(idsOn(await listOf(board, 'args:{"password":"hunter2"}')), []);
  const question = await pageOf(await board.get(`/tasks/cancel?${new URLSearchParams({ q: "args:hunter" })}`));
  assertMatch(question.text("main")!, /No task that matches runs or waits/);
});

Deno.test("/tasks has nothing to click for a viewer who may only look", async () => {
  await using board = await testDashboard({ readOnly: true });
  await taskScene(board.test);
  for (const path of ["/tasks", "/tasks?q=status:failed", "/tasks/1", "/tasks/2"]) {
    const page = await pageOf(await board.get(path));
    assertEquals(page.count("main form[method=post], main input[type=checkbox], main [formaction]"), 0, path);
    assertNotMatch(page.text("main")!, /Retry|Delete|Duplicate|Schedule a/, path);
  }
  for (const path of ["/tasks/retry?q=", "/tasks/delete?q=status:failed", "/new"]) {
    const response = await board.get(path);
    assertEquals(response.status, 403, path);
    await response.body?.cancel();
  }
});

Deno.test("/tasks without any task says so", async () => {
  await using board = await testDashboard();
  const page = await pageOf(await board.get("/tasks"));
  assertStringIncludes(page.text("main")!, "There is no task yet.");
  assert(page.texts(".tabs a").includes("Due 0"));
});

Deno.test("pages of tasks answer any filter, and any place in its list", async () => {
  await using board = await testDashboard();
  await taskScene(board.test);
  const errors: unknown[] = [];
  board.test.ff.on("dashboard.error", ({ error }) => errors.push(error));
  const seed = Date.now();
  const random = new Random(seed);
  const words = [
    ...[
      "status:",
      "place:",
      "queue:",
      "name:",
      "tag:",
      "error:",
      "id:",
      "from:",
      "to:",
      "args:",
      "consumer:",
      "-",
      ",",
    ],
    ...["failed", "due", "waiting", "created", "running", "default", "1", "99999999999999999999", "10m", "2026-11-29"],
    ...["'", '"', "\\", "%", "_", "\0", "{", "}", "[", "]", " ", " ", " ", "\ud800", "é", "::", "#1", "-1", "x"],
    ...['{"a":"\\u0000"}', "[1]", "null", "1e999", "0x10", "9999-12-31", "0000-00-00", "25:61", "infinity"],
  ];
  for (let round = 0; round < 150; round++) {
    const q = Array.from({ length: 1 + random.below(8) }, () => random.pick(words)).join("");
    const after = random.pick(["", "1", "0~-infinity~1", "1:", "2:5", "0:0~2026-11-29 10:00:00+00~3"]);
    const paths = ["/tasks", "/tasks/1", `/tasks/${random.pick(["retry", "run", "reschedule", "cancel", "delete"])}`];
    const path = `${random.pick(paths)}?${new URLSearchParams({ q, ...after === "" ? {} : { after } })}`;
    const response = await board.get(path);
    const text = await response.text();
    const why = `${path}, seed ${seed}: ${errors[0]}`;
    assert(response.status < 400, why);
    assertNotMatch(text, /This part failed|does not allow that/, why);
    assertEquals(errors, [], why);
  }
});
