import { assert, assertEquals } from "@std/assert";
import { current, Fail, task } from "../../mod.ts";
import { scheduleUnique } from "../../src/store/schedule.ts";
import { leftOver, statesOf } from "../support/dependencies.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { newTask } from "../support/new_task.ts";
import { until } from "../support/waiting.ts";

const NOTHING = { ended: 0, open: 0, pending: 0 };

/** An instance with tasks that note that they ran, in an order that each test makes by dependencies. */
async function testGraph() {
  const test = await testInstance();
  const ran: string[] = [];
  const kinds = { notes: taskName(), writes: taskName(), fails: taskName() };
  const notes = task(kinds.notes, (name: string) => void ran.push(name));
  const writes = task(kinds.writes, async (name: string) => {
    await current().sql`SELECT 1`; // completes in the transaction of its own
    ran.push(name);
  });
  const fails = task({ name: kinds.fails, maxRetries: 0 }, (name: string) => {
    ran.push(name);
    throw new Fail("no");
  });
  async function schedule(tasks: [kind: keyof typeof kinds, name: string, ...refs: number[]][]): Promise<number[]> {
    const rows = await scheduleUnique(
      test.db.store,
      tasks.map(([kind, name, ...refs]) =>
        newTask({
          func_name: kinds[kind],
          params: btoa(JSON.stringify([name])),
          ...(refs.length > 0 ? { depends: refs.map((ref) => ({ ref })) } : {}),
        })
      ),
    );
    return rows.map(({ id }) => Number(id));
  }
  return { ...test, tasks: [notes, writes, fails], kinds, ran, schedule };
}

Deno.test("a consumer that drains runs a graph to its end, in the order of the dependencies", async () => {
  await using test = await testGraph();
  const { db, ff, tasks, ran, schedule } = test;
  const ids = await schedule([
    ["notes", "a"],
    ["writes", "b", 0],
    ["fails", "c", 1],
    ["notes", "d", 0, 1],
    ["notes", "never", 2],
    ["notes", "nor this", 4, 3],
  ]);

  const { completed, failed } = await ff.consume({ tasks, drain: true }).finished;

  assertEquals([completed, failed], [3, 1]);
  assertEquals([ran.slice(0, 2), ran.slice(2).toSorted()], [["a", "b"], ["c", "d"]]);
  assertEquals(await statesOf(db, ids), ["completed", "completed", "failed", "completed", "cancelled", "cancelled"]);
  assertEquals(await leftOver(db), NOTHING);
});

Deno.test("a consumer releases dependants as soon as a task ends, and those whose dependency a program cancels", async () => {
  await using test = await testGraph();
  const { db, ff, tasks, ran, schedule } = test;
  const consumer = ff.consume({ tasks, pollInterval: "1h" });
  await until(async () => (await db.sql`SELECT FROM firefly.consumer`).length === 1);

  const ids = await schedule(Array.from({ length: 20 }, (_, i) => ["notes", `${i}`, ...(i === 0 ? [] : [i - 1])]));
  await until(() => ran.length === 20);
  assertEquals(ran, Array.from({ length: 20 }, (_, i) => `${i}`));

  const [waits] = await scheduleUnique(db.store, [newTask({ func_name: "elsewhere" })]);
  const [dependant] = await scheduleUnique(db.store, [
    newTask({ func_name: test.kinds.notes, depends: [{ id: Number(waits!.id) }] }),
  ]);
  await db.sql`SELECT firefly.cancel(${waits!.id})`;
  await until(async () => (await statesOf(db, [Number(dependant!.id)]))[0] === "cancelled");
  assertEquals((await statesOf(db, ids)).every((state) => state === "completed"), true);
  await consumer.stop();
});

Deno.test("a consumer that starts finds ends that a crashed one has not told", async () => {
  await using test = await testGraph();
  const { db, ff, tasks, ran, schedule } = test;
  const ids = await schedule([["notes", "a"], ["notes", "b", 0]]);
  await db.sql`DELETE FROM firefly.ready`;
  await db.sql`UPDATE firefly.task SET status = 'completed' WHERE id = ${ids[0]!}`;
  assertEquals((await leftOver(db)).ended, 1);

  await ff.consume({ tasks, drain: true }).finished;

  assertEquals(ran, ["b"]);
  assert((await statesOf(db, ids)).every((state) => state === "completed"));
});
