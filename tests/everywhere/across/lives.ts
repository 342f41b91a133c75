// Within: 90 s
/**
 * The lives of tasks over runtimes: this program schedules, watches and cancels, and consumers of each runtime run.
 *
 * @module
 */
import { configure, type TaskRecord, transaction } from "@firefly/tasks";
import assert from "node:assert/strict";
import { check, library } from "../check.ts";
import { OWN, Program, RUNTIMES, withPrograms } from "./shared/runtimes.ts";
import { add, fail, flaky, nap, steps } from "./shared/tasks.ts";
import { ORDER_ERROR, THROWN } from "./shared/thrown.ts";

library("@firefly/tasks");
const ff = configure({});
await ff.sql`CREATE TABLE ledger (n int, runtime text, attempt int)`;

/** The record of a task that must fail. */
async function failed(record: TaskRecord): Promise<TaskRecord> {
  await assert.rejects(() => record.result({ timeout: "30s" }), { name: "TaskFailed" });
  return await record.refresh();
}

/** Waits until the handler of a task reports progress: a task that is claimed may not have begun. */
async function begun(record: TaskRecord): Promise<void> {
  for await (const { progress } of record.watch()) if (progress) return;
}

async function checkOn(runtime: string, consumer: Program): Promise<void> {
  await check(`errors that ${runtime} stored are read on ${OWN}`, async () => {
    const names = Object.keys(THROWN);
    const records = await Promise.all(names.map((name) => fail.with({ queue: runtime }).schedule(name).then(failed)));
    assert.deepEqual(records.map(({ status, errors }) => [status, errors.length]), names.map(() => ["failed", 1]));
    const { error } = records[names.indexOf(ORDER_ERROR)]!;
    assert.deepEqual([error?.name, error?.message, error?.code], ["OrderError", "no order 7", "E_ORDER"]);
    assert.match(error?.stack ?? "", /OrderError: no order 7|thrown\.ts/);
    assert.match(error?.stack ?? "", /thrown\.ts:\d+/);
    assert.equal(error?.cause, "TypeError: no rows\nstring: closed");
    errors.set(runtime, records.map(({ error }, i) => `${names[i]}: ${error?.name}: ${error?.message}`));
  });

  await check(`${OWN} cancels a task that runs on ${runtime}`, async () => {
    const record = await nap.with({ queue: runtime }).schedule();
    await begun(record);
    await record.cancel();
    await assert.rejects(() => record.result({ timeout: "30s" }), /was cancelled/);
    const line = await consumer.line(`aborted ${record.id}`);
    assert.deepEqual(line, { [`aborted ${record.id}`]: true, name: "TaskCancelled" });
    assert.equal((await record.refresh()).status, "cancelled");
  });

  await check(`${OWN} watches the progress of a task on ${runtime}`, async () => {
    const seen: string[] = [];
    for await (const { status, progress } of (await steps.with({ queue: runtime }).schedule(3)).watch()) {
      if (status === "running" && progress) seen.push(progress.note!);
      else if (status !== "running" && status !== "created") {
        seen.push(status);
      }
    }
    assert.equal(seen.at(-1), "completed");
    assert.ok(seen.includes(`step 2 on ${runtime}`), seen.join());
  });

  await check(`a task that ${OWN} schedules in a transaction runs on ${runtime}, or is rolled back`, async () => {
    const n = RUNTIMES.indexOf(runtime);
    const scheduled = await transaction(() => add.with({ queue: runtime }).schedule(n));
    let lost: TaskRecord | undefined;
    await assert.rejects(() =>
      transaction(async () => {
        lost = await add.with({ queue: runtime }).schedule(-1);
        throw new Error("rolled back");
      }), /rolled back/);
    assert.equal(await scheduled.result({ timeout: "30s" }), runtime);
    await assert.rejects(() => add.get(lost!.id), { name: "TaskNotFound" });
    const rows = await ff.sql`SELECT runtime, attempt FROM ledger WHERE n = ${n}`;
    assert.deepEqual([...rows].map((row) => ({ ...row })), [{ runtime, attempt: 1 }]);
  });
}

/** Errors by runtime, as text. */
const errors = new Map<string, string[]>();
const consumers = RUNTIMES.map((runtime) => new Program(runtime, "./consumer.ts", { args: ["tasks", runtime, "all"] }));
await withPrograms(consumers, async () => {
  await Promise.all(consumers.map((consumer) => checkOn(consumer.runtime, consumer)));

  await check("names and messages of errors are the same from every runtime", () => {
    for (const runtime of RUNTIMES) {
      assert.deepEqual(errors.get(runtime), errors.get(RUNTIMES[0]!), runtime);
    }
  });

  await check("tasks of one queue are retried on whichever runtime is free", async () => {
    const records = await flaky.with({ queue: "all" }).scheduleMany(Array.from({ length: 100 }, () => []));
    const results = await Promise.all(records.map((record) => record.result({ timeout: "30s" })));
    assert.ok(results.every((runtime) => RUNTIMES.includes(runtime)));
    for (const record of records) {
      const { errors, attempt } = await record.refresh();
      assert.deepEqual([errors.length, attempt], [1, 2]);
    }
  });
});

await check("every runtime schedules the same unique tasks at once, and each is inserted once", async () => {
  const keys = Array.from({ length: 50 }, (_, i) => `key ${i}`);
  const programs = RUNTIMES.map((runtime) => new Program(runtime, "./scheduler.ts"));
  await Promise.all(programs.map((program) => program.line("ready")));
  for (const program of programs) program.write(JSON.stringify(keys));
  const answers: { id: number; inserted: boolean }[][] = await Promise.all(
    programs.map(async (program) => (await program.line("scheduled")).scheduled),
  );
  for (const [i, key] of keys.entries()) {
    const ids = new Set(answers.map((answer) => answer[i]!.id));
    assert.deepEqual([ids.size, answers.filter((answer) => answer[i]!.inserted).length], [1, 1], key);
  }
});

const rescuer = RUNTIMES[(RUNTIMES.indexOf(OWN) + 1) % RUNTIMES.length]!;
await check(`a task whose consumer on ${OWN} is killed runs again on ${rescuer}`, async () => {
  const victim = new Program(OWN, "./consumer.ts", { args: ["tasks", "rescue"] });
  const record = await steps.with({ queue: "rescue" }).schedule(2);
  await begun(record);
  victim.kill("SIGKILL");
  assert.equal(await victim.ended(), "SIGKILL");
  const consumer = new Program(rescuer, "./consumer.ts", { args: ["tasks", "rescue"] });
  await withPrograms([consumer], async () => assert.equal(await record.result({ timeout: "30s" }), 2));
  assert.equal((await record.refresh()).attempt, 2);
});
await ff.close();
