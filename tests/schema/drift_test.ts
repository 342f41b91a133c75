import { assert, assertEquals } from "@std/assert";
import { driftOf, indexStatement, originOf } from "../../src/schema/drift.ts";
import { SCHEMA_PARTS } from "../../src/schema/expected.ts";

const EXPECTED = SCHEMA_PARTS.trim().split("\n");

Deno.test("driftOf() finds parts that are missing or different, and ignores parts of the user's own", () => {
  const expected = "table a: table\ncolumn a.i: integer\nfunction f(text): text 0123";

  const drifts = driftOf(["table a: table", "column a.i: bigint", "table mine: table"], expected);

  assertEquals(drifts, [
    { name: "column a.i", missing: false, expected: "integer", found: "bigint" },
    { name: "function f(text)", missing: true, expected: "text 0123", found: undefined },
  ]);
});

const origins: Record<string, string> = {
  "table task": "0003_tables.sql",
  "table result_waiter": "0003_tables.sql",
  "table task_record": "0004_views.sql",
  "table task_reason": "0011_explain_parts.sql",
  "column task.queue": "0003_tables.sql",
  "column cron_record.state": "0004_views.sql",
  "column _limit_queue.place": "0007_limits.sql",
  "domain delay_seconds": "0003_tables.sql",
  "index ready.ready_order": "0003_tables.sql",
  "index retention.retention_pkey": "0003_tables.sql",
  "trigger task.place_inserted": "0005_placing.sql",
  "trigger task.release": "0006_keys_and_slots.sql",
  "function _notify(text)": "0005_placing.sql",
  "function _release()": "0006_keys_and_slots.sql",
  "function explain(bigint)": "0012_explain.sql",
};

for (const [name, origin] of Object.entries(origins)) {
  Deno.test(`originOf() names ${origin} as the migration that makes ${name}`, () => {
    assert(EXPECTED.some((line) => line.startsWith(`${name}: `)), `The schema has no ${name}`);
    assertEquals(originOf({ name }), origin);
  });
}

Deno.test("originOf() knows every part but the migrator's own table", () => {
  const unknown = EXPECTED.filter((line) => originOf({ name: line.split(": ")[0]! }) === undefined);

  assertEquals(unknown.filter((line) => !/^\w+ migration\b/.test(line)), []);
});

Deno.test("indexStatement() builds every index but those of keys, and does not lock its table", () => {
  const names = EXPECTED.flatMap((line) => /^index \w+\.(\w+)/.exec(line)?.[1] ?? []);

  const missing = names.filter((name) => !indexStatement(name, "firefly"));

  assertEquals(missing.filter((name) => !name.endsWith("_pkey")), []);
  assertEquals(
    indexStatement("ready_quarantined", "jobs"),
    'CREATE INDEX CONCURRENTLY ready_quarantined ON "jobs".ready (queue, priority DESC, not_before, id) WHERE quarantined',
  );
});
