import { assertEquals, assertStringIncludes } from "@std/assert";
import type { Reason } from "../../mod.ts";
import { renderExplanation } from "../../src/cli/explain.ts";
import { formatTime } from "../../src/times.ts";
import { startConsumer } from "../support/claiming.ts";
import { insertTask } from "../support/records.ts";
import { testDatabase } from "../support/database.ts";
import { jsonLines, testProject } from "../support/project.ts";

Deno.test("explain prints the reasons as JSON, in snake_case", async () => {
  await using db = await testDatabase();
  const id = await insertTask(db, { not_before: new Date("2100-01-01T00:00:00Z"), queue: "mail" });
  await db.sql`SELECT firefly.pause('mail')`;
  await startConsumer(db, { queues: ["mail"], tasks: ["test.tasks"] });
  await using project = await testProject({ database: db.url });

  const { code, stdout, stderr } = await project.run("explain", String(id), "--json");

  const [{ reasons, ...rest }] = jsonLines(stdout);
  assertEquals([code, stderr], [0, ""]);
  assertEquals(rest, { id, status: "created", summary: 'Its queue "mail" is paused' });
  const data = reasons.map(({ message: _, ...data }: Record<string, unknown>) => data);
  assertEquals(data, [
    { reason: "paused", queue: "mail" },
    { reason: "not_due", until: "2100-01-01T00:00:00.000Z", retry: false, error: null },
    { reason: "unknown_name", queue: "mail", func_name: "test.task", near: ["test.tasks"], elsewhere: [] },
  ]);
});

Deno.test("explain exits with 4 when there is no such task, and with 2 without exactly one id", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });

  const missing = await project.run("explain", "99");
  const none = await project.run("explain");
  const several = await project.run("explain", "1,2");

  assertEquals(missing, { code: 4, stdout: "", stderr: "error: Cannot find task 99\n" });
  assertEquals([none.code, several.code], [2, 2]);
  assertStringIncludes(none.stderr, "it takes exactly one id, or --queue");
  assertStringIncludes(several.stderr, "it takes exactly one id, or --queue");
});

Deno.test("explain --queue explains the task that consumers take next from it", async () => {
  await using db = await testDatabase();
  const later = await insertTask(db, { not_before: new Date("2100-01-01T00:00:00Z"), queue: "mail" });
  await using project = await testProject({ database: db.url });
  const waiting = await project.run("explain", "--queue", "mail", "--json");
  await insertTask(db, { queue: "mail" });
  const urgent = await insertTask(db, { queue: "mail", priority: 5 });
  const due = await project.run("explain", "-q", "mail", "--table");

  assertEquals(jsonLines(waiting.stdout)[0].id, later);
  assertEquals(due.stdout.split("\n")[0], `Task ${urgent}  created`);
  assertStringIncludes(due.stdout, "firefly consume --queue mail");
});

Deno.test("explain --queue tells an empty queue from one that does not exist", async () => {
  await using db = await testDatabase();
  const id = await insertTask(db, { queue: "mail" });
  await db.sql`SELECT firefly.cancel(${id})`;
  await using project = await testProject({ database: db.url });

  const empty = await project.run("explain", "--queue", "mail");
  const missing = await project.run("explain", "--queue", "mial");
  const both = await project.run("explain", "12", "--queue", "mail");

  assertEquals([empty.code, empty.stdout, empty.stderr], [
    0,
    "",
    'No task of queue "mail" waits: see firefly queues\n',
  ]);
  assertEquals([missing.code, missing.stderr], [4, 'error: There is no queue "mial", did you mean "mail"?\n']);
  assertEquals([both.code, both.stdout], [2, ""]);
});

/** What is shown of a task with these reasons, without the heading. */
function shownOf(...reasons: Reason[]): string {
  const explanation = { id: 12, status: "created", summary: reasons[0]!.message, reasons } as const;
  const lines = renderExplanation(explanation, { width: 100, style: (_, text) => text }).split("\n");
  assertEquals(lines.slice(0, 2), ["Task 12  created", ""]);
  return lines.slice(2).join("\n");
}

const HOUR = 3600_000;
const message = "It is so";
const line = { ahead: 3, more: false };
const soon = new Date(Date.now() + HOUR + 30_000);
const ago = new Date(Date.now() - HOUR - 30_000);
const IN = `${formatTime(soon)}, in 1h`;
const AGO = `${formatTime(ago)}, 1h ago`;
const holders = [7, 8].map((taskId) => ({ taskId, since: ago, consumer: null, host: null, pid: null }));
const held = { attempt: 1, since: ago, consumer: "c", host: "h", pid: 1, leaseUntil: soon };

const shown: Record<string, [reason: Reason, lines: string[]]> = {
  "a completed task": [{ reason: "ended", message, status: "completed", at: ago, error: null }, [AGO]],
  "a failed task": [
    { reason: "ended", message, status: "failed", at: ago, error: null },
    [AGO, "Schedule it again: firefly retry 12"],
  ],
  "an end by hand": [
    { reason: "ended", message, status: "cancelled", at: null, error: null },
    ["Schedule it again: firefly retry 12"],
  ],
  "a duplicate": [{ reason: "unique", message, key: "k", taskId: 7, until: null }, [
    "See its duplicate: firefly show 7",
  ]],
  "a running task": [{ reason: "running", message, ...held }, [AGO]],
  "an orphan": [{ reason: "orphaned", message, ...held }, [AGO]],
  "a paused queue": [{ reason: "paused", message, queue: "mail" }, ["Resume the queue: firefly resume mail"]],
  "a time to come": [{ reason: "not_due", message, until: soon, retry: false, error: null }, [
    IN,
    "Run it now: firefly run 12",
  ]],
  "a time that never comes": [
    { reason: "not_due", message, until: new Date(NaN), retry: false, error: null },
    ["Run it now: firefly run 12"],
  ],
  "no consumer": [
    { reason: "no_consumer", message, queue: "mail", served: [], elsewhere: [] },
    ["Start a consumer: firefly consume --queue mail"],
  ],
  "a queue that nobody serves, for a name that others know": [
    { reason: "no_consumer", message, queue: "default", served: ["mail"], elsewhere: ["mail"] },
    [
      "Start a consumer: firefly consume --queue default",
      "Or move it to a queue whose consumers know it: firefly reschedule 12 --to-queue mail",
    ],
  ],
  "an unknown name": [
    { reason: "unknown_name", message, queue: "mail", funcName: "a", near: [], elsewhere: [] },
    [
      "Start a consumer whose modules define it: firefly consume --queue mail",
      "If the task was renamed, add its old name to `aliases` in its definition",
    ],
  ],
  "an unplaced task": [{ reason: "unplaced", message }, []],
  "a concurrency key": [
    { reason: "concurrency", message, key: "k", limit: 2, taken: 2, holders, ...line },
    ["See a task that holds a slot: firefly show 7", "See a task that holds a slot: firefly show 8"],
  ],
  "a rate key": [{ reason: "rate", message, key: "k", limit: 2, per: 60, taken: 2, until: soon, ...line }, [IN]],
  "a quarantined task": [{ reason: "quarantined", message, rescues: 1, crashes: 0 }, []],
  "an order": [
    { reason: "behind", message, queue: "mail", ...line },
    ["If this takes too long, start another consumer, or raise --concurrency"],
  ],
  "busy consumers": [
    { reason: "busy", message, consumers: 1, running: 10, concurrency: 10 },
    ["If this takes too long, start another consumer, or raise --concurrency"],
  ],
  "nothing": [{ reason: "due", message, since: ago }, [AGO]],
};

for (const [what, [reason, lines]] of Object.entries(shown)) {
  Deno.test(`explain shows what to do about ${what}`, () => {
    assertEquals(shownOf(reason), [message, ...lines.map((line) => `  ${line}`)].join("\n"));
  });
}

Deno.test("explain does not advise to retry a task whose duplicate forbids it", () => {
  const text = shownOf(
    { reason: "ended", message: "It failed", status: "failed", at: null, error: null },
    { reason: "unique", message, key: "k", taskId: 7, until: null },
  );

  assertEquals(text, `It failed\n\n${message}\n  See its duplicate: firefly show 7`);
});

Deno.test("explain escapes control characters in reasons", () => {
  const text = shownOf({ reason: "behind", message: "behind \x1b[31mred\n", queue: "mail", ...line });

  assertEquals(text.split("\n")[0], "behind \\x1b[31mred\\n");
});
