import { assert } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { coarseNow } from "../../src/attempt/clock.ts";

/** Reads the clock for so many milliseconds. */
function read(milliseconds = 20): { reads: number; times: Set<number> } {
  const times = new Set<number>();
  const end = performance.now() + milliseconds;
  let reads = 0;
  for (; performance.now() < end; reads++) {
    const [before, now, after] = [performance.now(), coarseNow(), performance.now()];
    assert(now > before - 2 && now <= after, `${now} is not between ${before} and ${after}`);
    times.add(now);
  }
  return { reads, times };
}

Deno.test("coarseNow() is no more than a millisecond behind, and the same for all that starts within one", () => {
  const { reads, times } = read();

  assert(times.size <= 22 && times.size < reads, `${times.size} times in ${reads} reads`);
});

Deno.test("coarseNow() goes on while a test has stopped the clock", () => {
  using _ = new FakeTime();

  // Long, as a busy machine may run this for a part of it only.
  const { times } = read(200);

  assert(times.size > 5, `${times.size} times`);
});
