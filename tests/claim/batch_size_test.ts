import { assertEquals } from "@std/assert";
import { BatchSize, MAX_BATCH } from "../../src/claim/batch_size.ts";

/** A batch size with a clock, and a claim of as many tasks as it says, `ms` after the last one. */
function testBatchSize(concurrency: number) {
  let now = 0;
  const batch = new BatchSize(concurrency, () => now);
  return {
    batch,
    claimAfter(ms: number, { claimed = batch.size, limit = batch.size } = {}): number {
      now += ms;
      batch.adapt(claimed, limit);
      return batch.size;
    },
  };
}

Deno.test("BatchSize begins with as many tasks as may run at a time", () => {
  assertEquals(testBatchSize(10).batch.size, 10);
});

Deno.test("BatchSize doubles when a full batch is used up in less than 50 ms", () => {
  const { claimAfter } = testBatchSize(10);

  assertEquals([claimAfter(49), claimAfter(0), claimAfter(49)], [20, 40, 80]);
});

Deno.test("BatchSize stays when a full batch lasts from 50 to 250 ms", () => {
  const { claimAfter } = testBatchSize(10);
  claimAfter(1);

  assertEquals([claimAfter(50), claimAfter(250)], [20, 20]);
});

Deno.test("BatchSize does not grow when a claim brought fewer tasks than it asked for", () => {
  const { claimAfter } = testBatchSize(10);

  assertEquals(claimAfter(1, { claimed: 9, limit: 10 }), 10);
});

Deno.test("BatchSize halves when a batch lasts for more than 250 ms, down to what may run at a time", () => {
  const { claimAfter } = testBatchSize(10);
  for (let i = 0; i < 3; i++) claimAfter(1);

  assertEquals([claimAfter(251), claimAfter(251, { claimed: 1 }), claimAfter(9_999), claimAfter(251)], [
    40,
    20,
    10,
    10,
  ]);
});

Deno.test("BatchSize grows up to 1,000 tasks, or to what may run at a time if that is more", () => {
  const [few, many] = [testBatchSize(300), testBatchSize(1_500)];

  assertEquals([few.claimAfter(1), few.claimAfter(1), few.claimAfter(1)], [600, MAX_BATCH, MAX_BATCH]);
  assertEquals([many.claimAfter(1), many.claimAfter(1)], [1_500, 1_500]);
});

Deno.test("BatchSize.reset() goes back to what may run at a time, and the size can grow again", () => {
  const { batch, claimAfter } = testBatchSize(10);
  for (let i = 0; i < 3; i++) claimAfter(1);

  batch.reset();

  assertEquals([batch.size, claimAfter(1)], [10, 20]);
});
