import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { claim, expireConsumer, startConsumer } from "../support/claiming.ts";
import { testDashboard } from "../support/dashboard.ts";
import { writeMetrics } from "../../metrics.ts";
import { pageOf } from "../support/html.ts";
import { insertTask } from "../support/records.ts";
import { countName, HOSTILE_NAME } from "../support/statistics_rows.ts";

Deno.test("the page of the consumers shows which live, what they run, and what runs longest", async () => {
  await using board = await testDashboard();
  const { db } = board.test;
  const busy = await startConsumer(db, { queues: ["default", "mail"], tasks: ["test.task", "mail.send"] });
  const crashed = await startConsumer(db, { queues: ["webhooks"] });
  const silent = await startConsumer(db, { queues: ["media"] });
  await db.sql`UPDATE firefly.consumer SET host = 'mail-1', pid = 3980, release = '0.4.0' WHERE id = ${busy}`;
  await db.sql`UPDATE firefly.consumer SET host = 'worker-4', release = '0.3.2' WHERE id = ${crashed}`;
  await db.sql`
    UPDATE firefly.consumer
    SET host = 'media-2', release = '0.3.2', seen = now() - interval '500 seconds', lease_until = now() + interval '100 seconds'
    WHERE id = ${silent}
  `;
  await expireConsumer(db, crashed);
  for (let i = 0; i < 3; i++) await insertTask(db, { progress: 0.64, priority: 5 });
  await insertTask(db, { func_name: "mail.send", queue: "mail" });
  await claim(db, { consumerId: busy, queues: ["default", "mail"], names: ["test.task", "mail.send"], limit: 10 });
  await db.sql`UPDATE firefly.claim_batch SET claimed = now() - interval '2 hours'`;
  await countName(db, { completed: 9, run: [0, 0, 0, 0, 9] });

  const page = await pageOf(await board.get("/consumers"));

  assertEquals(page.text(".head p"), "2 live, 1 crashed · 4 of 20 places taken");
  const rows = page.texts("#rows tr");
  assertMatch(
    rows[0]!,
    /^mail-1 3980 ?Live ?default, mail ?4 of 10 ?\S+ m?µ?s ago ?\d+ m?s ?– ?0\.4\.0 ?test\.task ×3, mail\.send ×1$/,
  );
  assertMatch(rows[1]!, /^media-2 1 ?Silent ?media ?0 of 10 ?8m 2\ds ago ?\d+ m?s ?– ?0\.3\.2 ?nothing$/);
  assertMatch(rows[2]!, /^worker-4 1 ?Crashed ?webhooks ?– ?.* ago ?– ?– ?0\.3\.2 ?nothing: its tasks are rescued$/);
  assertEquals(
    page.text(".hold-w"),
    "Two releases run side by side: 0.4.0 in mail-1, 0.3.2 in media-2. Crons follow the one that started last",
  );
  assertMatch(page.text("#longest-now tbody tr")!, /^test\.task ?\d+ ?2h ?\S+ ms ?64% ?mail-1, 3980$/);
  assertStringIncludes(page.source, '<span class="hold">2h</span>');
});

Deno.test("the page of the consumers shows names, and how many tasks one was asked to run until it does", async () => {
  await using board = await testDashboard();
  const { db } = board.test;
  const id = await startConsumer(db);
  await db.sql`UPDATE firefly.consumer SET consumer_name = 'mail-2', host = 'web', pid = 7 WHERE id = ${id}`;
  const cellsOf = async () => (await pageOf(await board.get("/consumers"))).rows("#rows tr")[0]!;
  const before = await cellsOf();

  await db.sql`UPDATE firefly.consumer SET wanted_concurrency = 40 WHERE id = ${id}`;

  assertEquals([before[0], before[3]], ["mail-2 web 7", "0 of 10"]);
  assertEquals((await cellsOf())[3], "0 of 10 40 asked for");
});

Deno.test("a consumer that delivers alerts is shown as such, and counts nowhere as a second one", async () => {
  await using board = await testDashboard();
  const { db, ff } = board.test;
  const own = await startConsumer(db, { queues: ["mail"] });
  const alerts = await startConsumer(db, { queues: ["firefly.alerts"] });
  await db.sql`UPDATE firefly.consumer SET consumer_name = 'firefly.alerts', concurrency = 2 WHERE id = ${alerts}`;
  const summary = async () => (await pageOf(await board.get("/consumers"))).text(".head p");

  const page = await pageOf(await board.get("/consumers"));
  const counts = await (await board.get("/counts.json")).json();

  assertEquals(page.text(".head p"), "1 live · 0 of 10 places taken");
  assertMatch(page.text(`#consumer-${alerts}`)!, /^firefly\.alerts .*Live ?firefly\.alerts ?0 of 2.*its process$/);
  assertEquals([counts.consumers, counts.places], [1, 10]);
  assertStringIncludes(await writeMetrics(ff, { only: "queues" }), 'firefly_consumers{state="live"} 1\n');
  await expireConsumer(db, alerts);
  assertEquals(await summary(), "1 live · 0 of 10 places taken");
  assertStringIncludes((await pageOf(await board.get("/"))).text("h1, h2")!, "Nothing needs attention");
  await expireConsumer(db, own);
  assertEquals(await summary(), "0 live, 1 crashed · 0 of 0 places taken");
});

Deno.test("the page of the consumers says that none has registered, and that nothing runs", async () => {
  await using board = await testDashboard();

  const page = await pageOf(await board.get("/consumers"));

  assertEquals(page.status, 200);
  assertStringIncludes(page.source, "No consumer has registered");
  assertEquals(page.text("#longest-now p"), "Nothing runs now");
});

Deno.test("the page of the consumers shows hosts, releases and names as text", async () => {
  await using board = await testDashboard();
  const { db } = board.test;
  const consumerId = await startConsumer(db, { tasks: [HOSTILE_NAME] });
  await db.sql`UPDATE firefly.consumer SET host = ${HOSTILE_NAME}, release = ${HOSTILE_NAME}`;
  await insertTask(db, { func_name: HOSTILE_NAME });
  await claim(db, { consumerId, names: [HOSTILE_NAME] });

  const page = await pageOf(await board.get("/consumers"));

  assertEquals(page.count("main script"), 0);
  assertEquals(page.text("#rows b"), HOSTILE_NAME.replace(/\s+/g, " "));
  assertEquals(page.text("#longest-now .name"), HOSTILE_NAME.replace(/\s+/g, " "));
});
