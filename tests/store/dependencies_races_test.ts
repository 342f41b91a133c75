import { assertEquals } from "@std/assert";
import type postgres from "postgres";
import { releaseTasks } from "../../src/store/dependencies.ts";
import { testDatabase } from "../support/database.ts";
import { end, leftOver, releaseAll, scheduleGraph, statesOf, tagOfClient } from "../support/dependencies.ts";
import { untilHeldUp, whileOpen } from "../support/open_transactions.ts";
import { clients } from "../support/unique.ts";

const NOTHING = { ended: 0, open: 0, pending: 0 };

const retry = (sql: postgres.Sql | postgres.TransactionSql, id: number) => sql`SELECT firefly.retry(${id}) AS done`;

Deno.test("releaseTasks() moves a dependant on once, whichever of its last two dependencies ends last", async () => {
  await using db = await testDatabase();
  await using two = clients(db, 2);
  const [first, second] = two.each as [postgres.Sql, postgres.Sql];

  // One has told its end, and has not committed: the other leaves the dependant to later.
  const [a, b, c] = await scheduleGraph(db.store, [[], [], [{ ref: 0 }, { ref: 1 }]]);
  await end(db.sql, [a!, b!]);
  const { done } = await whileOpen(
    first,
    (open) => releaseTasks(tagOfClient(open), [a!]),
    () => untilHeldUp(db, () => releaseTasks(tagOfClient(second), [b!])),
  );
  assertEquals(await done, { released: 0, cancelled: 0, again: true });
  assertEquals(await releaseTasks(db.store, null), { released: 1, cancelled: 0, again: false });
  assertEquals(await statesOf(db, [c!]), ["ready"]);

  // In all orders that come about.
  for (let round = 0; round < 100; round++) {
    const ids = await scheduleGraph(db.store, [[], [], [], [{ ref: 0 }, { ref: 1 }, { ref: 2 }], [{ ref: 3 }]]);
    await end(db.sql, [ids[2]!]);
    const counts = await Promise.all(two.each.map(async (sql, i) => {
      await end(sql, [ids[i]!]);
      return await releaseAll(tagOfClient(sql));
    }));
    assertEquals(counts[0]!.released + counts[1]!.released, 1, `round ${round}`);
    assertEquals((await statesOf(db, ids)).slice(3), ["ready", "dependent"], `round ${round}`);
  }
});

Deno.test("_depend() sees a task that ends at that moment", async () => {
  await using db = await testDatabase();
  await using two = clients(db, 2);
  const [first, second] = two.each as [postgres.Sql, postgres.Sql];
  const [ends, marked] = await scheduleGraph(db.store, [[], []]);
  await scheduleGraph(db.store, [[{ id: marked! }]]); // its mark is there, and locks nothing any more

  // The end comes first, and has not committed when a task is to depend on it.
  const late = await whileOpen(first, (open) => end(open, [ends!]), () => {
    return untilHeldUp(db, () => scheduleGraph(tagOfClient(second), [[{ id: ends! }]]));
  });
  const [afterEnd] = await late.done as number[];
  assertEquals(await statesOf(db, [afterEnd!]), ["ready"]);

  // The dependant comes first: the end waits for it, and is told.
  let dependant: number | undefined;
  const early = await whileOpen(first, async (open) => {
    [dependant] = await scheduleGraph(tagOfClient(open), [[{ id: marked! }]]);
  }, () =>
    untilHeldUp(db, async () => {
      await end(second, [marked!]);
      await releaseAll(tagOfClient(second));
    }));
  await early.done;
  await releaseAll(db.store);
  assertEquals(await statesOf(db, [dependant!]), ["ready"]);
  assertEquals(await leftOver(db), NOTHING);
});

Deno.test("retry() against the cascade", async () => {
  await using db = await testDatabase();
  await using two = clients(db, 2);
  const [first, second] = two.each as [postgres.Sql, postgres.Sql];

  // The retry comes first: its dependants are not cancelled any more.
  const [root, child] = await scheduleGraph(db.store, [[], [{ ref: 0 }]]);
  await end(db.sql, [root!], "failed");
  const cascade = await whileOpen(
    first,
    (open) => retry(open, root!),
    () => untilHeldUp(db, () => releaseTasks(tagOfClient(second), [root!])),
  );
  assertEquals(await cascade.done, { released: 0, cancelled: 0, again: true });
  assertEquals(await releaseAll(db.store), { released: 0, cancelled: 0 });
  assertEquals(await statesOf(db, [root!, child!]), ["ready", "dependent"]);

  // The cascade comes first: the retry waits for it, and revives what it has cancelled.
  await end(db.sql, [root!], "failed");
  const revival = await whileOpen(
    first,
    (open) => releaseTasks(tagOfClient(open), [root!]),
    () => untilHeldUp(db, () => retry(second, root!)),
  );
  await revival.done;
  assertEquals(await statesOf(db, [root!, child!]), ["ready", "dependent"]);

  // One that is rolled back has changed nothing: the cascade goes on.
  await end(db.sql, [root!], "failed");
  await first.begin(async (open) => {
    await retry(open, root!);
    assertEquals((await releaseTasks(db.store, [root!])).again, true);
    throw new RangeError("undone");
  }).catch(() => {});
  assertEquals(await releaseAll(db.store), { released: 0, cancelled: 1 });
  assertEquals(await leftOver(db), NOTHING);
});

Deno.test("retry() of a dependant sees its dependency end at that moment", async () => {
  await using db = await testDatabase();
  await using one = clients(db, 1);
  const [root, child] = await scheduleGraph(db.store, [[], [{ ref: 0 }]]);
  await db.sql`SELECT firefly.cancel(${child!})`;
  await end(db.sql, [root!], "failed");
  await releaseAll(db.store);
  await retry(db.sql, root!); // it revives what was cancelled because of it alone
  assertEquals(await statesOf(db, [root!, child!]), ["ready", "cancelled"]);

  await whileOpen(one.each[0]!, (open) => retry(open, child!), async () => {
    await end(db.sql, [root!]);
    await releaseAll(db.store);
  });

  assertEquals(await releaseAll(db.store), { released: 1, cancelled: 0 });
  assertEquals(await statesOf(db, [child!]), ["ready"]);
  assertEquals(await leftOver(db), NOTHING);
});

Deno.test("a dependant that is cancelled or moved while its last dependency ends is not released twice, nor lost", async () => {
  await using db = await testDatabase();
  await using one = clients(db, 1);
  const [a, cancelled, moved] = await scheduleGraph(db.store, [[], [{ ref: 0 }], [{ ref: 0 }]]);
  await end(db.sql, [a!]);

  await whileOpen(one.each[0]!, async (open) => {
    await open`SELECT firefly.cancel(${cancelled!})`;
    await open`SELECT firefly.reschedule(${moved!}, priority => 1)`;
  }, async () => {
    assertEquals(await releaseTasks(db.store, [a!]), { released: 0, cancelled: 0, again: true });
  });

  assertEquals(await releaseAll(db.store), { released: 1, cancelled: 0 });
  assertEquals(await statesOf(db, [cancelled!, moved!]), ["cancelled", "ready"]);
  assertEquals(await leftOver(db), NOTHING);
});

Deno.test("cascades, retries and ends of one graph at once never deadlock, and leave nothing open", async () => {
  await using db = await testDatabase();
  await using many = clients(db, 4);
  const layers = 6, width = 5;
  const ids = await scheduleGraph(
    db.store,
    Array.from(
      { length: layers * width },
      (_, i) => i < width ? [] : [0, 2].map((step) => ({ ref: i - width - (i % width) + (i + step) % width })),
    ),
  );

  const until = performance.now() + 2_000;
  await Promise.all(many.each.map(async (sql, n) => {
    for (let i = n; performance.now() < until; i = (i * 7 + 3) % ids.length) {
      const id = ids[i]!;
      if (n === 0) await retry(sql, id);
      else if (n === 1) await end(sql, [id], i % 3 === 0 ? "completed" : "failed");
      else await releaseTasks(tagOfClient(sql), n === 2 ? null : [id]);
    }
  }));
  await releaseAll(db.store);

  const [row] = await db.sql`
    SELECT count(*)::int AS wrong FROM firefly.task
    LEFT JOIN firefly.waiting ON waiting.id = task.id AND waiting.claim_seq = task.claim_seq
    WHERE task.status = 'created' AND COALESCE(waiting.pending, 0) <> (
      SELECT count(*) FROM firefly.dependency WHERE dependency.task_id = task.id AND dependency.status IS NULL
    )
  `;
  assertEquals([row!.wrong, (await leftOver(db)).ended], [0, 0]);
});
