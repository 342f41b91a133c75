import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { readWaits } from "../../src/store/waits.ts";
import { nextAwaiting } from "../../src/store/task_lists_awaiting.ts";
import { readWaiting } from "../../src/store/overview.ts";
import { type TestDashboard, testDashboard } from "../support/dashboard.ts";
import { workflowScene } from "../support/dashboard_scene_workflow.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { withoutTriggers } from "../support/records.ts";
import { pageOf } from "../support/html.ts";

/** Suspended tasks that wait for one thing, the first of them for `age` seconds, each next one for a second less. */
async function insertSuspended(
  db: TestDatabase,
  { kind, name, count, age = 1_000, due = null }: {
    kind: string;
    name: string;
    count: number;
    age?: number;
    due?: number | null;
  },
): Promise<number[]> {
  let ids: number[] = [];
  await withoutTriggers(db, async (sql) => {
    const rows = await sql`
      INSERT INTO firefly.task (func_name, queue, started, claim_seq, not_before)
      SELECT 'test.waits', 'default', now(), 1, now() + COALESCE(${due}::float, 0) * interval '1 s'
      FROM generate_series(1, ${count}::integer)
      RETURNING id
    `;
    ids = rows.map(({ id }) => Number(id));
    await sql`
      INSERT INTO firefly.waiting (id, claim_seq, not_before, priority, queue, func_name, reason, suspended)
      SELECT id, claim_seq, not_before, priority, queue, func_name,
        CASE WHEN ${due}::float IS NULL THEN 'suspended' ELSE 'time' END, true
      FROM firefly.task WHERE id = ANY (${ids}::bigint[])
    `;
    await sql`
      INSERT INTO firefly.step (task_id, name, kind, status, attempt, failures, began, due)
      SELECT id, ${name}, ${kind}, 'waiting', 1, ${kind === "step" ? 1 : 0},
        now() - (${age}::float - nth) * interval '1 s', now() + ${due}::float * interval '1 s'
      FROM unnest(${ids}::bigint[]) WITH ORDINALITY AS task (id, nth)
    `;
  });
  return ids;
}

async function listed(board: TestDashboard, q: string): Promise<number[]> {
  const page = await pageOf(await board.get(`/tasks?q=${encodeURIComponent(q)}`));
  return page.attributes("tbody input[name=id]", "value").map(Number);
}

Deno.test("readWaits() counts what suspended tasks wait for by kind and name, with the oldest of each", async () => {
  await using db = await testDatabase();
  const first = await insertSuspended(db, { kind: "signal", name: "approved", count: 3 });
  await insertSuspended(db, { kind: "sleep", name: "sleep", count: 5, due: 3_600 });
  await insertSuspended(db, { kind: "call", name: "label.print", count: 1 });
  await insertSuspended(db, { kind: "step", name: "ship", count: 2, due: 60 });

  const waits = await readWaits(db.store);

  assertEquals(waits.map(({ kind, name, tasks, more }) => [kind, name, tasks, more]), [
    ["sleep", "sleep", 5, false],
    ["signal", "approved", 3, false],
    ["retry", "ship", 2, false],
    ["call", "label.print", 1, false],
  ]);
  assertEquals(waits[1]!.oldest, first[0]);
});

Deno.test("readWaits() leaves out tasks that have ended, run or are due, and stops counting at 1,000", async () => {
  await using db = await testDatabase();
  const [cancelled, due, running] = await insertSuspended(db, { kind: "signal", name: "approved", count: 4 });
  await db.sql`SELECT firefly.cancel(${cancelled!})`;
  await db.sql`
    UPDATE firefly.waiting SET reason = 'time', not_before = now() - interval '1 s' WHERE id = ${due!}
  `;
  await db.sql`DELETE FROM firefly.waiting WHERE id = ${running!}`;
  await insertSuspended(db, { kind: "sleep", name: "nap", count: 1_001, due: 60 });

  assertEquals((await readWaits(db.store)).map(({ name, tasks, more }) => [name, tasks, more]), [
    ["nap", 1_000, true],
    ["approved", 1, false],
  ]);
});

Deno.test("nextAwaiting() goes from the one that waits longest to the next, and finds a task once", async () => {
  await using db = await testDatabase();
  const late = await insertSuspended(db, { kind: "sleep", name: "b", count: 3, age: 500 });
  const early = await insertSuspended(db, { kind: "sleep", name: "a", count: 3, age: 900 });
  await db.sql`
    INSERT INTO firefly.step (task_id, name, kind, status, attempt, began)
    VALUES (${early[0]!}, 'other', 'sleep', 'waiting', 1, now() - interval '1 s')
  `;
  const waits = [{ kind: "sleep", name: null }] as const;

  const found: number[] = [];
  for (let after = null;;) {
    const part = await nextAwaiting(db.store, { waits, after, limit: 2 });
    found.push(...part.map(({ id }) => id));
    if (part.length < 2) break;
    after = part.at(-1)!.cursor as never;
  }

  assertEquals(found, [...early, ...late]);
});

Deno.test("readWaiting() counts suspended tasks apart from those that wait for their time, and dependants", async () => {
  await using board = await testDashboard();
  await workflowScene(board.test.ff);
  await insertSuspended(board.test.db, { kind: "signal", name: "approved", count: 2 });
  await insertSuspended(board.test.db, { kind: "sleep", name: "nap", count: 3, due: 60 });

  assertEquals(
    (await readWaiting(board.test.db.store)).map(({ reason, tasks }) => [reason, tasks]),
    [["dependencies", 1], ["suspended", 6], ["time", 1]],
  );
});

Deno.test("the page of waits leads to the list of each, those that wait longest first", async () => {
  await using board = await testDashboard();
  const ids = await insertSuspended(board.test.db, { kind: "signal", name: "order approved: yes", count: 3 });
  await insertSuspended(board.test.db, { kind: "signal", name: "approved", count: 1 });
  await insertSuspended(board.test.db, { kind: "step", name: "ship", count: 1, due: 60 });
  const page = await pageOf(await board.get("/waits"));

  assertEquals(page.rows("tbody tr").map((cells) => cells.slice(0, 3)), [
    ["Signal", "order approved: yes", "3"],
    ["Step retry", "ship", "1"],
    ["Signal", "approved", "1"],
  ]);
  assertEquals(page.text(".panel header span"), "signal 4 · step retry 1");
  const [href] = page.attributes("tbody .name", "href");
  const list = await pageOf(await board.get(href!));
  assertEquals(list.attributes("tbody input[name=id]", "value").map(Number), ids);
  assertEquals(list.texts(".token"), ["waits: signal:order approved: yes✕"]);
  assertMatch(list.text("tbody .line")!, /^signal order approved: yes, for 16m/);
  assertEquals(list.texts("tbody td .s"), ["Suspended", "Suspended", "Suspended"]);
  assertStringIncludes(list.text("main")!, "those that wait longest first");
});

Deno.test("the token waits: takes kinds and names, with other tokens, and says what it does not know", async () => {
  await using board = await testDashboard();
  const { db } = board.test;
  const [a] = await insertSuspended(db, { kind: "signal", name: "a", count: 1, age: 300 });
  const [b] = await insertSuspended(db, { kind: "signal", name: "b", count: 1, age: 200 });
  const [nap] = await insertSuspended(db, { kind: "sleep", name: "a", count: 1, age: 100, due: 60 });
  const [ship] = await insertSuspended(db, { kind: "step", name: "a", count: 1, age: 50, due: 60 });

  assertEquals(await listed(board, "waits:signal"), [a, b]);
  assertEquals(await listed(board, "waits:signal:b,sleep"), [b, nap]);
  assertEquals(await listed(board, "waits:retry"), [ship]);
  assertEquals(await listed(board, "waits:signal queue:other"), []);
  assertEquals(await listed(board, `waits:signal name:test.waits id:${a},${nap}`), [a]);
  assertEquals(await listed(board, "waits:signal status:failed"), []);
  assertEquals(await listed(board, "status:suspended"), [a, b, nap, ship]);
  const wrong = await pageOf(await board.get("/tasks?q=waits:signl"));
  assertStringIncludes(wrong.text("main")!, "no task waits for “signl”");
});

Deno.test("suspended and dependent tasks are in the lists of what waits, and are not taken for delayed ones", async () => {
  await using board = await testDashboard();
  const { steps, dependent } = await workflowScene(board.test.ff);
  const [napping] = await insertSuspended(board.test.db, { kind: "sleep", name: "nap", count: 1, due: 60 });
  const [retried] = (await board.test.ff.tasks.list({ status: "retrying" })).items;

  assertEquals(await listed(board, "status:dependent"), [dependent]);
  assertEquals((await listed(board, "status:suspended")).sort(), [steps, napping].sort());
  assertEquals(await listed(board, "place:time"), [retried!.id]);
  assertEquals((await listed(board, "status:waiting")).sort(), [steps, napping, dependent, retried!.id].sort());
});

Deno.test("suspended tasks are cancelled together, and not those that only wait for their time", async () => {
  await using board = await testDashboard();
  const { steps } = await workflowScene(board.test.ff);
  const naps = await insertSuspended(board.test.db, { kind: "sleep", name: "nap", count: 2, due: 60 });
  const question = await pageOf(await board.get("/tasks/cancel?q=status%3Asuspended"));
  assertEquals(question.text("h1"), "Cancel 3 tasks?");
  const fields = Object.fromEntries(
    question.attributes("form input[type=hidden]", "name").map((name, index) => [
      name!,
      question.attributes("form input[type=hidden]", "value")[index]!,
    ]),
  );

  assertEquals((await board.post("/tasks/cancel", fields)).status, 303);

  const rows = await board.test.db.sql`SELECT id FROM firefly.task WHERE status = 'cancelled' ORDER BY id`;
  assertEquals(rows.map(({ id }) => Number(id)), [steps, ...naps]);
});

Deno.test("the overview and the queues count suspended and dependent tasks, and the overview lists the waits", async () => {
  await using board = await testDashboard();
  await workflowScene(board.test.ff);
  const overview = await pageOf(await board.get("/"));

  assertMatch(overview.text(".tiles")!, /Waiting3\s?1 for others, 1 suspended/);
  assertEquals(
    overview.rows("#waits-now tbody tr").map((cells) => cells.slice(0, 3)),
    [
      ["Step retry", "ship", "1"],
      ["Signal", "order.approved", "1"],
      ["Sleep", "sleep", "1"],
    ],
  );
  const queues = await pageOf(await board.get("/queues"));
  assertEquals(queues.rows("#waits-now tbody tr").map((cells) => cells.slice(0, 2)).slice(3, 5), [
    ["Other tasks", "1"],
    ["What their handlers wait for", "1"],
  ]);
  const counts = await (await board.get("/counts.json")).json();
  assertEquals(counts.waiting, { dependencies: 1, suspended: 1, time: 1 });
});

Deno.test("the verdict names a step that many tasks try again, and a signal that is waited for since a month", async () => {
  await using board = await testDashboard();
  const { db } = board.test;
  await insertSuspended(db, { kind: "step", name: "ship", count: 4, due: 60 });
  await insertSuspended(db, { kind: "signal", name: "approved", count: 2, age: 29 * 86_400 });
  const quiet = await pageOf(await board.get("/"));
  assertEquals(quiet.texts(".alerts li").filter((text) => /ship|approved/.test(text)), []);

  await insertSuspended(db, { kind: "step", name: "ship", count: 1, due: 60 });
  await insertSuspended(db, { kind: "signal", name: "approved", count: 1, age: 31 * 86_400 });
  const page = await pageOf(await board.get("/"));
  const texts = page.texts(".alerts li");
  assert(texts.some((text) => text.includes("The step ship fails: 5 tasks try it again later")), String(texts));
  assert(texts.some((text) => text.includes("3 tasks wait for the signal approved")), String(texts));
});
