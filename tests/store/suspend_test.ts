import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { sendSignal } from "../../src/store/signals.ts";
import { readSteps } from "../../src/store/steps.ts";
import { suspendTasks } from "../../src/store/suspend.ts";
import { promoteDueTasks } from "../../src/store/waiting.ts";
import { claimMany, claimOne, startConsumer } from "../support/claiming.ts";
import { testDatabase } from "../support/database.ts";
import { statesOf } from "../support/dependencies.ts";
import { newStep, newWait } from "../support/new_step.ts";
import { placesOf, recordOf } from "../support/records.ts";
import { suspend, suspension, waitOf } from "../support/suspended.ts";

Deno.test("suspendTasks() ends claims, stores steps, and lets each task wait for what its handler awaits", async () => {
  await using db = await testDatabase();
  const tasks = await claimMany(db, 4);
  const [sleeper, waiter, both, lost] = tasks.map(({ id, claimSeq }) => ({ id, claimSeq }));
  await db.sql`SELECT firefly.cancel(${lost!.id})`;
  const { batchId } = tasks[0]!;

  const suspended = await suspendTasks(
    db.store,
    [
      suspension(both!, [{ kind: "signal", name: "s", due: 60 }, { name: "nap", due: 30 }]),
      suspension(sleeper!, [{ name: "nap", due: 3600 }], [newStep({ name: "before", returned: "MQ==" })]),
      suspension(lost!, [{ name: "nap", due: 10 }]),
      suspension(waiter!, [{ kind: "signal", name: "s" }, { kind: "signal", name: "t" }]),
    ],
    [batchId],
    7,
  );

  assertEquals(suspended, new Map([sleeper, waiter, both].map((task) => [task!.id, "created"])));
  assertEquals(await statesOf(db, [sleeper!.id, waiter!.id, both!.id, lost!.id]), [
    "suspended",
    "suspended",
    "suspended",
    "cancelled",
  ]);
  const places = await Promise.all([sleeper!, waiter!, both!].map(({ id }) => waitOf(db, id)));
  assertEquals(places.map((place) => [place!.reason, place!.pending, place!.signals, place!.suspended]), [
    ["time", null, null, true],
    ["suspended", null, ["s", "t"], true],
    ["time", null, ["s"], true],
  ]);
  const record = await recordOf(db, sleeper!.id);
  assertEquals([record.claim_seq, record.attempted_by, record.retry_attempts], [1, 7, 0]);
  assertEquals(record.not_before, places[0]!.not_before);
  assertAlmostEquals((record.not_before as Date).getTime(), Date.now() + 3_600_000, 60_000);
  const { steps, now } = await readSteps(db.store, sleeper!.id);
  assertEquals(steps.map(({ name, kind, status, seq }) => [name, kind, status, seq]), [
    ["before", "step", "completed", 1],
    ["nap", "sleep", "waiting", null],
  ]);
  assertAlmostEquals(steps[1]!.due!.getTime(), now.getTime() + 3_600_000, 60_000);
  assertEquals((await readSteps(db.store, lost!.id)).steps, []);
  assertEquals((await placesOf(db)).claimBatches, 1); // its consumer deletes it, as one task of it was lost
});

Deno.test("suspendTasks() lets a task go on at once whose wait is over", async () => {
  await using db = await testDatabase();
  const [slept, signalled, limited, confused] = (await claimMany(db, 4)).map(({ id, claimSeq }) => ({ id, claimSeq }));
  await sendSignal(db.store, signalled!.id, "s", null);
  await db.sql`UPDATE firefly.task SET concurrency_key = 'k' WHERE id = ${limited!.id}`;
  await sendSignal(db.store, limited!.id, "s", null);

  const suspended = await suspendTasks(db.store, [
    suspension(slept!, [{ due: -1 }]),
    suspension(signalled!, [{ kind: "signal", name: "s", due: 60 }]),
    suspension(limited!, [{ kind: "signal", name: "s" }]),
    { ...suspension(confused!, []), awaits: [{ name: "missing", key: "" }] },
  ]);

  const ids = [slept!.id, signalled!.id, limited!.id, confused!.id];
  assertEquals(suspended, new Map(ids.map((id) => [id, "created"])));
  assertEquals(await statesOf(db, ids), ["ready", "ready", "limited", "ready"]);
});

Deno.test("a sleeping task is claimed again when its time has come, and waits for what it waited for", async () => {
  await using db = await testDatabase();
  const [task] = await claimMany(db, 1);
  await suspend(db.store, task!, { name: "nap", due: 0.05 }, { kind: "signal", name: "s", due: 3600 });
  while ((await promoteDueTasks(db.store, ["default"])).moved === 0);

  const again = await claimOne(db, await startConsumer(db));

  assertEquals([again.id, again.claimSeq, again.attempt], [task!.id, 1, 1]);
  // The sleep is over, and stored with what follows; the wait for the signal stays as it was.
  const { steps: [nap, wait] } = await readSteps(db.store, task!.id);
  await suspendTasks(db.store, [{
    ...suspension(again, []),
    steps: [newStep({ name: "nap", kind: "sleep" }), newWait({ name: "s", kind: "signal", due: 1 })],
    awaits: [{ name: "s", key: "" }],
  }]);
  const { steps } = await readSteps(db.store, task!.id);
  assertEquals(steps.map(({ name, status, due }) => [name, status, due]), [
    ["nap", "completed", nap!.due],
    ["s", "waiting", steps[1]!.due],
  ]);
  assert(steps[1]!.due! < wait!.due!);
  assertEquals(steps[1]!.began, wait!.began);
});

Deno.test("suspendTasks() leaves a record out that another transaction has locked, and its batch with it", async () => {
  await using db = await testDatabase();
  const [locked, other] = await claimMany(db, 2);
  const suspend = () => {
    const suspensions = [locked!, other!].map((task) => suspension(task, [{ due: 60 }]));
    return suspendTasks(db.store, suspensions, [locked!.batchId]);
  };

  const first = await db.sql.begin(async (sql) => {
    await sql`SELECT FROM firefly.task WHERE id = ${locked!.id} FOR UPDATE`;
    return await suspend();
  });
  assertEquals(first, new Map([[other!.id, "created" as const]]));
  assertEquals(await statesOf(db, [locked!.id, other!.id]), ["running", "suspended"]);
  assertEquals((await readSteps(db.store, locked!.id)).steps, []);

  assertEquals(await suspend(), new Map([[locked!.id, "created" as const]]));
  assertEquals(await statesOf(db, [locked!.id, other!.id]), ["suspended", "suspended"]);
});
