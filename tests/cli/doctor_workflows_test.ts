import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { current, task } from "../../mod.ts";
import { diagnose, type Diagnosis } from "../../src/doctor/doctor.ts";
import { Target } from "../../src/doctor/target.ts";
import { TASK_CHECKS } from "../../src/doctor/task_checks.ts";
import { WORKFLOW_CHECKS } from "../../src/doctor/workflow_checks.ts";
import { sendSignal } from "../../src/store/signals.ts";
import { storeSteps } from "../../src/store/steps.ts";
import { claimMany } from "../support/claiming.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { statesOf } from "../support/dependencies.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { newStep } from "../support/new_step.ts";
import { insertTask, withoutTriggers } from "../support/records.ts";
import { suspend } from "../support/suspended.ts";

/** What the checks of workflows find, by their names. */
async function findings(db: TestDatabase): Promise<Record<string, Diagnosis>> {
  const target = new Target({ settings: db.settings, schema: "firefly", names: [] });
  try {
    const checks = [...TASK_CHECKS.filter(({ name }) => name === "dependencies"), ...WORKFLOW_CHECKS];
    const all = await Array.fromAsync(diagnose(target, { checks: checks.map((check) => ({ ...check, after: [] })) }));
    return Object.fromEntries(all.map((found) => [found.check, found]));
  } finally {
    target.end();
  }
}

function verdicts(found: Record<string, Diagnosis>): Record<string, string> {
  return Object.fromEntries(Object.entries(found).map(([name, { verdict }]) => [name, verdict]));
}

const ALL_OK = {
  dependencies: "ok",
  "suspended tasks": "ok",
  "awaited signals": "ok",
  "orphaned steps": "ok",
  "many steps": "ok",
  "changed steps": "ok",
};

Deno.test("doctor finds nothing wrong with tasks that wait, with their steps and signals", async () => {
  await using db = await testDatabase();
  const [sleeper, waiter, both, signalled] = await claimMany(db, 4);
  await suspend(db.store, sleeper!, { name: "nap", due: 3600 });
  await suspend(db.store, waiter!, { kind: "signal", name: "approved" });
  await suspend(db.store, both!, { kind: "signal", name: "approved", due: 3600 });
  await suspend(db.store, signalled!, { kind: "signal", name: "approved" });
  await sendSignal(db.store, signalled!.id, "approved", null);
  await sendSignal(db.store, waiter!.id, "another", null);
  await db.sql`UPDATE firefly.signal SET sent = now() - interval '1 hour'`;

  assertEquals(verdicts(await findings(db)), ALL_OK);
});

Deno.test("doctor finds suspended tasks that should have gone on, and its advice lets them", async () => {
  await using db = await testDatabase();
  const tasks = await claimMany(db, 3);
  const [waiter, caller, emptied] = tasks;
  await suspend(db.store, waiter!, { kind: "signal", name: "approved" });
  await suspend(db.store, caller!, { name: "nap", due: 3600 });
  await suspend(db.store, emptied!, { kind: "signal", name: "approved" });
  await db.sql`INSERT INTO firefly.signal (task_id, name, sent) VALUES (${
    waiter!.id
  }, 'approved', now() - interval '2 minutes')`;
  await db.sql`UPDATE firefly.waiting SET pending = 1 WHERE id = ${caller!.id}`; // its callee's edge was told, or deleted
  await db.sql`UPDATE firefly.waiting SET signals = NULL WHERE id = ${emptied!.id}`;

  const found = await findings(db);

  assertEquals(verdicts(found), { ...ALL_OK, "suspended tasks": "warning" });
  const { value, advice } = found["suspended tasks"]!;
  assertStringIncludes(value, `3 tasks should have gone on`);
  const ids = tasks.map(({ id }) => id).sort((a, b) => a - b);
  assertEquals(advice, ids.map((id) => `Let it go on: firefly reschedule ${id} --priority 0`));
  for (const id of ids) await db.sql`SELECT firefly.reschedule(${id}, priority => 0)`;
  assertEquals(await statesOf(db, [waiter!.id, emptied!.id]), ["ready", "ready"]);
  assertEquals((await findings(db))["suspended tasks"]!.verdict, "ok");
});

Deno.test("doctor finds a signal that a task has waited for since 30 days", async () => {
  await using db = await testDatabase();
  const [old, fresh] = await claimMany(db, 2);
  for (const each of [old!, fresh!]) await suspend(db.store, each, { kind: "signal", name: "approved" });
  await db.sql`UPDATE firefly.step SET began = now() - interval '29 days'`;
  assertEquals(verdicts(await findings(db)), ALL_OK);
  await db.sql`UPDATE firefly.step SET began = now() - interval '31 days 5 hours' WHERE task_id = ${old!.id}`;

  const found = await findings(db);

  assertEquals(verdicts(found), { ...ALL_OK, "awaited signals": "warning" });
  const { value, advice } = found["awaited signals"]!;
  assertStringIncludes(value, `task ${old!.id} "${old!.funcName}" for "approved" for 31 days`);
  assertEquals(advice, [`Send it: firefly signal ${old!.id} approved; or end it: firefly cancel ${old!.id}`]);
});

Deno.test("doctor finds steps and signals without a record, and its advice deletes them and no others", async () => {
  await using db = await testDatabase();
  const [kept, gone] = await claimMany(db, 2);
  const ended = [kept!, gone!].map(({ id, claimSeq }) => ({ id, claimSeq, step: newStep(), failures: [] }));
  assertEquals(await storeSteps(db.store, ended), [true, true]);
  for (const { id } of [kept!, gone!]) await sendSignal(db.store, id, "approved", null);
  await withoutTriggers(db, (sql) => sql`DELETE FROM firefly.task WHERE id = ${gone!.id}`);

  const found = await findings(db);

  assertEquals(verdicts(found), { ...ALL_OK, "orphaned steps": "warning" });
  const { value, advice } = found["orphaned steps"]!;
  assertMatch(value, /^1 task without a record with steps, 1 task without a record with signals: /);
  for (const each of advice) await db.sql.unsafe(each.replace("Delete them: ", ""));
  assertEquals(verdicts(await findings(db)), ALL_OK);
  const left = await db.sql`SELECT task_id FROM firefly.step UNION ALL SELECT task_id FROM firefly.signal`;
  assertEquals(left.map((row) => Number(row.task_id)), [kept!.id, kept!.id]);
});

Deno.test("doctor finds a name of steps with more than a thousand keys in a task", async () => {
  await using db = await testDatabase();
  const id = await insertTask(db);
  const fill = (from: number, to: number) =>
    db.sql`
      INSERT INTO firefly.step (task_id, name, key, status, seq, attempt, began, ended)
      SELECT ${id}, 'resize', n::text, 'completed', n, 1, now(), now() FROM generate_series(${from}::int, ${to}::int) AS n
    `;
  await fill(1, 1000);
  assertEquals(verdicts(await findings(db)), ALL_OK);
  await fill(1001, 1204);

  const found = await findings(db);

  assertEquals(verdicts(found), { ...ALL_OK, "many steps": "warning" });
  assertStringIncludes(found["many steps"]!.value, `1204 steps "resize" of task ${id}`);
  assertStringIncludes(found["many steps"]!.advice[0]!, `firefly steps ${id}`);
});

Deno.test("doctor finds tasks that rest with StepsChanged, with the sentence that mends it", async () => {
  await using t = await testInstance();
  const name = taskName();
  const charge = (step: string) =>
    task({ name, maxRetries: 5, retryDelay: 0 }, async () => {
      await current().step(step, () => {});
      if (step === "charge") throw new Error("not yet");
    });
  const first = charge("charge");
  const record = await t.ff.run(() => first.schedule());
  await t.ff.consume({ tasks: [first], maxTasks: 1 }).finished;
  const second = charge("charge card");
  const returned = new Promise<void>((resolve) => t.ff.on("retried", () => resolve()));
  {
    await using _consumer = t.ff.consume({ tasks: [second] });
    await returned;
  }

  const found = await findings(t.db);

  assertEquals(verdicts(found), { ...ALL_OK, "changed steps": "warning" });
  const { value, advice } = found["changed steps"]!;
  assertStringIncludes(value, `1 task "${name}" cannot go on`);
  assertStringIncludes(advice[0]!, `Cannot begin step "charge card" of task ${record.id} as its step "charge"`);
  assertStringIncludes(advice[0]!, `aliases: ["charge"]`);
  assertStringIncludes(advice[0]!, `firefly explain ${record.id}`);
});

Deno.test("doctor finds ends that no consumer has told of for a minute, and miscounted dependencies", async () => {
  await using t = await testInstance();
  const work = task(taskName(), () => {});
  const [one, two] = await t.ff.run(() => Promise.all([work.schedule(), work.schedule()]));
  const [a, b] = await t.ff.run(() =>
    Promise.all([work.with({ after: [one!] }).schedule(), work.with({ after: [two!] }).schedule()])
  );
  assertEquals(verdicts(await findings(t.db)), ALL_OK);
  await one!.cancel();
  await t.db.sql`UPDATE firefly.task SET cancelled = now() - interval '2 minutes' WHERE id = ${one!.id}`;
  assertStringIncludes((await findings(t.db)).dependencies!.value, "1 task ended more than a minute ago");
  await t.db.sql`UPDATE firefly.waiting SET pending = 2 WHERE id = ${b!.id}`;

  const { dependencies } = await findings(t.db);

  assertEquals(dependencies!.verdict, "warning");
  assertStringIncludes(dependencies!.value, `was edited by hand: ${b!.id}`);
  await t.ff.tasks.reschedule([b!.id], { priority: 0 });
  assertStringIncludes((await findings(t.db)).dependencies!.value, "1 task ended more than a minute ago");
  await t.drain({ tasks: [work] });
  assertEquals(verdicts(await findings(t.db)), ALL_OK);
  assertEquals(await statesOf(t.db, [a!.id, b!.id]), ["cancelled", "completed"]);
});
