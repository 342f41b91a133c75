import { Attempt } from "../../src/attempt/attempt.ts";
import type { TaskOptions } from "../../mod.ts";
import { defineTask, type Handler } from "../../src/task/definition.ts";
import type { AttemptOutcome } from "../../src/settle/outcome_events.ts";
import { type Begun, type Bench, bench, type Outcome, run } from "./attempt_bench.ts";
import { claimOne, startConsumer } from "./claiming.ts";
import { insertTask, recordOf } from "./records.ts";
import { decode } from "../../src/wire/decode.ts";

/** One task, and as many attempts of it as a test wants, each with a handler of its own. */
export interface Attempts extends AsyncDisposable {
  readonly test: Bench;
  readonly id: number;
  /** Claims the task, which is made due before, and begins an attempt. */
  begin(handler: Handler, options?: Partial<TaskOptions>): Promise<Begun>;
  /** Runs an attempt to its end, and reads the record. */
  run(handler: Handler, options?: Partial<TaskOptions>): Promise<{ ending: AttemptOutcome; record: Outcome }>;
  /** The stored steps as "name/key status", in their order. */
  steps(): Promise<string[]>;
}

/** Makes a task with nine retries. */
export async function attempts(columns: Record<string, unknown> = {}): Promise<Attempts> {
  const test = await bench();
  const { db, env } = test;
  await db.sql`CREATE TABLE effect (name text, attempt int)`;
  const consumerId = await startConsumer(db);
  const id = await insertTask(db, { max_retries: 9, retry_delay: 0, ...columns });
  async function begin(handler: Handler, options: Partial<TaskOptions> = {}): Promise<Begun> {
    await db.sql`SELECT firefly.run(${id})`;
    const task = await claimOne(db, consumerId);
    env.settler.track(task.batchId, 1);
    const attempt = new Attempt(task, defineTask({ name: "test.task", ...options }, handler), env);
    return { id, consumerId, attempt, ending: run(attempt) };
  }
  return {
    test,
    id,
    begin,
    async run(handler, options) {
      const ending = await (await begin(handler, options)).ending;
      const row = await recordOf(db, id);
      const returned = row.returned === null ? null : decode(row.returned as string);
      return { ending, record: { ...row, returned } as unknown as Outcome };
    },
    async steps() {
      const rows = await db.sql`SELECT name, key, status FROM firefly.step WHERE task_id = ${id} ORDER BY seq`;
      return rows.map(({ name, key, status }) => `${name}/${key} ${status}`);
    },
    [Symbol.asyncDispose]: () => test[Symbol.asyncDispose](),
  };
}
