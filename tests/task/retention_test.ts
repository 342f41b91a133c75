import { assertEquals } from "@std/assert";
import type { Retention } from "../../mod.ts";
import { type RetentionSeconds, toRetentionSeconds } from "../../src/task/retention.ts";

const cases: [Retention | undefined, RetentionSeconds][] = [
  [undefined, { completed: null, failed: null }],
  ["7d", { completed: 604_800, failed: 604_800 }],
  [0, { completed: 0, failed: 0 }],
  [Infinity, { completed: Infinity, failed: Infinity }],
  [{ completed: "1h" }, { completed: 3600, failed: null }],
  [{ failed: Infinity, completed: 0.5 }, { completed: 0.5, failed: Infinity }],
  [{}, { completed: null, failed: null }],
];

for (const [retention, seconds] of cases) {
  Deno.test(`toRetentionSeconds() reads ${Deno.inspect(retention)}`, () => {
    assertEquals(toRetentionSeconds(retention), seconds);
  });
}
