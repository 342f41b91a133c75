import { assertEquals } from "@std/assert";
import { sendSignal } from "../../src/store/signals.ts";
import { suspendTasks } from "../../src/store/suspend.ts";
import { claimMany } from "../support/claiming.ts";
import { testDatabase } from "../support/database.ts";
import { updatesOf } from "../support/statements.ts";
import { suspension } from "../support/suspended.ts";

Deno.test("waits add no trigger, no condition and no index to what plain tasks pay for", async () => {
  await using db = await testDatabase();
  const triggers = await db.sql`
    SELECT tgname AS name, pg_get_triggerdef(oid) AS text
    FROM pg_trigger WHERE tgrelid = 'firefly.task'::regclass AND NOT tgisinternal ORDER BY tgname
  `;
  const conditions = triggers.map(({ name, text }) => [name, /WHEN \((.*)\) EXECUTE/.exec(text)?.[1] ?? null]);
  assertEquals(conditions.filter(([name]) => !`${name}`.startsWith("forget") && name !== "release_all"), [
    ["place_inserted", "(current_setting('firefly.placed'::text, true) IS DISTINCT FROM 'on'::text)"],
    [
      "release",
      "((new.unique_key IS NOT NULL) OR (new.concurrency_key IS NOT NULL) OR (new.rate_key IS NOT NULL) OR " +
      "new.dependants OR (new.claim_seq = old.claim_seq))",
    ],
    [
      "release_deleted",
      "((old.unique_key IS NOT NULL) OR (old.concurrency_key IS NOT NULL) OR (old.rate_key IS NOT NULL))",
    ],
  ]);
  const indexes = await db.sql`
    SELECT tablename, array_agg(indexname::text ORDER BY indexname) AS names
    FROM pg_indexes WHERE schemaname = 'firefly' AND tablename IN ('task', 'ready', 'waiting') GROUP BY 1 ORDER BY 1
  `;
  assertEquals(Object.fromEntries(indexes.map(({ tablename, names }) => [tablename, names])), {
    ready: ["ready_order", "ready_quarantined"],
    task: ["task_pkey"],
    waiting: [
      "waiting_admit_at",
      "waiting_both",
      "waiting_concurrency",
      "waiting_due",
      "waiting_id",
      "waiting_rate",
      "waiting_unknown",
    ],
  });
});

Deno.test("suspendTasks() and sendSignal() update records in place", async () => {
  await using db = await testDatabase();
  const tasks = await claimMany(db, 10);
  const suspended = await updatesOf(
    db,
    (sql) => suspendTasks(sql, tasks.map((task) => suspension(task, [{ kind: "signal", name: "s", due: 60 }]))),
  );
  assertEquals(suspended, { updated: 10, hot: 10 });
  assertEquals(await updatesOf(db, (sql) => sendSignal(sql, tasks[0]!.id, "s", null)), { updated: 1, hot: 1 });
});
