import { assertEquals, assertThrows } from "@std/assert";
import { checkQueues, toQueueSettings } from "../../src/task/queue_options.ts";

const [ACTION, SCHEMA] = ["make an instance", "firefly"];

Deno.test("toQueueSettings() leaves out queues without any option", () => {
  const unsaid = { completed: null, failed: null };

  assertEquals(toQueueSettings({ mail: { retention: 60 }, web: {}, audit: { notify: "always" } }), [
    { name: "mail", retention: { completed: 60, failed: 60 }, notify: null },
    { name: "audit", retention: unsaid, notify: "always" },
  ]);
  assertEquals(toQueueSettings(undefined), []);
});

Deno.test("checkQueues() refuses names whose channel would be too long", () => {
  assertThrows(() => checkQueues({ ["q".repeat(60)]: {} }, ACTION, SCHEMA), RangeError, "68 bytes");
});

Deno.test("checkQueues() refuses options that do not exist, and values that are none", () => {
  const notify = (value: unknown) => checkQueues({ mail: { notify: value as "always" } }, ACTION, SCHEMA);

  for (const known of ["asleep", "always", undefined]) notify(known);
  assertThrows(() => notify("never"), RangeError, '"notify" must be "asleep" or "always": current value is "never"');
  assertThrows(() => checkQueues({ mail: { notfy: "always" } as object }, ACTION, SCHEMA), TypeError, "notify");
});
