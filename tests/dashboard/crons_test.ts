import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { slotsAhead } from "../../src/dashboard/pages/crons_lanes.ts";
import { describeCron } from "../../src/dashboard/pages/crons_words.ts";
import type { CronState } from "../../src/store/cron_history.ts";
import { startConsumer } from "../support/claiming.ts";
import { testDashboard } from "../support/dashboard.ts";
import { cronOf, register } from "../support/cron_store.ts";
import type { TestDatabase } from "../support/database.ts";
import { pageOf } from "../support/html.ts";
import { insertTask } from "../support/records.ts";
import { HOSTILE_NAME } from "../support/statistics_rows.ts";

async function insertCron(db: TestDatabase, name: string, expression = "*/15 * * * *"): Promise<void> {
  await register(db, [cronOf(name, { expression })]);
}

/** Stores slots that fired, one each 15 minutes, whose tasks ended so. */
async function fire(
  db: TestDatabase,
  name: string,
  statuses: ("completed" | "failed" | "created")[],
): Promise<number[]> {
  const ids: number[] = [];
  for (const [index, status] of statuses.entries()) {
    const at = new Date(Date.now() - (statuses.length - index) * 900_000);
    const ended = status === "created" ? {} : { started: at, [status]: new Date(at.getTime() + 2_000) };
    ids.push(await insertTask(db, { func_name: name, status, ...ended }));
    await db.sql`INSERT INTO firefly.cron_slot (cron, slot, task_id) VALUES (${name}, ${at}, ${ids.at(-1)!})`;
  }
  return ids;
}

Deno.test("the page of the crons shows state, history, the last run and the next", async () => {
  await using board = await testDashboard();
  const { db } = board.test;
  await startConsumer(db, { tasks: ["search.reindex", "crm.import"] });
  await insertCron(db, "search.reindex");
  await insertCron(db, "crm.import", "0 3 * * *");
  await insertCron(db, "old.cleanup", "0 0 L * *");
  const ids = await fire(db, "search.reindex", ["completed", "failed", "completed"]);
  await db.sql`SELECT firefly.pause_cron('crm.import')`;

  const page = await pageOf(await board.get("/crons"));

  const [paused, orphaned, active] = page.rows("#rows tr");
  const buttons = "Run now crm.import Resume crm.import";
  assertEquals(paused!.slice(1, -1), ["At 03:00, every day0 3 * * * UTC", "Paused", "–", "none yet", "–", "paused"]);
  assertEquals(paused!.at(-1)!.replace("importResume", "import Resume"), buttons);
  assertEquals(orphaned!.slice(1, 3), ["At 00:00, on the last day of the month0 0 L * * UTC", "Orphaned"]);
  assertEquals(orphaned!.slice(-2), ["no live consumer", "Delete… old.cleanup"]);
  assertMatch(active![4]!, /^Completed 1\dm( \d+s)? ago$/);
  assertEquals([active![2], active![5]], ["Active", "2 s"]);
  assertMatch(active![6]!, /^in (\d+m( \d+s)?|\d+s)\d\d:\d[05] UTC$/);
  assertEquals(page.attributes("#rows tr:nth-child(3) td a", "href"), [`/tasks/${ids.at(-1)}`]);
  assertEquals(page.attributes("#rows [role=img]", "aria-label"), [
    "Last 3 runs of search.reindex: 1 failed, 0 without a result",
  ]);
  assertEquals(page.texts("#lanes-now .note").map((note) => note.replace(/\d+ to come/, "n to come")), [
    "paused since " + page.text("#lanes-now .note")!.slice(-5),
    "2 ran, 1 failed, n to come",
  ]);
});

Deno.test("clicks pause, resume and run a cron", async () => {
  await using board = await testDashboard();
  const { db } = board.test;
  await startConsumer(db, { tasks: ["search.reindex"] });
  await insertCron(db, "search.reindex");
  const isPaused = async () => (await db.sql`SELECT paused FROM firefly.cron`)[0]!.paused;

  const paused = await board.post("/crons/pause", { name: "search.reindex" });
  const whilePaused = await isPaused();
  const resumed = await board.post("/crons/resume", { name: "search.reindex" });
  const ran = await board.post("/crons/run", { name: "search.reindex" });
  const [task] = await db.sql`SELECT id, func_name FROM firefly.task`;

  assertEquals([paused.status, paused.headers.get("location"), whilePaused], [303, "/crons", true]);
  assertEquals([resumed.status, await isPaused()], [303, false]);
  assertEquals([ran.status, ran.headers.get("location")], [303, `/tasks/${task!.id}`]);
  assertEquals(task!.func_name, "search.reindex");
});

Deno.test("an orphaned cron is deleted after a question, and one with a consumer is not", async () => {
  await using board = await testDashboard();
  const { db } = board.test;
  await insertCron(db, HOSTILE_NAME);

  const list = await pageOf(await board.get("/crons"));
  const [href] = list.attributes("#rows a[data-ask]", "href");
  const question = await pageOf(await board.get(href!));
  await startConsumer(db, { tasks: [HOSTILE_NAME] });
  const refused = await board.post("/crons/delete", { name: HOSTILE_NAME });
  const keeps = await pageOf(await board.get(href!));
  await db.sql`DELETE FROM firefly.consumer`;
  const deleted = await board.post("/crons/delete", { name: question.attributes(".lone [name=name]", "value")[0]! });

  assertEquals(question.attributes(".lone form", "action"), ["/crons/delete"]);
  assertStringIncludes(question.text(".lone h1")!, `Delete the cron of ${HOSTILE_NAME.replace(/\s+/g, " ")}?`);
  assertEquals([list.count("main script"), question.count("main script")], [0, 0]);
  assertEquals([refused.status, keeps.status, keeps.count(".lone form")], [409, 409, 0]);
  assertEquals([deleted.status, (await db.sql`SELECT FROM firefly.cron`).length], [303, 0]);
  await refused.body?.cancel();
});

Deno.test("the page of the crons shows no button to a viewer who may only look", async () => {
  await using board = await testDashboard({ readOnly: true });
  await insertCron(board.test.db, "old.cleanup");

  const page = await pageOf(await board.get("/crons"));

  assert(page.texts("#rows tr").length === 1);
  assertEquals([page.count("main form"), page.count("main button"), page.count("[data-ask]")], [0, 0, 0]);
});

Deno.test("describeCron() says when a cron is due, and nothing where it has no words", () => {
  const cases: Record<string, string | undefined> = {
    "0 3 * * *": "At 03:00, every day",
    "*/15 * * * *": "Every 15 minutes",
    "* * * * *": "Every minute",
    "0 6 * * 1-5": "At 06:00, Monday to Friday",
    "30 9,17 * * MON,fri": "At 09:30 and 17:30, on Monday and Friday",
    "*/30 * * * * *": "Every 30 seconds",
    "0 */5 * * * *": "Every 5 minutes",
    "5 * * * *": "At minute 5 of every hour",
    "@hourly": "Every hour",
    "@daily": "At 00:00, every day",
    "0 */2 * * *": "Every 2 hours",
    "0 0 L * *": "At 00:00, on the last day of the month",
    "0 0 15 * *": "At 00:00, on day 15 of the month",
    "0 0 1 1 *": undefined,
    "0 0 1 * 1": undefined,
    "1-5 * * * *": undefined,
    "nonsense": undefined,
  };
  for (const [expression, words] of Object.entries(cases)) assertEquals(describeCron(expression), words, expression);
});

Deno.test("slotsAhead() computes the slots of a day, unless they are too many to draw", () => {
  const now = new Date("2026-11-29T14:32:08Z");
  const cron = (expression: string, state = "active", timezone = "UTC") =>
    ({ expression, timezone, state }) as unknown as CronState;

  assertEquals(slotsAhead(cron("0 3 * * *"), now), [new Date("2026-11-30T03:00:00Z")]);
  assertEquals(slotsAhead(cron("*/15 * * * *"), now)?.length, 96);
  assertEquals(slotsAhead(cron("* * * * *"), now), undefined);
  const later = new Date(now.getTime() + 3_600_000);
  assertEquals(slotsAhead(cron("*/15 * * * *"), later)?.at(0), new Date("2026-11-29T15:45:00Z"));
  assertEquals(slotsAhead(cron("*/15 * * * *"), later)?.length, 96);
  assertEquals(slotsAhead(cron("*/15 * * * *"), now)?.at(0), new Date("2026-11-29T14:45:00Z"), "time goes back");
  assertEquals(slotsAhead(cron("0,1 */2 * * *"), now)?.length, 24, "pairs of slots are no more than a hundred");
  assertEquals(slotsAhead(cron("0 3 * * *", "paused"), now), []);
  assertEquals(slotsAhead(cron("0 3 * * *", "active", "Mars/Olympus"), now), []);
});
