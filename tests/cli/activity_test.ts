import { assertEquals } from "@std/assert";
import { queueTable } from "../../src/cli/activity.ts";
import { renderTop } from "../../src/cli/top_page.ts";
import type { Terminal } from "../../src/cli/terminal.ts";
import { sampleQueues } from "../../src/store/statistics.ts";
import { readQueueActivity } from "../../src/store/activity.ts";
import { claimMany } from "../support/claiming.ts";
import { testDatabase } from "../support/database.ts";
import { insertTask } from "../support/records.ts";
import { suspend } from "../support/suspended.ts";

Deno.test("stats and top have a column of suspended tasks if there are some", async () => {
  await using db = await testDatabase();
  await insertTask(db, { queue: "mail", not_before: new Date(Date.now() + 3_600_000) });
  const [sleeper, waiter] = await claimMany(db, 2);
  const sample = async () => {
    await db.sql`UPDATE firefly.retention SET sampled = '-infinity'`;
    await sampleQueues(db.store);
    return await readQueueActivity(db.store, { seconds: 3600 });
  };
  const before = await sample();
  assertEquals(queueTable(before, 3600).header.includes("suspended"), false);
  await suspend(db.store, sleeper!, { name: "nap", due: 3600 });
  await suspend(db.store, waiter!, { kind: "signal", name: "approved" });

  const queues = await sample();

  assertEquals(queues.map(({ queue, waiting, suspended }) => [queue, waiting, suspended]), [
    ["default", 2, 2],
    ["mail", 1, 0],
  ]);
  const { header, rows } = queueTable(queues, 3600);
  assertEquals(rows.map((row) => row[header.indexOf("suspended")]), ["2", "0"]);
  const snapshot = { database: "d", seconds: 60, queues, consumers: [], errors: [] };
  const terminal = { width: 120, height: 40, style: (_: string, text: string) => text } as unknown as Terminal;
  const [, , top] = renderTop(snapshot, terminal);
  assertEquals(top!.trim().split(/ {2,}/), [
    "QUEUE",
    "DUE",
    "WAITING",
    "SUSPENDED",
    "OLDEST",
    "PER S",
    "FAILED",
    "RETRIED",
  ]);
});
