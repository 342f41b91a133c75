import { assert, assertEquals, assertRejects } from "@std/assert";
import postgres from "postgres";
import { Transaction } from "../../src/database/transaction.ts";
import { commitStep } from "../../src/settle/commit_step.ts";
import { type EndedStep, isStored, readSteps, storeStep, storeSteps } from "../../src/store/steps.ts";
import { isNotHeld } from "../../src/store/complete.ts";
import { bench } from "../support/attempt_bench.ts";
import { testDatabase } from "../support/database.ts";
import { insertTask } from "../support/records.ts";
import { newStep, newWait } from "../support/new_step.ts";

function ended(id: number, claimSeq: number, { name = "a", key = "", seq = 1 } = {}): EndedStep {
  const now = performance.now();
  return { id, claimSeq, step: newStep({ name, key, seq, began: now, ended: now, returned: "MQ==" }), failures: [] };
}

Deno.test("storeSteps() stores steps of many tasks, and tells those whose task is held no more or that are there", async () => {
  await using db = await testDatabase();
  const [one, two, lost] = [await insertTask(db), await insertTask(db), await insertTask(db)];
  await db.sql`SELECT firefly.cancel(${lost})`;
  const failure = {
    ...ended(one, 0, { name: "f" }).step,
    status: "failed",
    returned: null,
    error: '{"name":"E"}',
  } as const;

  const first = await storeSteps(db.store, [
    { ...ended(one, 0, { seq: 2 }), failures: [failure] },
    ended(two, 0),
    ended(two, 0, { name: "b" }),
    ended(two, 7, { name: "c" }),
    ended(lost, 0),
  ]);
  const second = await storeSteps(db.store, [ended(one, 0), ended(one, 0, { key: "2", seq: 3 })]);

  assertEquals([first, second], [[true, true, true, false, false], [false, true]]);
  const { steps } = await readSteps(db.store, one);
  assertEquals(steps.map(({ name, key, seq, status }) => [name, key, seq, status]), [
    ["f", "", 1, "failed"],
    ["a", "", 2, "completed"],
    ["a", "2", 3, "completed"],
  ]);
  assert(await isStored(db.store, two, { name: "b", key: "" }));
  assert(!await isStored(db.store, lost, { name: "a", key: "" }));
});

Deno.test("storeSteps() passes over a record that another transaction deletes, and leaves no step behind", async () => {
  await using db = await testDatabase();
  const id = await insertTask(db);
  await db.sql.begin(async (sql) => {
    await sql`DELETE FROM firefly.task WHERE id = ${id}`;
    assertEquals(await storeSteps(db.store, [ended(id, 0)]), [false]);
  });
  assertEquals((await db.sql`SELECT FROM firefly.step`).count, 0);
});

Deno.test("storeStep() fails unless the attempt holds the task and the step is new", async () => {
  await using db = await testDatabase();
  const id = await insertTask(db);
  await storeStep(db.store, ended(id, 0));
  for (const step of [ended(id, 0), ended(id, 1, { name: "b" })]) {
    const error = await assertRejects(() => storeStep(db.store, step));
    assert(isNotHeld(error));
  }
  assertEquals((await readSteps(db.store, id)).steps.length, 1);
});

Deno.test("storeStep() and storeSteps() store over a step that waits, if the attempt holds the task, and over no other", async () => {
  await using db = await testDatabase();
  const id = await insertTask(db);
  for (const name of ["a", "b"]) {
    await storeSteps(db.store, [{
      id,
      claimSeq: 0,
      step: newWait({ name, kind: "step", failures: 2, due: 60 }),
      failures: [],
    }]);
  }
  assert(!await isStored(db.store, id, { name: "a", key: "" }));

  const error = await assertRejects(() => storeStep(db.store, ended(id, 1)));
  assert(isNotHeld(error));
  assertEquals(await storeSteps(db.store, [ended(id, 1, { name: "b" })]), [false]);
  await storeStep(db.store, ended(id, 0));
  assertEquals(await storeSteps(db.store, [ended(id, 0, { name: "b", seq: 2 }), ended(id, 0)]), [true, false]);

  const { steps } = await readSteps(db.store, id);
  assertEquals(steps.map(({ name, status, seq, failures }) => [name, status, seq, failures]), [
    ["a", "completed", 1, 0],
    ["b", "completed", 2, 0],
  ]);
  assert(steps.every(({ due, ended }) => due !== null && ended !== null));
});

Deno.test("deleting, pruning and truncating tasks deletes their steps", async () => {
  await using db = await testDatabase();
  const [one, two] = [await insertTask(db), await insertTask(db)];
  await storeSteps(db.store, [ended(one, 0), ended(two, 0)]);
  await db.sql`DELETE FROM firefly.task WHERE id = ${one}`;
  assertEquals((await db.sql`SELECT task_id FROM firefly.step`).map(({ task_id }) => Number(task_id)), [two]);
  await db.sql`TRUNCATE firefly.task`;
  assertEquals((await db.sql`SELECT FROM firefly.step`).count, 0);
});

/** How many rounds of the races a run has; more with STEP_ROUNDS. */
const ROUNDS = Number(Deno.env.get("STEP_ROUNDS") ?? 40);

/**
 * Two attempts do the same step of a task at the same time. With `rescued`, the second has the claim that follows the
 * first; without, both have the same fence, as after a crash of the server that has undone the first claim. Connections
 * are killed at random moments. With `waits`, the step has failed before, and its row waits. Returns the rounds in which effects and step differ, or happened twice.
 */
async function raceForStep({ rescued, waits }: { rescued: boolean; waits: boolean }) {
  await using test = await bench();
  const { db, env: { sql, sessions } } = test;
  await db.sql`CREATE TABLE effect (task_id bigint, claim_seq int)`;
  const admin = postgres(db.url, { max: 1, onnotice() {} });
  const jitter = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, Math.random() * ms));
  const outcomes: Record<string, number> = {};
  let [differ, twice] = [0, 0];
  async function attempt(id: number, claimSeq: number): Promise<void> {
    const transaction = Transaction.on(sessions, { schema: "firefly" });
    try {
      const [{ pid }] = await transaction.sql`SELECT pg_backend_pid() AS pid` as [{ pid: number }];
      if (Math.random() < 0.3) void jitter(6).then(() => admin`SELECT pg_terminate_backend(${pid})`).catch(() => {});
      await jitter(2);
      await transaction.sql`INSERT INTO effect VALUES (${id}, ${claimSeq})`;
      await jitter(2);
      await commitStep(sql, ended(id, claimSeq), transaction);
      outcomes.committed = (outcomes.committed ?? 0) + 1;
    } catch (error) {
      outcomes[(error as Error).name] = (outcomes[(error as Error).name] ?? 0) + 1;
      transaction.abandon();
    }
  }
  for (let round = 0; round < ROUNDS; round++) {
    const id = await insertTask(db);
    if (waits) {
      const step = newWait({ name: "a", kind: "step", failures: 1, due: 0 });
      await storeSteps(db.store, [{ id, claimSeq: 0, step, failures: [] }]);
    }
    await Promise.all([
      attempt(id, 0),
      (async () => {
        await jitter(4);
        if (rescued) await db.sql`UPDATE firefly.task SET claim_seq = 1 WHERE id = ${id}`;
        await attempt(id, rescued ? 1 : 0);
      })(),
    ]);
    await jitter(1);
    const [{ effects, steps }] = await db.sql`
      SELECT (SELECT count(*)::int FROM effect WHERE task_id = ${id}) AS effects,
        (SELECT count(*)::int FROM firefly.step WHERE task_id = ${id} AND status <> 'waiting') AS steps
    ` as unknown as [{ effects: number; steps: number }];
    if (effects !== steps) differ++;
    if (effects > 1) twice++;
  }
  await admin.end({ timeout: 1 });
  return { differ, twice, outcomes };
}

async function assertOneCommits({ waits }: { waits: boolean }): Promise<void> {
  for (const rescued of [true, false]) {
    const { differ, twice, outcomes } = await raceForStep({ rescued, waits });
    assertEquals([rescued, differ, twice], [rescued, 0, 0]);
    assert(outcomes.committed! > ROUNDS / 4, JSON.stringify(outcomes));
    if (ROUNDS > 100) console.log({ rescued, rounds: ROUNDS, differ, twice, ...outcomes });
  }
}

Deno.test("storeStep() commits the effects of one of two attempts: after a rescue, and with the same fence", async () => {
  await assertOneCommits({ waits: false });
});

Deno.test("storeStep() over a step that is tried again commits the effects of one of two attempts", async () => {
  await assertOneCommits({ waits: true });
});
