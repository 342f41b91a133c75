import { assertEquals, assertObjectMatch } from "@std/assert";
import { readResults, releaseTasks } from "../../src/store/dependencies.ts";
import { deleteTasks, retryTasks } from "../../src/store/bulk.ts";
import { pruneTasks } from "../../src/store/prune.ts";
import { testDatabase } from "../support/database.ts";
import { end, leftOver, releaseAll, scheduleGraph, statesOf } from "../support/dependencies.ts";
import { recordOf } from "../support/records.ts";

const NOTHING = { ended: 0, open: 0, pending: 0 };

Deno.test("a failed dependency cancels what depends on it, and names the root", async () => {
  await using db = await testDatabase();
  const ids = await scheduleGraph(db.store, [[], [{ ref: 0 }], [{ ref: 1 }], [{ ref: 2, settled: true }]]);
  const [root, child, grandchild, settled] = ids;
  await end(db.sql, [root!], "failed");

  assertEquals(await releaseTasks(db.store, [root!]), { released: 0, cancelled: 1, again: true });
  assertEquals(await releaseAll(db.store), { released: 1, cancelled: 1 });

  assertEquals(await statesOf(db, ids), ["failed", "cancelled", "cancelled", "ready"]);
  const { errors: [of1] } = await recordOf(db, child!) as { errors: Record<string, unknown>[] };
  assertObjectMatch(of1!, { name: "DependencyFailed", dependency: root, root, attempt: 1 });
  assertEquals(of1!.message, `Cannot run this task as task ${root} "test.task", which it depends on, failed`);
  const { errors: [of2] } = await recordOf(db, grandchild!) as { errors: Record<string, unknown>[] };
  assertObjectMatch(of2!, { name: "DependencyFailed", dependency: child, root });
  assertEquals(
    of2!.message,
    `Cannot run this task as task ${child} "test.task", which it depends on, was cancelled, since task ${root} did not complete`,
  );
  assertEquals((await readResults(db.store, [{ id: settled!, count: 1 }]))[0]!.error?.name, "DependencyFailed");
  assertEquals(await leftOver(db), NOTHING);
});

Deno.test("retry() revives them, and no others", async () => {
  await using db = await testDatabase();
  //   a   b       d is cancelled for want of a alone; e for want of a and b; f by hand
  const [a, b] = await scheduleGraph(db.store, [[], []]);
  const [d, e, f, g] = await scheduleGraph(db.store, [
    [{ id: a! }],
    [{ id: a! }, { id: b! }],
    [{ id: a! }],
    [{ ref: 0 }, { id: b!, settled: true }],
  ]);
  await db.sql`SELECT firefly.cancel(${f!})`;
  await end(db.sql, [a!, b!], "failed");
  await releaseAll(db.store);
  assertEquals(await statesOf(db, [a!, b!, d!, e!, f!, g!]), [
    "failed",
    "failed",
    "cancelled",
    "cancelled",
    "cancelled",
    "cancelled",
  ]);
  // A dependant is not retried before its dependency is.
  const [refused] = await db.sql`SELECT firefly.retry(${d!}) AS done`;
  assertEquals(refused!.done, false);
  assertEquals((await retryTasks(db.store, [{ id: d!, claimSeq: null }])).left, [{ id: d!, reason: "dependencies" }]);

  // All in one statement: d is revived by a, and counts as done.
  const { done, left, changed } = await retryTasks(db.store, [a!, d!, e!].map((id) => ({ id, claimSeq: null })));

  assertEquals([done, changed, left], [2, [], [{ id: e!, reason: "dependencies" }]]);
  assertEquals(await statesOf(db, [a!, b!, d!, e!, f!, g!]), [
    "ready",
    "failed",
    "dependent",
    "cancelled",
    "cancelled",
    "dependent",
  ]);
  await db.sql`SELECT firefly.retry(${b!})`;
  assertEquals(await statesOf(db, [b!, e!, f!]), ["ready", "dependent", "cancelled"]);
  await end(db.sql, [a!, b!]);
  assertEquals(await releaseAll(db.store), { released: 2, cancelled: 0 });
  assertEquals(await statesOf(db, [d!, e!, g!]), ["ready", "ready", "dependent"]);
  await end(db.sql, [d!, e!]);
  assertEquals(await releaseAll(db.store), { released: 1, cancelled: 0 });
  assertEquals(await leftOver(db), NOTHING);
});

Deno.test("retry() revives a chain of 3,000", async () => {
  await using db = await testDatabase();
  const ids = await scheduleGraph(db.store, Array.from({ length: 3_000 }, (_, i) => i === 0 ? [] : [{ ref: i - 1 }]));
  await end(db.sql, [ids[0]!], "failed");
  assertEquals(await releaseAll(db.store), { released: 0, cancelled: 2_999 });

  await db.sql`SELECT firefly.retry(${ids[0]!})`;

  const [row] = await db
    .sql`SELECT count(*)::int AS n FROM firefly.waiting WHERE reason = 'dependencies' AND pending = 1`;
  assertEquals(row!.n, 2_999);
});

Deno.test("a dependency is not pruned before its dependants have ended", async () => {
  await using db = await testDatabase();
  const [a, b, c] = await scheduleGraph(db.store, [[], [], [{ ref: 0 }, { ref: 1 }]]);
  await end(db.sql, [a!]);
  await releaseAll(db.store);
  await db.sql`UPDATE firefly.task SET completed = now() - interval '8 days' WHERE status = 'completed'`;

  assertEquals((await pruneTasks(db.store, { after: 0 })).pruned, 0);

  await end(db.sql, [b!]);
  await releaseAll(db.store);
  await end(db.sql, [c!]);
  assertEquals((await pruneTasks(db.store, { after: 0 })).pruned, 1);
  assertEquals(await statesOf(db, [a!, b!, c!]), ["gone", "completed", "completed"]);
  await db.sql`UPDATE firefly.task SET completed = now() - interval '8 days'`;
  assertEquals((await pruneTasks(db.store, { after: 0 })).pruned, 2);
  const [row] = await db.sql`SELECT count(*)::int AS n FROM firefly.dependency`;
  assertEquals([row!.n, await leftOver(db)], [0, NOTHING]);
});

Deno.test("deleting a dependency cancels its dependants, and deleting a dependant leaves nothing of it", async () => {
  await using db = await testDatabase();
  const [a, b] = await scheduleGraph(db.store, [[], []]);
  const [waits, settled, half] = await scheduleGraph(db.store, [
    [{ id: a! }],
    [{ id: a!, settled: true }],
    [{ id: a! }, { id: b! }],
  ]);
  await end(db.sql, [b!]);
  await releaseAll(db.store);

  // Of b, which has completed, the result is still to be read.
  await db.sql`DELETE FROM firefly.task WHERE id = ${b!}`;
  assertEquals(await releaseAll(db.store), { released: 0, cancelled: 1 });
  await deleteTasks(db.store, [{ id: a!, claimSeq: null }]);
  assertEquals(await releaseAll(db.store), { released: 1, cancelled: 1 });

  assertEquals(await statesOf(db, [waits!, settled!, half!]), ["cancelled", "ready", "cancelled"]);
  const { errors: [error] } = await recordOf(db, half!) as { errors: Record<string, unknown>[] };
  assertEquals(error!.message, `Cannot run this task as task ${b}, which it depends on, was deleted`);
  assertEquals((await retryTasks(db.store, [{ id: half!, claimSeq: null }])).left, [{
    id: half!,
    reason: "dependencies",
  }]);

  const [c, d] = await scheduleGraph(db.store, [[], [{ ref: 0 }]]);
  await deleteTasks(db.store, [{ id: d!, claimSeq: null }]);
  const [places] = await db.sql`SELECT count(*)::int AS n FROM firefly.waiting WHERE id = ${d!}`;
  assertEquals(places!.n, 0);
  await end(db.sql, [c!]);
  await releaseAll(db.store);
  assertEquals(await leftOver(db), NOTHING);
  await db.sql`TRUNCATE firefly.task`;
  const [row] = await db.sql`SELECT count(*)::int AS n FROM firefly.dependency`;
  assertEquals(row!.n, 0);
});
