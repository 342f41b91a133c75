import { assertEquals, assertMatch, assertNotMatch, assertStringIncludes } from "@std/assert";
import { task } from "../../mod.ts";
import { type TestDashboard, testDashboard } from "../support/dashboard.ts";
import { OLD } from "../support/encryption.ts";
import { type HtmlPage, pageOf } from "../support/html.ts";
import { taskName } from "../support/instance.ts";
import { recordOf } from "../support/records.ts";
import { taskScene } from "../support/task_scene.ts";

async function taskPage(board: TestDashboard, id: number, query = ""): Promise<HtmlPage> {
  return await pageOf(await board.get(`/tasks/${id}${query}`));
}

/** The labels of the buttons and links beside the heading. */
function actionsOn(page: HtmlPage): string[] {
  return page.texts(".head .acts button, .head .acts a").sort();
}

Deno.test("the page of a task has the actions that fit its state", async () => {
  await using board = await testDashboard();
  const scene = await taskScene(board.test);
  const cases: [number, string, string[]][] = [
    [scene.completed, "Completed", ["Delete…", "Duplicate…"]],
    [scene.failed[0]!, "Failed", ["Delete…", "Duplicate…", "Retry"]],
    [scene.cancelled, "Cancelled", ["Delete…", "Duplicate…", "Retry"]],
    [scene.running, "Running", ["Cancel…", "Duplicate…"]],
    [scene.due, "Due", ["Cancel…", "Duplicate…", "Reschedule…"]],
    [scene.limited[0]!, "Limited", ["Cancel…", "Duplicate…", "Reschedule…"]],
    [scene.unknown, "Unknown name", ["Cancel…", "Duplicate…", "Reschedule…"]],
  ];
  for (const [id, status, actions] of cases) {
    const page = await taskPage(board, id);
    assertEquals(page.status, 200);
    assertEquals(page.text(".head .s"), status);
    assertEquals(actionsOn(page), actions, status);
  }
  const delayed = await taskPage(board, scene.delayed);
  assertMatch(delayed.text(".head .s")!, /^In (2h|1h 59m)$/);
  assertEquals(actionsOn(delayed), ["Cancel…", "Duplicate…", "Reschedule…", "Run now"]);
});

Deno.test("the page of a task explains first why it does not run, as explain() does", async () => {
  await using board = await testDashboard();
  const scene = await taskScene(board.test);
  for (
    const id of [scene.unknown, scene.limited[0]!, scene.delayed, scene.running, scene.failed[0]!, scene.completed]
  ) {
    const { summary, reasons } = await board.test.ff.tasks.explain(id);
    const page = await taskPage(board, id);
    if (!["ended", "running", "not_due"].includes(reasons[0]!.reason)) {
      assertStringIncludes(page.text(".tell")!, summary.replace(/\s+/g, " "));
    }
    if (reasons.length > 1 && id !== scene.failed[0]) {
      for (const { message } of reasons) assertStringIncludes(page.text("main")!, message.replace(/\s+/g, " "));
    }
  }
  const tell = async (id: number) => (await taskPage(board, id)).text(".tell")!;
  assertMatch(await tell(scene.unknown), /Start a consumer/);
  assertMatch(await tell(scene.failed[0]!), /^It failed at \d\d:\d\d:\d\d: TypeError: refused with 1/);
  assertMatch(await tell(scene.completed), /^It completed at \d\d:\d\d:\d\d /);
  assertMatch(await tell(scene.delayed), /^It is not due before \d\d:\d\d:\d\d, in /);
  assertMatch(await tell(scene.cancelled), /^It was cancelled at \d\d:\d\d:\d\d /);
  assertMatch(await tell(scene.running), /^Attempt 1 has been running for .* on mail-1, process 3980, which answered/);
});

Deno.test("the page of a failed task counts those that failed alike, and leads to them", async () => {
  await using board = await testDashboard();
  const { failed, fails } = await taskScene(board.test);
  // The kinds of errors are written when a consumer ends.
  const page = await taskPage(board, failed[0]!);

  assertStringIncludes(page.text(".tell")!, `2 other tasks of ${fails} failed alike`);
  const [href] = page.attributes(".tell li a", "href");
  const list = await pageOf(await board.get(href!));
  assertEquals(list.attributes("tbody input[name=id]", "value").map(Number), failed.toReversed());
  assertMatch(list.text(".token")!, /error: TypeError: refused with/);
});

Deno.test("the page of a task shows every attempt with the waits between, and its errors newest first", async () => {
  await using board = await testDashboard();
  const at = (seconds: number) => new Date(Date.now() - 3_600_000 + seconds * 1000).toISOString();
  const error = {
    name: "HttpError",
    stack: "HttpError: 421\n    at send (file:///app/mail.ts:1:2)\n    at x (node:net:1)",
  };
  const errors = [
    { ...error, message: "421", at: at(10), attempt: 1, seconds: 4, delay: 20, host: "mail-1", pid: 7, release: null },
    {
      ...error,
      message: "422",
      at: at(40),
      attempt: 2,
      seconds: 1,
      delay: 3000,
      host: "mail-1",
      pid: 7,
      release: "r2",
    },
    { ...error, message: "423", at: at(3050), attempt: 3 },
  ];
  const { sql } = board.test.db;
  const [row] = await sql`
    INSERT INTO firefly.task (func_name, created, errors, status, failed, started, retry_attempts, max_retries)
    VALUES ('test.task', ${at(0)}, ${sql.json(errors)}, 'failed', ${at(3050)}, ${at(3049)}, 2, 2)
    RETURNING id
  `;
  const page = await taskPage(board, Number(row!.id));

  const lanes = page.texts(".lanes > li:not(.axis)");
  assertEquals(lanes.map((text) => text.replace(/^Attempt \d/, "").trim()), [
    "waited 6 s, ran 4 s",
    "29 s later, ran 1 s",
    lanes[2]!.replace(/^Attempt \d/, "").trim(),
  ]);
  assertMatch(lanes[2]!, /^Attempt 3 ?50m 10s later, ended \d\d:\d\d:\d\d, the last$/);
  assertEquals(page.texts("details summary .what"), ["HttpError: 423", "HttpError: 422", "HttpError: 421"]);
  assertEquals(page.count("details[open]"), 1);
  assertMatch(page.texts("details .in p")[1]!, /^Ran 1 s on mail-1, process 7, release r2 · again after 50m$/);
  assertEquals(page.texts("details:first-of-type .trace b"), ["at send (file:///app/mail.ts:1:2)"]);
  assertEquals(page.count(".lanes path"), 1, "the wait of 50 minutes is cut");
  const widths = page.attributes(".lanes rect", "width").map(Number);
  assertEquals(widths.every((width) => width > 0 && width <= 100), true, String(widths));
  assertMatch(page.text(".facts")!, /Attempts3 of 3/);
  assertMatch(page.text(".tell")!, /All 3 attempts are used up/);
});

Deno.test("the page of a task shows values that JSON does not have with their types", async () => {
  await using board = await testDashboard();
  const { ff, drain } = board.test;
  const echoes = task({ name: taskName() }, (...values: unknown[]): unknown => values[0]);
  const sent = new Map<string, unknown>([["when", new Date("2026-11-29T14:21:00Z")]]);
  const { id } = await ff.run(() =>
    echoes.schedule(sent, 12n, NaN, undefined, new Set([1]), /x/g, new Uint8Array([1, 2, 3]), "<i>text</i>", [], {})
  );
  await drain({ tasks: [echoes] });
  const page = await taskPage(board, id);
  const text = page.text("#args")!;

  for (
    const shown of [
      '"when" => "2026-11-29T14:21:00.000Z" Date',
      '"12" bigint',
      '"NaN" number',
      "undefined",
      "Set",
      '"/x/g" RegExp',
      "AQID",
      '"<i>text</i>"',
      "8: []",
      "9: {}",
    ]
  ) {
    assertStringIncludes(text, shown);
  }
  assertMatch(page.text("[aria-label='Result in JSON']")!, /"when" => .* Date .*Map/);
  assertEquals(page.count("#args i i"), 0);
});

Deno.test("the page of a task hides what redact names, and decrypts only where the instance has the key", async () => {
  await using board = await testDashboard({ redact: ["iban"] }, { encryption: OLD });
  const { ff, drain } = board.test;
  const pays = task({ name: taskName() }, (_: unknown): unknown => ({ token: "t-secret", ok: "paid" }));
  const { id } = await ff.run(() => pays.schedule({ user: "ana", password: "hunter2", iban: "PL61" }));
  await drain({ tasks: [pays] });
  const page = await taskPage(board, id);

  assertMatch(page.text("#args")!, /"user": "ana", "password": "\[redacted\]", "iban": "\[redacted\]"/);
  assertMatch(page.source, /paid/);
  assertNotMatch(page.source, /hunter2|PL61|t-secret/);
});

Deno.test("pages of tasks hide what redact hides in errors, arguments and notes", async () => {
  const redact = (value: unknown) => typeof value === "string" ? value.replaceAll("4111", "****") : value;
  await using board = await testDashboard({ redact });
  const { ff, db, drain } = board.test;
  const fails = task({ name: taskName() }, (card: string): void => {
    throw new Error(`refused ${card}`, { cause: new Error(`of ${card}`) });
  });
  const { id } = await ff.run(() => fails.schedule("card 4111"));
  await drain({ tasks: [fails] });
  await db.sql`UPDATE firefly.task SET progress = 0.5, progress_note = 'card 4111' WHERE id = ${id}`;

  for (const path of ["/tasks", "/tasks?q=status:failed", `/tasks/${id}`, `/new?from=${id}`, `/tasks/retry?id=${id}`]) {
    assertNotMatch((await pageOf(await board.get(path))).source, /4111/, path);
  }
  const page = await taskPage(board, id);
  assertMatch(page.text(".tell")!, /Error: refused card \*\*\*\*/);
  assertMatch(page.text(".trace")!, /refused card \*\*\*\*.*caused by Error: of card \*\*\*\*/);
});

Deno.test("the page of a running task shows its progress and its consumer", async () => {
  await using board = await testDashboard();
  const { running } = await taskScene(board.test);
  await board.test.db
    .sql`UPDATE firefly.task SET progress = 0.64, progress_note = 'frame <b>7</b>' WHERE id = ${running}`;
  const page = await taskPage(board, running);

  assertEquals(page.text("#progress"), "64% · frame <b>7</b>");
  assertMatch(page.text(".facts")!, /Consumermail-1, 3980, r1/);
  assertMatch(page.text(".lanes > li:not(.axis)")!, /waited .*, runs for/);
});

Deno.test("Retry and Run now act at once, and say what they did", async () => {
  await using board = await testDashboard();
  const { failed: [failed], delayed } = await taskScene(board.test);

  const retried = await board.post(`/tasks/${failed}/retry`, { q: "status:failed" });
  assertEquals([retried.status, retried.headers.get("location")], [
    303,
    `/tasks/${failed}?q=status%3Afailed&did=retry&tasks=1`,
  ]);
  assertEquals((await recordOf(board.test.db, failed!)).status, "created");
  const page = await pageOf(await board.get(retried.headers.get("location")!));
  assertEquals(page.text("main [role=status]"), "Retried 1 task.");

  assertEquals((await board.post(`/tasks/${delayed}/run`)).status, 303);
  assertEquals((await board.test.ff.tasks.get(delayed)).state, "ready");
});

Deno.test("an action that the state of the task does not allow says why, and changes nothing", async () => {
  await using board = await testDashboard();
  const { completed, running } = await taskScene(board.test);
  const before = await recordOf(board.test.db, completed);

  const page = await pageOf(await board.post(`/tasks/${completed}/retry`));
  assertEquals(page.status, 409);
  assertMatch(page.text("[role=alert]")!, /it must be failed or cancelled: its status is "completed"/);
  assertEquals(await recordOf(board.test.db, completed), before);
  assertEquals((await pageOf(await board.post(`/tasks/${running}/run`))).status, 409);
  assertEquals((await pageOf(await board.post("/tasks/999999/retry"))).status, 404);
});

Deno.test("the page of a task leads to those beside it in the list that it was opened from", async () => {
  await using board = await testDashboard();
  const { failed: [first, second, third], fails } = await taskScene(board.test);
  const beside = async (id: number, q: string) => {
    const page = await taskPage(board, id, `?${new URLSearchParams({ q })}`);
    return page.texts(".crumb a").slice(1).map((
      text,
      i,
    ) => [text, page.attributes(".crumb a", "href")[i + 1]!.split("?")[0]]);
  };
  for (const q of ["status:failed", `name:${fails}`, `id:${first},${second},${third}`]) {
    assertEquals(await beside(second!, q), [["← newer", `/tasks/${third}`], ["older →", `/tasks/${first}`]], q);
    assertEquals(await beside(first!, q), [["← newer", `/tasks/${second}`]], q);
  }
  assertEquals((await taskPage(board, second!)).texts(".crumb a"), ["Tasks"]);
});

Deno.test("a task that is not there is a page that says so", async () => {
  await using board = await testDashboard();
  for (const path of ["/tasks/1", "/tasks/x", "/tasks/1e3", "/tasks/99999999999999999999", "/tasks/-1"]) {
    const page = await pageOf(await board.get(path));
    assertEquals(page.status, 404, path);
    assertMatch(page.text("h1")!, /^There is no (task \d+|such task)$/);
  }
});
