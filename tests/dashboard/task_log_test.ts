import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { current, task } from "../../mod.ts";
import { testDashboard } from "../support/dashboard.ts";
import { pageOf } from "../support/html.ts";
import { taskName } from "../support/instance.ts";

Deno.test("the page of a task shows its kept log lines by attempt, the level as a word, with the step, redacted", async () => {
  await using board = await testDashboard({ redact: ["customer"] });
  const talk = task({ name: taskName(), keepLogs: true, maxRetries: 1, retryDelay: 0 }, async () => {
    const { log, attempt, step } = current();
    log.info("begins <b>", { attempt, customer: "ana", password: "s3cr3t" });
    if (attempt === 1) throw new Error("not yet");
    log.error("the relay\nis away");
    log.debug("d");
    log.warn("w", { nested: { list: [1, null] } });
    await step("charge <i>", () => log.info("in a step"));
  });
  const { id } = await board.test.ff.run(() => talk.schedule());
  await board.test.drain({ tasks: [talk] });

  const page = await pageOf(await board.get(`/tasks/${id}`));

  const lines = page.texts(".log li").map((text) => text.replace(/^\d\d:\d\d:\d\d/, ""));
  assertEquals(lines, [
    "Attempt 1",
    'infobegins <b> {"attempt":1,"customer":"[redacted]","password":"[redacted]"}',
    "Attempt 2",
    'infobegins <b> {"attempt":2,"customer":"[redacted]","password":"[redacted]"}',
    "errorthe relay is away",
    "debugd",
    'warnw {"nested":{"list":[1,null]}}',
    "infocharge <i>: in a step",
  ]);
  assertEquals(page.texts(".lv"), ["info", "info", "error", "debug", "warn", "info"]);
  assertMatch(page.attributes(".log time", "datetime")[0]!, /^\d{4}-/);
  assert(!page.source.includes("s3cr3t"));
});

Deno.test("the page of a task shows the last hundred lines, and long ones cut", async () => {
  await using board = await testDashboard();
  const { sql } = board.test.db;
  const [row] = await sql`SELECT firefly.schedule('a') AS id`;
  const id = Number(row!.id);
  const insert = (from: number, to: number) =>
    sql`INSERT INTO firefly.task_log (task_id, attempt, at, level, message, fields)
      SELECT ${id}, 1, now(), 'info', 'line ' || n || repeat('x', 2000), jsonb_build_object('long', repeat('y', 2000))
      FROM generate_series(${from}::int, ${to}::int) AS n`;
  const empty = await board.get(`/tasks/${id}`);
  const none = await pageOf(empty);
  assertEquals([none.count(".log"), none.count("div#log-lines[data-live]"), none.text("#log-lines")], [0, 1, ""]);

  await insert(1, 100);
  const changed = await board.get(`/tasks/${id}`, { headers: { "if-none-match": empty.headers.get("etag")! } });
  const all = await pageOf(changed);
  await insert(101, 150);
  const cut = await pageOf(await board.get(`/tasks/${id}`));

  assertEquals(changed.status, 200);
  assertNotEquals(changed.headers.get("etag"), empty.headers.get("etag"));
  assertEquals([all.count(".log time"), all.count("#log-lines footer")], [100, 0]);
  assertMatch(all.texts(".log li")[1]!, /line 1x+… \{"long":"y+…$/);
  assertEquals([cut.count(".log time"), cut.text("#log-lines footer")], [
    100,
    `Earlier lines: firefly logs --task ${id}`,
  ]);
  assertMatch(cut.texts(".log li").at(-1)!, /line 150x/);
  assert(cut.source.length < 400_000, `${cut.source.length}`);
});

Deno.test("the page of a task stays where its log lines cannot be read", async () => {
  await using board = await testDashboard();
  const { sql } = board.test.db;
  const [row] = await sql`SELECT firefly.schedule('a') AS id`;
  await sql`ALTER TABLE firefly.task_log RENAME COLUMN message TO gone`;

  const page = await pageOf(await board.get(`/tasks/${row!.id}`));

  assertEquals([page.status, page.count("#log-lines [role=alert]"), page.count("#args")], [200, 1, 1]);
});
