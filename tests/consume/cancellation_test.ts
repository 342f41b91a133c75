import { assert, assertEquals } from "@std/assert";
import { Firefly, task } from "../../mod.ts";
import { CancellationWatch } from "../../src/consume/cancellation_watch.ts";
import { jsonLines, PACKAGE, type Project, type Running, testProject } from "../support/project.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { placesOf, recordOf } from "../support/records.ts";
import { until } from "../support/waiting.ts";

/** Milliseconds within which a cancellation must reach a consumer elsewhere. */
const SOON = 1000;

/** A handler that ignores its signal, and returns once the table `gate` has a row. */
const TASKS = `
  import { configure, current, task } from ${JSON.stringify(PACKAGE)};

  const ff = configure({});
  export const stubborn = task("stubborn", async () => {
    const { log, signal } = current();
    signal.addEventListener("abort", () => log.info("aborted", { reason: signal.reason.name }));
    log.info("hangs");
    while ((await ff.sql\`SELECT FROM gate\`).length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    log.info("returns late");
    return "too late";
  });
  export const next = task("next", () => "next");
`;

/** A consumer with one slot in a process of its own, whose handler hangs. */
interface Hanging extends AsyncDisposable {
  db: TestDatabase;
  ff: Firefly;
  id: number;
  consumer: Running;
}

async function startHanging(options = "{}"): Promise<Hanging> {
  const cleanup = new AsyncDisposableStack();
  const db = cleanup.use(await testDatabase());
  await db.sql`CREATE TABLE gate (open boolean)`;
  const files = { "tasks.ts": TASKS, "firefly.config.ts": `export default ${options};` };
  const project: Project = cleanup.use(await testProject({ database: db.url, files }));
  const ff = cleanup.use(new Firefly({ database: db.url }));
  const consumer = cleanup.use(project.start("consume", "--concurrency", "1", "--json", "--verbose"));
  const id = await scheduleByName(db, "stubborn");
  await consumer.said("hangs");
  return { db, ff, id, consumer, [Symbol.asyncDispose]: () => cleanup.disposeAsync() };
}

async function scheduleByName(db: TestDatabase, name: string): Promise<number> {
  const [row] = await db.sql`SELECT firefly.schedule(${name}) AS id`;
  return Number(row!.id);
}

/** Cancels by `cancel`, and checks everything that is to come of it. */
async function assertCancels({ db, id, consumer }: Hanging, cancel: () => Promise<unknown>): Promise<void> {
  const asked = performance.now();
  await cancel();
  await consumer.said('"cancelled"');
  const took = performance.now() - asked;

  assert(took < SOON, `It took ${took} ms`);
  assertEquals((await recordOf(db, id)).status, "cancelled");
  const next = await scheduleByName(db, "next");
  await until(async () => (await recordOf(db, next)).status === "completed");

  await db.sql`INSERT INTO gate VALUES (true)`;
  await consumer.said("returns late");
  consumer.kill("SIGTERM");
  const { code, stderr } = await consumer.ended();

  const { status, returned, errors } = await recordOf(db, id);
  assertEquals({ status, returned, errors }, { status: "cancelled", returned: null, errors: [] });
  const events = jsonLines(stderr).filter((entry) => entry.id === id);
  assertEquals(events.map(({ event, message }) => event === "log" ? message.split(" {")[0] : event), [
    "started",
    "hangs",
    "aborted",
    "cancelled",
    "returns late",
  ]);
  assertEquals(events[2].fields, { reason: "TaskCancelled" });
  assertEquals([code, await placesOf(db)], [0, { ready: 0, waiting: 0, claimBatches: 0 }]);
}

Deno.test("cancel() reaches a handler in another process within a second, and ends it though it ignores its signal", async () => {
  await using hanging = await startHanging();

  await assertCancels(hanging, async () => {
    assertEquals(await (await hanging.ff.tasks.get(hanging.id)).cancel(), true);
  });
});

Deno.test("firefly.cancel() of SQL reaches a handler in another process within a second", async () => {
  await using hanging = await startHanging();

  await assertCancels(hanging, () => hanging.db.sql`SELECT firefly.cancel(${hanging.id})`);
});

Deno.test("tasks.cancel() reaches a handler in another process within a second where no notification arrives", async () => {
  await using hanging = await startHanging(`{ listenDatabase: "postgres://postgres@127.0.0.1:1/nowhere" }`);

  await assertCancels(hanging, async () => {
    assertEquals(await hanging.ff.tasks.cancel({ funcName: "stubborn" }), 1);
  });
});

Deno.test("cancel() of a task that no consumer runs takes effect at once: no consumer gets it", async () => {
  await using test = await testInstance();
  let called = 0;
  const work = task(taskName(), () => void called++);
  const [now, later] = await test.ff.run(() => Promise.all([work.schedule(), work.with({ delay: "1h" }).schedule()]));

  assertEquals([await now.cancel(), await later.cancel(), await now.cancel()], [true, true, false]);
  assertEquals(await placesOf(test.db), { ready: 0, waiting: 0, claimBatches: 0 });
  await test.drain({ tasks: [work] });

  assertEquals(called, 0);
  const records = await Promise.all([now.refresh(), later.refresh()]);
  assertEquals(records.map(({ status }) => status), ["cancelled", "cancelled"]);
});

/** A watch over held tasks that only count the looks. */
function watchOf({ connected, pollIntervalMs }: { connected: boolean; pollIntervalMs: number }) {
  const counts = { looks: 0, errors: 0, fail: false, hold: undefined as Promise<void> | undefined };
  const discardLost = async () => {
    counts.looks++;
    await counts.hold;
    if (counts.fail) throw new Error("no database");
  };
  const watch = new CancellationWatch({
    held: { discardLost },
    listener: { connected },
    config: { pollIntervalMs },
    onError: () => counts.errors++,
    onSuccess() {},
  });
  return { watch, counts };
}

Deno.test("CancellationWatch looks by its timer while the listener is down, and goes on after an error", async () => {
  const { watch, counts } = watchOf({ connected: false, pollIntervalMs: 3_600_000 });
  counts.fail = true;

  watch.start();
  await until(() => counts.looks >= 2);
  await watch.end();

  assertEquals(counts.errors, counts.looks);
});

Deno.test("CancellationWatch leaves it to notifications and the poll while the listener is up", async () => {
  const up = watchOf({ connected: true, pollIntervalMs: 3_600_000 });
  const down = watchOf({ connected: false, pollIntervalMs: 3_600_000 });

  for (const { watch } of [up, down]) watch.start();
  await until(() => down.counts.looks >= 2);
  for (const { watch } of [up, down]) await watch.end();

  assertEquals(up.counts.looks, 0);
});

Deno.test("CancellationWatch.look() looks once more when it is called during a look", async () => {
  const { watch, counts } = watchOf({ connected: true, pollIntervalMs: 3_600_000 });
  const held = Promise.withResolvers<void>();
  counts.hold = held.promise;

  watch.look();
  watch.look();
  watch.look();
  assertEquals(counts.looks, 1);
  held.resolve();
  await watch.end();

  assertEquals(counts.looks, 2);
});
