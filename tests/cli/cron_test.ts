import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { testDatabase } from "../support/database.ts";
import { until } from "../support/waiting.ts";
import { jsonLines, PACKAGE, testProject } from "../support/project.ts";

const TASKS = `
  import { task } from ${JSON.stringify(PACKAGE)};
  task({ name: "tick", cron: "* * * * * *", queue: "ticks" }, () => "tock");
  task({ name: "nightly", cron: "0 3 * * *", timezone: "Europe/Warsaw", missed: "one" }, () => {});
`;

Deno.test("cron lists, pauses, resumes, runs and deletes the crons that a consumer registered", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url, files: { "tasks.ts": TASKS } });
  await using consumer = project.start("consume", "--queue", "ticks");
  await until(async () => (await db.sql`SELECT FROM firefly.task WHERE status = 'completed'`).length > 0, 30_000);

  const listed = await project.run("cron", "list");
  const paused = [await project.run("cron", "pause", "tick"), await project.run("cron", "pause", "tick")];
  const [tickPaused] = jsonLines((await project.run("cron", "list")).stdout).filter(({ name }) => name === "tick");
  const ran = await project.run("cron", "run", "nightly");
  const refused = await project.run("cron", "delete", "tick");
  const resumed = [await project.run("cron", "resume", "tick"), await project.run("cron", "resume", "tick")];
  consumer.kill("SIGTERM");
  await consumer.ended();
  const orphaned = jsonLines((await project.run("cron", "list")).stdout);
  const deleted = await project.run("cron", "delete", "tick");
  const left = jsonLines((await project.run("cron", "list")).stdout);

  const [nightly, tick] = jsonLines(listed.stdout);
  assertMatch(nightly.next_slot, /T0[12]:00:00\.000Z$/);
  const { next_slot: _, ...rest } = nightly;
  assertEquals([listed.code, rest], [0, {
    name: "nightly",
    expression: "0 3 * * *",
    timezone: "Europe/Warsaw",
    missed: "one",
    queue: "default",
    state: "active",
    last_slot: null,
    last_task_id: null,
    last_status: null,
  }]);
  assertEquals([tick.state, tick.queue, typeof tick.last_task_id], ["active", "ticks", "number"]);
  assert(["created", "running", "completed"].includes(tick.last_status));
  assert(new Date(tick.next_slot) > new Date(tick.last_slot));
  assertEquals(paused.map(({ code, stdout }) => [code, jsonLines(stdout)[0].changed]), [[0, true], [0, false]]);
  assertEquals([tickPaused.state, tickPaused.next_slot], ["paused", null]);
  const [{ id }] = jsonLines(ran.stdout);
  const [task] = await db.sql`SELECT func_name, status FROM firefly.task WHERE id = ${id}`;
  assertEquals({ ...task }, { func_name: "nightly", status: "created" });
  assertEquals(refused.code, 1);
  assertStringIncludes(refused.stderr, 'Cannot delete cron "tick" as it is not orphaned: it is paused');
  assertEquals(resumed.map(({ code, stdout }) => [code, jsonLines(stdout)[0].changed]), [[0, true], [0, false]]);
  assertEquals(orphaned.map(({ name, state, next_slot }) => [name, state, next_slot]), [
    ["nightly", "orphaned", null],
    ["tick", "orphaned", null],
  ]);
  assertEquals([deleted.code, left.map(({ name }) => name)], [0, ["nightly"]]);
});

Deno.test("consume --no-cron schedules no cron", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url, files: { "tasks.ts": TASKS } });
  await using consumer = project.start("consume", "--no-cron");
  await until(async () => (await db.sql`SELECT FROM firefly.consumer`).length > 0, 30_000);
  consumer.kill("SIGTERM");
  await consumer.ended();

  for (const args of [["cron", "list"], ["cron"]]) {
    assertEquals(await project.run(...args), { code: 0, stdout: "", stderr: "" });
  }
});

const refused: [args: string[], code: number, message: string][] = [
  [["cron", "lst"], 2, 'there is no "cron lst", did you mean "list"?'],
  [["cron", "list", "tick"], 2, '"cron list" takes no name'],
  [["cron", "pause"], 2, `"cron pause" needs a task's name`],
  [["cron", "pause", "tock"], 4, 'There is no cron "tock", did you mean "tick"?'],
  [["cron", "run", "tock"], 4, 'There is no cron "tock"'],
];

Deno.test("cron refuses unknown actions and names", async (t) => {
  await using db = await testDatabase();
  await db.sql`
    INSERT INTO firefly.cron (name, names, expression, timezone, missed, task, definition)
    VALUES ('tick', '{tick}', '* * * * *', 'UTC', 'skip', '{}', '')
  `;
  await using project = await testProject({ database: db.url });

  for (const [args, code, message] of refused) {
    await t.step(args.join(" "), async () => {
      const result = await project.run(...args);

      assertEquals([result.code, result.stdout], [code, ""]);
      assertStringIncludes(result.stderr, message);
    });
  }
});
