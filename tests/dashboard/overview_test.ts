import { assert, assertEquals, assertMatch, assertNotMatch, assertStringIncludes } from "@std/assert";
import { startConsumer } from "../support/claiming.ts";
import { task } from "../../mod.ts";
import { taskName } from "../support/instance.ts";
import { testDashboard } from "../support/dashboard.ts";
import { pageOf } from "../support/html.ts";
import { insertTask } from "../support/records.ts";
import { addErrors, countName, countQueue, HOSTILE_NAME } from "../support/statistics_rows.ts";

Deno.test("the overview of an empty database says what to do first", async () => {
  await using board = await testDashboard();

  const page = await pageOf(await board.get("/"));

  assertEquals([page.status, page.text("h1")], [200, "Nothing here yet"]);
  assertStringIncludes(page.text("ol.steps")!, "select firefly.schedule('math.add', '[1, 3]');");
});

Deno.test("the overview says in words that nothing needs attention", async () => {
  await using board = await testDashboard();
  await startConsumer(board.test.db);

  const page = await pageOf(await board.get("/"));

  assertEquals(page.text("h1"), "Nothing needs attention");
  assertStringIncludes(page.text(".ok-w")!, "Every queue that has due tasks is served");
  assertEquals(page.count(".alerts"), 0);
});

Deno.test("the overview shows the present without statistics, and says that they are not kept", async () => {
  await using board = await testDashboard();
  const { db } = board.test;
  await startConsumer(db);
  await insertTask(db);
  await insertTask(db, { not_before: new Date(Date.now() + 3_600_000) });

  const page = await pageOf(await board.get("/"));

  const tiles = page.texts(".tiles > *");
  assertMatch(tiles[0]!, /^Due now ?1 ?oldest .* in default$/);
  assertMatch(tiles[1]!, /^Running ?0 ?of 10 places, 0%$/);
  assertMatch(tiles[2]!, /^Waiting ?1 ?0 of them for a limit$/);
  assertMatch(tiles[3]!, /^Completed, last hour ?– ?not kept$/);
  assertMatch(tiles[5]!, /^Delay before a start, p95 ?– ?not kept$/);
  assertStringIncludes(page.text("#flow")!, "No statistics of this time are kept");
});

Deno.test("the overview shows what failed for good where consumers keep no statistics", async () => {
  await using board = await testDashboard({}, { statistics: false });
  const { ff, db, drain } = board.test;
  const name = taskName();
  const fail = ff.run(() =>
    task({ name }, () => {
      throw new Error("no");
    })
  );
  await ff.run(() => fail.scheduleMany([[], [], [], [], []]));
  await drain({ tasks: [fail] });

  const page = await pageOf(await board.get("/"));

  assertEquals((await db.sql`SELECT FROM firefly.error_group`).length, 0);
  assertMatch(page.text(".alerts li")!, new RegExp(`^${name} fails: 5 tasks for good in the last hour`));
  assertMatch(page.texts(".tiles > *")[4]!, /^Failed for good, last hour ?5 ?failed attempts are not kept$/);
  assertMatch(page.text("#fails-now tbody tr")!, new RegExp(`^${name} Its errors are not kept .*5`));
  assertEquals(page.text("#slowest-now p"), "No attempt of the last hour was counted");
});

Deno.test("the overview adds up the last hour, and its charts say what they show", async () => {
  await using board = await testDashboard();
  const { db } = board.test;
  await startConsumer(db);
  await countQueue(db, { ago: 3, completed: 90, failed: 2, retried: 8, wait: [0, 0, 0, 0, 10], due: 4, running: 2 });
  await countQueue(db, { ago: 2, completed: 30, due: 7, running: 5 });
  await countQueue(db, { queue: "mail", ago: 2, completed: 10, due: 1, running: 1 });
  await countQueue(db, { ago: 70, completed: 1_000 });
  await countName(db, { ago: 3, completed: 130, failed: 2, retried: 8, run: [0, 0, 0, 0, 0, 0, 0, 0, 130] });

  const page = await pageOf(await board.get("/"));

  const tiles = page.texts(".tiles > *");
  assertMatch(tiles[3]!, /^Completed, last hour ?130 ?2 a minute$/);
  assertMatch(tiles[4]!, /^Failed for good, last hour ?0 ?of 10 failed attempts, 7.1%$/);
  assertMatch(tiles[5]!, /^Delay before a start, p95 ?9\.7 ms|^Delay before a start, p95 ?10 ms/);
  const labels = page.attributes("#flow [role=img]", "aria-label");
  assertEquals(labels, [
    "Completed a minute over the last hour: 0 now, between 0 and 90",
    "Failed attempts a minute over the last hour: 0 now, between 0 and 10",
  ]);
  assertEquals(page.count("svg text"), 0, "charts hold no text");
  assertMatch(page.text("#slowest-now tbody tr")!, /^test\.task ?130 ?\d+ ms ?\d+ ms ?–$/);
});

for (
  const [range, words] of [["day", "in 15 minutes over the last 24 hours"], ["week", "in 2 hours over the last 7 days"]]
) {
  Deno.test(`the overview shows a ${range} of throughput`, async () => {
    await using board = await testDashboard();
    const { db } = board.test;
    await startConsumer(db);
    await countQueue(db, { ago: 300, completed: 25 });

    const page = await pageOf(await board.get(`/?range=${range}`));

    assertEquals(page.attributes("#flow [role=img]", "aria-label")[0], `Completed ${words}: 0 now, between 0 and 25`);
    assertEquals(page.texts(".switch [aria-current]").map((word) => word.toLowerCase()), [range]);
  });
}

Deno.test("the overview lists errors that are alike, with a retry of their tasks", async () => {
  await using board = await testDashboard();
  const { db } = board.test;
  await startConsumer(db);
  await countName(db, { ago: 20, retried: 3, completed: 50 });
  await addErrors(db, { error: "HttpError", message: "421 too many", attempts: 1_284, failed: 12 });
  await addErrors(db, { fingerprint: 2, name: "crm.sync", message: "late", attempts: 19 });

  const page = await pageOf(await board.get("/"));

  const rows = page.texts("#fails-now tbody tr");
  assertMatch(rows[0]!, /^test\.task HttpError: 421 too many ?1,284 ?12/);
  assertMatch(rows[1]!, /^crm\.sync Error: late ?19 ?0/);
  const [retry] = page.attributes("#fails-now a[data-ask]", "href");
  assertEquals(
    new URL(retry!, "http://localhost").search,
    `?${new URLSearchParams({ q: "status:failed name:test.task error:#1" })}`,
  );
  assertEquals(page.count("#fails-now tbody tr:first-child [role=img]"), 1, "the failures of the last hour");
});

Deno.test("the overview shows names and errors as text, whatever they hold", async () => {
  await using board = await testDashboard();
  const { db } = board.test;
  await startConsumer(db, { tasks: [HOSTILE_NAME] });
  await countName(db, { name: HOSTILE_NAME, failed: 9, run: [9] });
  await addErrors(db, { name: HOSTILE_NAME, error: HOSTILE_NAME, message: HOSTILE_NAME, failed: 1 });

  const page = await pageOf(await board.get("/"));

  assertNotMatch(page.source, /<script>alert/);
  assertStringIncludes(page.text(".alerts")!, HOSTILE_NAME.replace(/\s+/g, " "));
  assertEquals(page.texts("#fails-now .name")[0], HOSTILE_NAME.replace(/\s+/g, " "));
  const [link] = page.attributes(".alerts a.name", "href");
  const q = new URL(link!, "http://localhost").searchParams.get("q")!;
  assertStringIncludes(q.replaceAll("\\", ""), HOSTILE_NAME);
});

Deno.test("the overview resumes a paused queue, and shows no button to a viewer who may only look", async () => {
  await using board = await testDashboard();
  await using looking = await testDashboard({ readOnly: true });
  for (const { test: { db } } of [board, looking]) {
    await insertTask(db, { queue: "reports" });
    await addErrors(db, { failed: 1 });
    await db.sql`SELECT firefly.pause('reports')`;
  }

  const before = await pageOf(await board.get("/"));
  const button = board.test;
  const response = await board.post("/queues/resume", { name: "reports", back: "overview" });
  const [queue] = await button.db.sql`SELECT paused FROM firefly.queue WHERE name = 'reports'`;
  const readOnly = await pageOf(await looking.get("/"));

  assertEquals(before.attributes(".alerts form", "action"), ["/queues/resume"]);
  assertEquals([response.status, response.headers.get("location"), queue!.paused], [303, "/", false]);
  assertEquals(readOnly.text(".alerts .s, .alerts b"), "reports is paused");
  assertEquals([readOnly.count(".alerts form"), readOnly.count("a[data-ask]"), readOnly.count("main button")], [
    0,
    0,
    0,
  ]);
  assert(readOnly.count(".alerts a.button") > 0, "links stay");
});

Deno.test("the link of an error leads to the tasks that failed alike, and to a question about them", async () => {
  await using board = await testDashboard();
  const name = taskName();
  const kinds = [`no "room" in 10.0.0.1, 50%`, `no "place" in 10.0.0.2, 70%`, "something else"];
  const { ff, drain } = board.test;
  const fail = ff.run(() =>
    task({ name }, (message: string) => {
      throw new Error(message);
    })
  );
  await ff.run(() => fail.scheduleMany(kinds.map((kind) => [kind] as [string])));
  await drain({ tasks: [fail] });

  const overview = await pageOf(await board.get("/"));
  const [alike] = overview.attributes("#fails-now td a.bad", "href").filter((_, index) => {
    return overview.texts("#fails-now td a.bad")[index] === "2";
  });
  const list = await pageOf(await board.get(alike!));
  const question = await pageOf(await board.get(alike!.replace("/tasks?", "/tasks/retry?")));

  assertEquals(overview.texts("#fails-now td a.bad").toSorted(), ["1", "2"]);
  assertEquals([list.status, list.count("tbody tr")], [200, 2]);
  assertEquals(question.status, 200);
  assertStringIncludes(question.text("main")!, "2");
});

Deno.test("the overview hides what the dashboard's own redact hides of errors", async () => {
  await using board = await testDashboard({
    redact: (value) => typeof value === "string" ? value.replaceAll("4711", "…") : value,
  });
  const { db } = board.test;
  await startConsumer(db);
  await countName(db, { failed: 9 });
  await addErrors(db, { message: "no card 4711", failed: 1 });

  const page = await pageOf(await board.get("/"));

  assertStringIncludes(page.text(".alerts li")!, "Error: no card …");
  assertStringIncludes(page.text("#fails-now tbody tr")!, "Error: no card …");
  assertNotMatch(page.source, /4711/);
});
