import { assertEquals, assertRejects } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { Progress, type ProgressReport } from "../../src/attempt/progress.ts";

function bench(store = (_report: ProgressReport): Promise<unknown> => Promise.resolve()) {
  const stored: number[] = [];
  const errors: unknown[] = [];
  const progress = new Progress((report) => {
    stored.push(report.value);
    return store(report);
  }, (error) => errors.push(error));
  return {
    stored,
    errors,
    report: (value: number) => progress.report({ value, note: null }),
    end: () => progress.end(),
  };
}

Deno.test("report() stores the first at once, and of what follows the last one at the end of the interval", async () => {
  using time = new FakeTime();
  const { stored, report, end } = bench();

  for (const value of [0.1, 0.2, 0.3]) await report(value);
  assertEquals(stored, [0.1]);
  await time.tickAsync(499);
  assertEquals(stored, [0.1]);
  await time.tickAsync(1);
  await time.tickAsync(0);
  assertEquals(stored, [0.1, 0.3]);
  await time.tickAsync(5000);
  assertEquals(stored, [0.1, 0.3], "once");
  await report(0.4);
  assertEquals(stored, [0.1, 0.3, 0.4]);
  end();
});

Deno.test("report() of the end is stored at once, and what waited is forgotten", async () => {
  using time = new FakeTime();
  const { stored, report, end } = bench();

  for (const value of [0.1, 0.2, 1]) await report(value);
  await time.tickAsync(5000);

  assertEquals(stored, [0.1, 1]);
  end();
});

Deno.test("end() leaves no timer, and stores nothing any more", async () => {
  using time = new FakeTime();
  const { stored, report, end } = bench();
  for (const value of [0.1, 0.2]) await report(value);

  end();
  await report(0.3);
  await time.tickAsync(5000);

  assertEquals(stored, [0.1]);
});

Deno.test("report() stores one after another, however slow the database is", async () => {
  const gates: (() => void)[] = [];
  const { stored, report, end } = bench(() => new Promise<void>((resolve) => gates.push(resolve)));

  const first = report(0.1);
  const last = report(1);
  await Promise.resolve();
  assertEquals(stored, [0.1]);
  gates[0]!();
  await first;
  await new Promise((resolve) => setTimeout(resolve, 0));
  assertEquals(stored, [0.1, 1]);
  gates[1]!();
  await last;
  end();
});

Deno.test("report() that cannot be stored rejects if it is awaited, else it is reported to onError", async () => {
  using time = new FakeTime();
  const { errors, report, end } = bench(() => Promise.reject(new Error("no database")));

  await assertRejects(() => report(0.1), Error, "no database");
  await report(0.2);
  await time.tickAsync(500);
  await time.tickAsync(0);
  await time.tickAsync(0);

  assertEquals(errors.map((error) => (error as Error).message), ["no database"]);
  end();
});
