import { assertEquals, assertStringIncludes } from "@std/assert";
import { testDatabase } from "../support/database.ts";
import { commandLine, jsonLines, PACKAGE, scheduleIn, TASKS, testProject } from "../support/project.ts";
import { until } from "../support/waiting.ts";

const FILES = {
  "tasks.ts": `${TASKS}
    import process from "node:process";
    export const leave = task("leave", (code: number) => process.exit(code));
  `,
};

Deno.test("consume exits with 1 and says so when a handler calls process.exit(0), and a drain runs its task elsewhere", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url, files: FILES });
  const id = await scheduleIn(db, "leave", [0]);
  await using consumer = project.start("consume", "--lease", "1s");

  const { code, stderr } = await consumer.ended();

  const last = jsonLines(stderr).at(-1);
  assertEquals([code, last.level, last.event], [1, "error", "exit"]);
  assertStringIncludes(last.message, "ended the process with exit code 0, 1 attempt unfinished");
  await db.sql`UPDATE firefly.consumer SET lease_until = now() - interval '1 s'`;
  await using sane = await testProject({
    database: db.url,
    files: { "tasks.ts": FILES["tasks.ts"].replace("process.exit(code)", "code") },
  });
  const drained = await sane.run("consume", "--drain");
  assertEquals(drained.code, 0);
  assertEquals(jsonLines(drained.stderr).find(({ event }) => event === "rescued").id, id);
  const [row] = await db.sql`SELECT status FROM firefly.task`;
  assertEquals(row!.status, "completed");
});

Deno.test("consume keeps the exit code that a handler gives, and says so when a module ends the process", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url, files: FILES });
  await scheduleIn(db, "leave", [7]);
  assertEquals((await project.run("consume")).code, 7);

  const files = { "tasks.ts": `import process from "node:process"; import "${PACKAGE}"; process.exit(0);` };
  await using leaving = await testProject({ database: db.url, files });
  const { code, stderr } = await leaving.run("consume");
  const { event, message } = jsonLines(stderr).at(-1);
  assertEquals([code, event], [1, "error"]);
  assertStringIncludes(message, "Cannot import tasks.ts as it ends the process: it calls process.exit(0)");
});

Deno.test("consume stops gracefully at SIGHUP, as when its terminal is closed", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  const id = await scheduleIn(db, "nap", [500]);
  await using consumer = project.start("consume");
  await consumer.said("naps");
  consumer.kill("SIGHUP");

  const { code, stderr } = await consumer.ended();

  const [row] = await db.sql`SELECT id::integer, status FROM firefly.task`;
  assertEquals([code, row], [0, { id, status: "completed" }]);
  assertStringIncludes(stderr, "SIGHUP: waiting up to 30 s for 1 attempt");
});

Deno.test("consume goes on while its stderr takes nothing: a full disk, or a terminal that is gone", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  for (const redirect of ["2>/dev/full", "2>&-"]) {
    const ids = [await scheduleIn(db, "math.add", [1, 2]), await scheduleIn(db, "fail", ["no"])];
    const command = commandLine("consume", "--verbose").map((part) => `'${part}'`).join(" ");
    const child = new Deno.Command("sh", {
      args: ["-c", `exec ${command} ${redirect}`],
      cwd: project.directory,
      env: { FIREFLY_DATABASE_URL: db.url },
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const ended = async () =>
      (await db.sql`SELECT FROM firefly.task WHERE id = ANY (${ids}) AND status <> 'created'`).length;
    await until(async () => await ended() === 2);
    ids.push(await scheduleIn(db, "math.add", [3, 4]));
    await until(async () => await ended() === 3);
    child.kill("SIGTERM");
    assertEquals((await child.status).code, 0, redirect);
  }
});
