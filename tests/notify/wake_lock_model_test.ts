import { assert, assertEquals, assertGreater } from "@std/assert";
import { explore, type Removed } from "./wake_lock_model.ts";

for (const concurrency of [1, 2]) {
  Deno.test(`the wakeLock loses no wake-up in any order of two inserters and two consumers of ${concurrency} at a time`, () => {
    const { states, lost } = explore({ concurrency });

    assertEquals(lost, undefined);
    assertGreater(states, 100_000, "the model is smaller than it was");
  });
}

const PROTECTIONS: readonly Removed[] = [
  "the look with the door in hand",
  "the lock until the commit",
  "the retries without the door",
  "the notification where the door is held",
];
for (const removed of PROTECTIONS) {
  Deno.test(`the wakeLock loses wake-ups without ${removed}`, () => {
    assert(explore({ concurrency: 2, removed }).lost, "the model has not noticed");
  });
}
