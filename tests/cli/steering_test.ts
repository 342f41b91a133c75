import { assertEquals, assertStringIncludes } from "@std/assert";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { claimOne, startConsumer } from "../support/claiming.ts";
import { jsonLines, testProject } from "../support/project.ts";
import { insertTask } from "../support/records.ts";

const later = () => new Date(Date.now() + 3_600_000);

/** Runs a command; resolves to its exit code, and what it printed. */
async function cli(db: TestDatabase, ...args: string[]): Promise<[code: number, json: unknown[], stderr: string]> {
  await using project = await testProject({ database: db.url });
  const { code, stdout, stderr } = await project.run(...args);
  return [code, jsonLines(stdout), stderr];
}

Deno.test("run makes waiting tasks due, and says why it leaves others", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  await insertTask(db, { queue: "orders", not_before: later() });
  await insertTask(db);
  await claimOne(db, consumerId);

  const left = [{ reason: "running", count: 1, ids: [2] }];
  assertEquals(await cli(db, "run", "1", "2"), [0, [{ run: 1, left }], ""]);
  assertEquals(await cli(db, "run", "2"), [7, [{ run: 0, left }], ""]);
  const due = [{ reason: "ready", count: 1, ids: [1] }];
  assertEquals(await cli(db, "run", "--queue", "orders", "--yes"), [7, [{ run: 0, left: due }], ""]);
  assertEquals(await cli(db, "run", "404"), [4, [{ run: 0 }], "error: There is no task 404\n"]);
});

Deno.test("retry that changes nothing says why, and exits with 7", async () => {
  await using db = await testDatabase();
  for (let i = 0; i < 12; i++) await insertTask(db, { queue: "orders", not_before: later() });

  const [code, [byId]] = await cli(db, "retry", "1");
  assertEquals([code, byId], [7, { retried: 0, left: [{ reason: "waiting", count: 1, ids: [1] }] }]);
  const [all, [entry]] = await cli(db, "retry", "--queue", "orders", "--yes");
  assertEquals(all, 7);
  const left = [{ reason: "waiting", count: 12, ids: [12, 11, 10, 9, 8, 7, 6, 5, 4, 3] }];
  assertEquals(entry, { retried: 0, left });
  assertEquals((await cli(db, "cancel", "--queue", "orders", "--yes"))[0], 0);
  assertEquals((await cli(db, "cancel", "--queue", "orders", "--yes"))[0], 7);
});

Deno.test("reschedule moves tasks, and needs something to change", async () => {
  await using db = await testDatabase();
  await insertTask(db, { queue: "mail" });
  await insertTask(db, { queue: "mail", not_before: later() });

  assertEquals(await cli(db, "reschedule", "--queue", "mail", "--to-queue", "bulk", "--priority", "-5", "--yes"), [
    0,
    [{ rescheduled: 2 }],
    "",
  ]);
  assertEquals(await cli(db, "reschedule", "1", "--delay", "2h"), [0, [{ rescheduled: 1 }], ""]);
  const rows = await db.sql`SELECT queue, priority FROM firefly.waiting ORDER BY id`;
  assertEquals([...rows], Array(2).fill({ queue: "bulk", priority: -5 }));

  for (
    const [args, says] of [
      [["1"], "it needs --delay, --not-before, --to-queue or --priority"],
      [["1", "--delay", "1h", "--not-before", "2030-01-01T00:00Z"], "--delay and --not-before exclude each other"],
      [["1", "--to-queue", "Mail"], "a queue's name must be lower-case"],
      [["--priority", "3"], "it needs ids, a filter such as --status failed, or --all"],
    ] as const
  ) {
    const [code, , stderr] = await cli(db, "reschedule", ...args);
    assertEquals(code, 2);
    assertStringIncludes(stderr, says);
  }
});

Deno.test("commands on tasks and queues name what exists nowhere, suggest what does, and exit with 4", async () => {
  await using db = await testDatabase();
  await insertTask(db, { func_name: "mail.send", queue: "mail" });
  const name = 'There is no task named "mail.sned", did you mean "mail.send"?';
  const queue = 'There is no queue "mial", did you mean "mail"?';

  for (const command of ["retry", "cancel", "run", "delete"]) {
    const [code, , stderr] = await cli(db, command, "--name", "mail.sned", "--queue", "mial");
    assertEquals([command, code], [command, 4]);
    assertStringIncludes(stderr, name);
    assertStringIncludes(stderr, queue);
  }
  const [resumed, , stderr] = await cli(db, "resume", "mial");
  assertEquals(resumed, 4);
  assertStringIncludes(stderr, queue);
  assertEquals((await cli(db, "pause", "mail"))[0], 0);
  assertEquals((await cli(db, "pause", "mial"))[0], 4);
});
