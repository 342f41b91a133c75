import { assert, assertEquals, assertGreater } from "@std/assert";
import { explore, type Removed } from "./wake_lock_model.ts";

for (const concurrency of [1, 2]) {
  Deno.test(`the wake lock loses no wake-up in any order of two inserters and two consumers of ${concurrency} at a time`, () => {
    const { states, lost } = explore({ concurrency });

    assertEquals(lost, undefined);
    assertGreater(states, 100_000, "the model is smaller than it was");
  });
}

const PROTECTIONS: readonly Removed[] = [
  "the look while holding the lock",
  "the shared lock until the commit",
  "the retries without the lock",
  "the notification while the lock is held",
];
for (const removed of PROTECTIONS) {
  Deno.test(`the wake lock loses wake-ups without ${removed}`, () => {
    assert(explore({ concurrency: 2, removed }).lost, "the model has not noticed");
  });
}
