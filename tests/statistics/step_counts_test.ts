import { assertEquals } from "@std/assert";
import { StepCounts } from "../../src/statistics/step_counts.ts";

Deno.test("StepCounts tells apart the first hundred names of steps with their tasks, and counts what comes later as other", () => {
  const counts = new StepCounts();
  for (let i = 0; i < 150; i++) {
    counts.count({ funcName: `f${i % 2}`, step: `customer ${i}`, kind: "step", outcome: "completed", ms: 2 });
  }
  counts.count({ funcName: "f0", step: "customer 0", kind: "step", outcome: "failed", ms: 3 });
  counts.count({ funcName: "f0", step: "customer 0", kind: "sleep", outcome: "completed", ms: 9 });
  counts.count({ funcName: "f7", step: "other", kind: "step", outcome: "retried", ms: 1 });

  const entries = [...counts.entries()];

  assertEquals(entries.length, 101);
  const find = (funcName: string, step: string) =>
    entries.find((each) => each.funcName === funcName && each.step === step && each.kind !== "sleep")!;
  const { completed, failed, ran, run } = find("f0", "customer 0");
  assertEquals([completed, failed, ran, run.reduce((sum, n) => sum + n, 0)], [1, 1, 5, 2]);
  const other = find("other", "other");
  assertEquals([other.completed, other.retried, other.kind], [51, 1, "other"]);
});

Deno.test("StepCounts.add() sums up what several have counted", () => {
  const [one, two, sum] = [new StepCounts(), new StepCounts(), new StepCounts(Infinity)];
  one.count({ funcName: "f", step: "a", kind: "step", outcome: "completed", ms: 2 });
  two.count({ funcName: "f", step: "a", kind: "step", outcome: "lost", ms: 200 });
  two.count({ funcName: "g", step: "a", kind: "step", outcome: "failed", ms: 20 });
  for (const counts of [one, two]) for (const totals of counts.entries()) sum.add(totals);

  const found = Array.from(sum.entries(), ({ funcName, completed, failed, lost, ran }) => [
    funcName,
    completed,
    failed,
    lost,
    ran,
  ]);

  assertEquals(found, [["f", 1, 0, 1, 202], ["g", 0, 1, 0, 20]]);
});
