import { assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { task } from "../../mod.ts";
import { type TestDashboard, testDashboard } from "../support/dashboard.ts";
import { type HtmlPage, pageOf } from "../support/html.ts";
import { taskName } from "../support/instance.ts";
import { countTasks, recordOf } from "../support/records.ts";
import { taskScene } from "../support/task_scene.ts";
import { until } from "../support/waiting.ts";

/** The page of a question. */
async function question(
  board: TestDashboard,
  action: string,
  fields: Record<string, string> | string[][],
): Promise<HtmlPage> {
  return await pageOf(await board.get(`/tasks/${action}?${new URLSearchParams(fields as string[][])}`));
}

/** The hidden fields of a question. */
function fieldsOf(page: HtmlPage): Record<string, string> {
  const names = page.attributes("form input[type=hidden]", "name");
  const values = page.attributes("form input[type=hidden]", "value");
  return Object.fromEntries(names.map((name, i) => [name!, values[i]!]));
}

/** Answers a question as its form does. */
async function answer(
  board: TestDashboard,
  action: string,
  page: HtmlPage,
  more: Record<string, string> = {},
): Promise<Response> {
  return await board.post(`/tasks/${action}`, { ...fieldsOf(page), ...more });
}

async function statusesOf(board: TestDashboard, ids: readonly number[]): Promise<unknown[]> {
  return await Promise.all(ids.map(async (id) => (await recordOf(board.test.db, id)).status));
}

Deno.test("a question counts what matches by name, and its answer does that and no more", async () => {
  await using board = await testDashboard();
  const { failed, fails, cancelled } = await taskScene(board.test);
  const page = await question(board, "retry", { q: "status:failed" });

  assertEquals(page.text("h1"), "Retry 3 tasks?");
  assertEquals(page.rows("tbody tr").map(([name, count]) => [name, count]), [[fails, "3"]]);
  assertEquals(page.texts(".tag"), ["status:failed"]);
  assertEquals(await statusesOf(board, failed), ["failed", "failed", "failed"]);

  const response = await answer(board, "retry", page);
  assertEquals(response.status, 303);
  assertEquals(response.headers.get("location"), "/tasks?q=status%3Afailed&did=retry&tasks=3");
  assertEquals(await statusesOf(board, failed), ["created", "created", "created"]);
  assertEquals(await statusesOf(board, [cancelled]), ["cancelled"]);
  const list = await pageOf(await board.get(response.headers.get("location")!));
  assertEquals(list.text("main [role=status]"), "Retried 3 tasks.");
});

Deno.test("a question about picked tasks is about them alone", async () => {
  await using board = await testDashboard();
  const { failed: [first, second, third] } = await taskScene(board.test);
  const page = await question(board, "retry", [["q", "status:failed"], ["picked", "1"], ["id", `${first}`], [
    "id",
    `${third}`,
  ]]);

  assertEquals(page.text("h1"), "Retry 2 tasks?");
  const response = await answer(board, "retry", page);
  assertEquals(response.headers.get("location"), "/tasks?q=status%3Afailed&did=retry&tasks=2");
  assertEquals(await statusesOf(board, [first!, second!, third!]), ["created", "failed", "created"]);
  assertMatch((await question(board, "retry", { q: "status:failed", picked: "1" })).text("main")!, /No task is picked/);
});

Deno.test("a question about tasks in any state counts those that its action changes", async () => {
  await using board = await testDashboard();
  const scene = await taskScene(board.test);
  const titles = async (q: string) => {
    const pages = await Promise.all(
      ["retry", "run", "reschedule", "cancel", "delete"].map((name) => question(board, name, { q })),
    );
    return pages.map((page) => page.text("h1")!);
  };
  assertEquals(await titles(""), [
    "Retry 4 tasks?",
    "Run now 1 task?",
    "Reschedule 5 tasks?",
    "Cancel 6 tasks?",
    "Delete 11 tasks?",
  ]);
  assertEquals(await titles(`id:${scene.completed}`), [
    "Retry: nothing to do",
    "Run now: nothing to do",
    "Reschedule: nothing to do",
    "Cancel: nothing to do",
    "Delete 1 task?",
  ]);
});

Deno.test("deleting goes on only once the number was typed", async () => {
  await using board = await testDashboard();
  await taskScene(board.test);
  const page = await question(board, "delete", { q: "status:failed" });
  const all = await countTasks(board.test.db);

  for (const typed of [{}, { typed: "2" }, { typed: "three" }] as Record<string, string>[]) {
    const refused = await pageOf(await answer(board, "delete", page, typed));
    assertEquals(refused.status, 422);
    assertMatch(refused.text("#typed-n")!, /Type the number of tasks, 3,/);
    assertEquals(await countTasks(board.test.db), all);
  }
  assertEquals((await answer(board, "delete", page, { typed: "3" })).status, 303);
  assertEquals(await countTasks(board.test.db), all - 3);
});

Deno.test("one task is deleted without typing, and its answer leads to the list", async () => {
  await using board = await testDashboard();
  const { completed } = await taskScene(board.test);
  const page = await question(board, "delete", { id: String(completed), to: "task", q: "status:completed" });

  assertEquals(page.count("#typed"), 0);
  assertEquals(page.attributes("[data-back]", "href"), [`/tasks/${completed}?q=status%3Acompleted`]);
  const response = await answer(board, "delete", page);
  assertEquals(response.headers.get("location"), "/tasks?q=status%3Acompleted&did=delete&tasks=1");
});

Deno.test("tasks that match after the question was asked are left alone", async () => {
  await using board = await testDashboard();
  const { ff, drain } = board.test;
  const name = taskName();
  const fails = task({ name }, (): void => {
    throw new Error("no");
  });
  await ff.run(() => fails.scheduleMany([[], []]));
  await drain({ tasks: [fails] });
  const page = await question(board, "retry", { q: `status:failed name:${name}` });
  const [late] = await ff.run(() => fails.scheduleMany([[]]));
  const consumer = ff.consume({ tasks: [fails] });
  await until(async () => (await recordOf(board.test.db, late!.id)).status === "failed");
  await consumer.stop();

  const response = await answer(board, "retry", page);
  assertMatch(response.headers.get("location")!, /did=retry&tasks=2$/);
  assertEquals(await statusesOf(board, [late!.id]), ["failed"]);
});

Deno.test("a task that began meanwhile is not cancelled where due ones were meant", async () => {
  await using board = await testDashboard();
  const { due, running } = await taskScene(board.test);
  const page = await question(board, "cancel", { q: `status:due id:${due},${running}` });
  assertEquals(page.text("h1"), "Cancel 1 task?");
  // The form of an earlier time, when both were due.
  const response = await board.post("/tasks/cancel", { ...fieldsOf(page), count: "2", last: String(running) });

  assertEquals(response.status, 303);
  assertEquals(await statusesOf(board, [due]), ["cancelled"]);
  assertEquals((await board.test.ff.tasks.get(running)).status, "running");
});

Deno.test("more than a thousand tasks are changed in batches, once their number was typed", async () => {
  await using board = await testDashboard();
  const { ff, db } = board.test;
  const adds = task({ name: taskName() }, (_: number) => {});
  await ff.run(() => adds.scheduleMany(Array.from({ length: 2_500 }, (_, i): [number] => [i])));
  const page = await question(board, "cancel", { q: "status:due" });
  assertEquals(page.text("h1"), "Cancel 2,500 tasks?");

  assertEquals((await answer(board, "cancel", page)).status, 422);
  const response = await answer(board, "cancel", page, { typed: "2500" });
  assertEquals(response.status, 303);
  // The answer is the list if it ends soon, else the page of its progress.
  await until(async () => (await db.sql`SELECT FROM firefly.task WHERE status = 'created' LIMIT 1`).count === 0);
  const [row] = await db.sql`SELECT count(*)::int AS n FROM firefly.task WHERE status = 'cancelled'`;
  assertEquals(row!.n, 2_500);
});

Deno.test("an action that takes long has a page of its progress, can be left, and can be stopped", async () => {
  await using board = await testDashboard();
  const { ff, db } = board.test;
  const adds = task({ name: taskName() }, (_: number) => {});
  await ff.run(() => adds.scheduleMany(Array.from({ length: 3_000 }, (_, i): [number] => [i])));
  const page = await question(board, "cancel", { q: "status:due" });
  // Another transaction holds a task of the first batch.
  const held = Promise.withResolvers<void>();
  const [first] = await db.sql`SELECT min(id) AS id FROM firefly.task`;
  const locked = Promise.withResolvers<void>();
  const holding = db.sql.begin(async (sql) => {
    await sql`SELECT FROM firefly.task WHERE id = ${first!.id} FOR UPDATE`;
    locked.resolve();
    await held.promise;
  });
  await locked.promise;
  const response = await answer(board, "cancel", page, { typed: "3000" });
  const location = response.headers.get("location")!;
  assertMatch(location, /^\/tasks\/actions\/[0-9a-f-]{36}$/);

  const progress = await pageOf(await board.get(location));
  assertMatch(progress.text("h1")!, /^Cancel: 0 of 3,000 tasks$/);
  assertMatch(progress.text("main")!, /It goes on if you leave this page/);
  assertEquals((await board.post(`${location}/stop`)).headers.get("location"), location);
  held.resolve();
  await holding;
  let ended = progress;
  await until(async () => /It has ended/.test((ended = await pageOf(await board.get(location))).text("main")!));
  assertMatch(ended.text("h1")!, /^Cancelled 1,000 tasks$/);
  assertMatch(ended.text("[role=alert]")!, /It was stopped/);
  const [row] = await db.sql`SELECT count(*)::int AS n FROM firefly.task WHERE status = 'cancelled'`;
  assertEquals(row!.n, 1_000);
  assertEquals((await pageOf(await board.get("/tasks/actions/none"))).status, 404);
});

Deno.test("an action reports how many tasks it had to leave", async () => {
  await using board = await testDashboard();
  const { failed: [first, second] } = await taskScene(board.test);
  const page = await question(board, "retry", { q: "status:failed" });
  await (await board.test.ff.tasks.get(first!)).retry();
  await (await board.test.ff.tasks.get(second!)).delete();

  const response = await answer(board, "retry", page);
  assertMatch(response.headers.get("location")!, /did=retry&tasks=1/);
});

Deno.test("rescheduling changes the time, the queue and the priority, and keeps what was typed where it is wrong", async () => {
  await using board = await testDashboard();
  const { due, delayed } = await taskScene(board.test);
  const page = await question(board, "reschedule", { id: String(delayed), to: "task" });

  const wrong = { notBefore: "tomorrow", queue: "Not A Queue", priority: "much" };
  const refused = await pageOf(await answer(board, "reschedule", page, wrong));
  assertEquals(refused.status, 422);
  assertEquals(refused.attributes("input[id^=f-]", "value"), Object.values(wrong));
  assertEquals(refused.count("[aria-invalid=true]"), 2);
  assertEquals((await pageOf(await answer(board, "reschedule", page, {}))).text("#n-notBefore"), "Change one of these");

  const response = await answer(board, "reschedule", page, { notBefore: "2099-01-01", queue: "slow", priority: "-7" });
  assertEquals(response.headers.get("location"), `/tasks/${delayed}?did=reschedule&tasks=1`);
  const record = await recordOf(board.test.db, delayed);
  assertEquals([record.queue, record.priority, record.not_before], ["slow", -7, new Date("2099-01-01")]);
  assertNotEquals((await recordOf(board.test.db, due)).queue, "slow");
});

Deno.test("a question whose filter cannot be applied as a whole does nothing", async () => {
  await using board = await testDashboard();
  await taskScene(board.test);
  const all = await countTasks(board.test.db);
  const page = await question(board, "delete", { q: "status:fialed" });

  assertMatch(page.text("main")!, /“status:fialed” in the filter cannot be applied/);
  const response = await board.post("/tasks/delete", { q: "status:fialed", count: "8", last: "99", typed: "8" });
  assertEquals(response.status, 200);
  await response.body?.cancel();
  assertEquals(await countTasks(board.test.db), all);
});

Deno.test("a question before a retry says how the last ten minutes went", async () => {
  await using board = await testDashboard();
  const { fails } = await taskScene(board.test);
  await board.test.db.sql`DELETE FROM firefly.task_minute`;
  assertEquals(
    /failed in the last ten minutes/.test((await question(board, "retry", { q: "status:failed" })).text("main")!),
    false,
  );
  await board.test.db.sql`
    INSERT INTO firefly.task_minute (minute, queue, func_name, completed, failed, retried)
    VALUES (date_trunc('minute', now()), 'default', ${fails}, 32, 8, 60)
  `;
  const page = await question(board, "retry", { q: "status:failed" });
  assertMatch(page.text("main")!, /68% of its 100 attempts failed in the last ten minutes: they may fail again/);
});
