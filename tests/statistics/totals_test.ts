import { assertEquals } from "@std/assert";
import { addDuration, type Histogram } from "../../src/statistics/histogram.ts";
import { toSample } from "../../src/metrics/samples.ts";
import { type CountedAttempt, Statistics } from "../../src/statistics/statistics.ts";
import type { ClaimedRun } from "../../src/store/claimed_task.ts";
import { testDatabase } from "../support/database.ts";

function attemptOf(ran: number): CountedAttempt {
  return { task: { run: { queue: "mail", funcName: "f", due: 100 } as ClaimedRun }, began: 103, ran };
}

Deno.test("Statistics.totals has all attempts since the start, written or not", async () => {
  await using db = await testDatabase();
  const statistics = new Statistics(db.store);
  function totals() {
    const [{ counts } = { counts: undefined }] = [...statistics.totals.entries()];
    const { completed, cancelled, lost, waited, ran, run } = counts!;
    return { completed, cancelled, lost, waited, ran, runs: run.reduce((sum, n) => sum + n, 0) };
  }
  for (let i = 0; i < 3; i++) statistics.count(attemptOf(20), "completed");
  assertEquals(totals(), { completed: 3, cancelled: 0, lost: 0, waited: 9, ran: 60, runs: 3 });

  await db.sql`ALTER TABLE firefly.queue_minute RENAME TO away`;
  await statistics.write().catch(() => {});
  assertEquals(totals().completed, 3);
  await db.sql`ALTER TABLE firefly.away RENAME TO queue_minute`;
  statistics.count(attemptOf(20), "completed");
  await statistics.write();
  for (const outcome of ["completed", "cancelled", "lost", "lost"] as const) statistics.count(attemptOf(20), outcome);

  assertEquals(totals(), { completed: 5, cancelled: 1, lost: 2, waited: 15, ran: 100, runs: 5 });
});

Deno.test("toSample() counts for each bound what does not reach it", () => {
  const histogram: Histogram = [];
  for (const ms of [0.5, 0.9, 1.1, 3.1, 3.2, 9.9, 10.1, 99]) addDuration(histogram, ms, 1);

  const { bounds, counts, sum, count } = toSample(histogram, 1500);

  assertEquals(bounds.slice(0, 6), [0.001, 0.00316, 0.01, 0.0316, 0.1, 0.316]);
  assertEquals(counts.slice(0, 6), [2, 4, 6, 7, 8, 8]);
  assertEquals([bounds.at(-1), counts.at(-1), sum, count], [316000, 8, 1.5, 8]);
});
