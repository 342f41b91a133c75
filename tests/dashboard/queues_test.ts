import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { claim, startConsumer } from "../support/claiming.ts";
import { testDashboard } from "../support/dashboard.ts";
import { pageOf } from "../support/html.ts";
import { insertTask } from "../support/records.ts";
import { countName, countQueue, HOSTILE_NAME } from "../support/statistics_rows.ts";

Deno.test("the page of the queues shows each with its state, what is in it and what it did", async () => {
  await using board = await testDashboard();
  const { db } = board.test;
  const consumerId = await startConsumer(db, { queues: ["default", "reports"] });
  for (let i = 0; i < 3; i++) await insertTask(db);
  await claim(db, { consumerId, limit: 2 });
  await insertTask(db, { queue: "webhooks" });
  await insertTask(db, { queue: "webhooks", not_before: new Date(Date.now() + 3_600_000) });
  await db.sql`SELECT firefly.pause('reports')`;
  await countQueue(db, { ago: 2, completed: 120, failed: 1, retried: 4, wait: [0, 0, 9], due: 3 });

  const page = await pageOf(await board.get("/queues"));

  assertEquals(page.text(".head p"), "3 queues · 10 places in 1 live consumer");
  const [mail, reports, webhooks] = page.rows("#rows tr");
  const without = (cells: string[] | undefined, ...columns: number[]) => cells?.filter((_, i) => !columns.includes(i));
  const [oldest, delay] = [3, 8];
  assertEquals(without(mail, oldest, delay), [
    "default",
    "Active",
    "1",
    "0",
    "2 of 10, 1 consumer",
    "",
    "2",
    "5",
    "Pause default",
  ]);
  assertEquals(/^[23](\.\d)? ms$/.test(mail![delay]!), true, "between 1 and 3.2 ms");
  const paused = ["reportsPaused", "Paused", "0", "–", "0", "0 of 10, 1 consumer", "", "–", "–", "–", "Resume reports"];
  assertEquals(reports, paused);
  const unserved = ["webhooksNo consumer", "No consumer", "1", "1", "–", "", "–", "–", "–", "Pause webhooks"];
  assertEquals(without(webhooks, oldest), unserved);
  assertEquals(page.attributes("#rows tr", "data-href"), ["/queues/default", "/queues/reports", "/queues/webhooks"]);
  assertMatch(page.text("#waits-now tbody tr")!, /^Its time ?1 ?in 5\dm( \d+s)?/);
});

Deno.test("a click pauses a queue under the name of the viewer, another resumes it, and each leads back", async () => {
  await using board = await testDashboard({ authorize: () => ({ user: "ana@shop.example" }) });
  const { db } = board.test;
  await startConsumer(db, { queues: ["mail"] });
  const stored = async () => (await db.sql`SELECT paused, paused_by FROM firefly.queue WHERE name = 'mail'`)[0];

  const paused = await board.post("/queues/pause", { name: "mail", back: "queues" });
  const whilePaused = { ...await stored() };
  const page = await pageOf(await board.get("/queues/mail"));
  const resumed = await board.post("/queues/resume", { name: "mail", back: "queue" });

  assertEquals([paused.status, paused.headers.get("location")], [303, "/queues"]);
  assertEquals(whilePaused, { paused: true, paused_by: "ana@shop.example" });
  assertMatch(page.text(".hold-w")!, /^It is paused, since .*: no task is due ana@shop\.example paused it$/);
  assertEquals(page.attributes(".head form", "action"), ["/queues/resume"]);
  assertEquals([resumed.status, resumed.headers.get("location")], [303, "/queues/mail"]);
  assertEquals((await stored())!.paused, false);
});

Deno.test("pausing what is no queue is refused in words, and changes nothing", async () => {
  await using board = await testDashboard();

  const response = await board.post("/queues/pause", { name: "No queue!" });
  const queues = await board.test.db.sql`SELECT FROM firefly.queue`;

  assertEquals([response.status >= 400, queues.length], [true, 0]);
  await response.body?.cancel();
});

Deno.test("the page of a queue shows its last hour, its names, its limits and its settings", async () => {
  await using board = await testDashboard();
  const { db } = board.test;
  const consumerId = await startConsumer(db, { queues: ["mail"], tasks: ["mail.send", "mail.welcome"] });
  for (let i = 0; i < 12; i++) await insertTask(db, { queue: "mail", func_name: "mail.send" });
  await claim(db, { consumerId, queues: ["mail"], names: ["mail.send"], limit: 10 });
  await db.sql`INSERT INTO firefly.definition (func_name, rate_limit, rate_per) VALUES ('mail.send', 100, 60)`;
  await insertTask(db, { queue: "mail", func_name: "mail.send", rate_key: "smtp" });
  await countQueue(db, { queue: "mail", ago: 10, completed: 5, due: 1 });
  await countQueue(db, {
    queue: "mail",
    ago: 5,
    completed: 20,
    failed: 5,
    retried: 10,
    wait: [0, 0, 20],
    due: 11,
    running: 10,
  });
  await countName(db, {
    queue: "mail",
    name: "mail.send",
    ago: 5,
    completed: 20,
    failed: 5,
    retried: 10,
    run: [0, 0, 0, 30],
  });

  const page = await pageOf(await board.get("/queues/mail"));

  assertEquals([page.text("h1"), page.text(".crumb")], ["mail", "Queues"]);
  assertMatch(page.text(".hold-w")!, /^Its consumer has no room: 10 of 10 places are taken, and 2 tasks are due/);
  const tiles = page.texts(".tiles > *");
  assertMatch(tiles[0]!, /^Due now ?2 ?oldest/);
  assertMatch(tiles[3]!, /^Done, last hour ?30 ?1 a minute$|^Done, last hour ?30 ?0 a minute$/);
  assertMatch(tiles[4]!, /^Failed for good ?5 ?of 15 failed attempts$/);
  assertMatch(tiles[5]!, /^Trend ?\+4 ?a minute: 9 come, 5 done$/);
  assertEquals(page.attributes(".three [role=img]", "aria-label").length, 3);
  assertMatch(page.text("#names-now tbody tr")!, /^mail\.send ?2 ?1 ?10 ?25 ?\S+ ms ?\S+ ms ?15$/);
  assertMatch(page.text("#limits-now tbody tr")!, /^smtp ?100 starts every 1m ?0 of 100 ?1 ?–$/);
  assertStringIncludes(page.text(".facts")!, "completed 7d, failed 30d");
});

Deno.test("the page of a queue says that no consumer serves it, and that statistics are not kept", async () => {
  await using board = await testDashboard();
  await insertTask(board.test.db, { queue: "webhooks" });

  const page = await pageOf(await board.get("/queues/webhooks"));

  assertMatch(page.text(".bad-w")!, /^No live consumer serves it: 1 task is due/);
  assertStringIncludes(page.source, "No statistics of this time are kept");
});

Deno.test("the page of a queue that is not there is a page with status 404", async () => {
  await using board = await testDashboard();

  const page = await pageOf(await board.get(`/queues/${encodeURIComponent(HOSTILE_NAME)}`));

  assertEquals([page.status, page.text("h1")], [404, HOSTILE_NAME.replace(/\s+/g, " ")]);
  assertEquals(page.count("main script"), 0);
});

Deno.test("the pages of the queues show no button to a viewer who may only look", async () => {
  await using board = await testDashboard({ readOnly: true });
  await startConsumer(board.test.db, { queues: ["mail"] });

  const pages = [await pageOf(await board.get("/queues")), await pageOf(await board.get("/queues/mail"))];

  for (const page of pages) {
    assertEquals([page.status, page.count("main form"), page.count("main button")], [200, 0, 0]);
  }
});

Deno.test("the page of the queues shows the last count of a queue that is too long to be counted, with a plus", async () => {
  await using board = await testDashboard();
  const { db } = board.test;
  await startConsumer(db);
  await db.sql`
    INSERT INTO firefly.ready (id, not_before, claim_seq, priority, queue, func_name)
    SELECT id, now(), 0, 0, 'default', 'test.task' FROM generate_series(1, 100000) AS id
  `;
  await db.sql`
    INSERT INTO firefly.waiting (id, not_before, claim_seq, priority, queue, func_name, reason)
    SELECT id, now() + interval '1 hour', 0, 0, 'default', 'test.task', 'time' FROM generate_series(100001, 110001) AS id
  `;
  await countQueue(db, { ago: 1, due: 250_000, waiting: 30_000 });
  await db.sql`UPDATE firefly.queue_minute SET oldest = 7200`;

  const page = await pageOf(await board.get("/queues"));

  const [, , due, oldest, waiting] = page.rows("#rows tr")[0]!;
  assertEquals([due, waiting], ["250,000+", "30,000+"]);
  assertMatch(oldest!, /^2h/);
  assertMatch(page.text("#waits-now tbody tr")!, /^Its time ?10,000\+/);
});
