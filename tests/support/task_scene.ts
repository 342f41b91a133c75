import { task } from "../../mod.ts";
import type { TestInstance } from "./instance.ts";
import { taskName } from "./instance.ts";

/** Tasks in every state, with the names of their tasks. */
export interface TaskScene {
  readonly sends: string;
  readonly fails: string;
  readonly completed: number;
  readonly failed: readonly number[];
  readonly cancelled: number;
  readonly due: number;
  readonly delayed: number;
  readonly limited: readonly number[];
  readonly unknown: number;
  readonly running: number;
}

/** Makes a task in each state; `running` is claimed by a consumer that lives and does nothing. */
export async function taskScene({ ff, db, drain }: TestInstance): Promise<TaskScene> {
  const names = { sends: taskName(), fails: taskName() };
  const sends = task({ name: names.sends, maxRetries: 2 }, (to: string): string => `sent to ${to}`);
  const fails = task({ name: names.fails }, (code: number): void => {
    throw new TypeError(`refused with ${code}`);
  });
  const limits = task({ name: taskName(), concurrency: { limit: 1, key: "printer" } }, () => {});
  const scene = await ff.run(async () => {
    const completed = (await sends.schedule("ana")).id;
    const failed = [(await fails.schedule(1)).id, (await fails.schedule(2)).id, (await fails.schedule(3)).id];
    await drain({ tasks: [sends, fails, limits] });
    const stopped = await sends.schedule("bob");
    await stopped.cancel();
    const due = (await sends.with({ tags: ["nightly"] }).schedule("cyd")).id;
    const delayed = (await sends.with({ delay: "2h" }).schedule("dan")).id;
    const limited = [(await limits.schedule()).id, (await limits.schedule()).id];
    return {
      ...names,
      completed,
      failed,
      cancelled: stopped.id,
      due,
      delayed,
      limited,
    };
  });
  const [unknown] = await db
    .sql`INSERT INTO firefly.task (func_name, queue) VALUES ('test.unknown', 'other') RETURNING id`;
  await db.sql`DELETE FROM firefly.ready WHERE id = ${unknown!.id}`;
  await db.sql`
    INSERT INTO firefly.waiting (id, claim_seq, not_before, priority, queue, func_name, reason)
    SELECT id, claim_seq, not_before, priority, queue, func_name, 'unknown' FROM firefly.task WHERE id = ${unknown!.id}
  `;
  const running = await ff.run(() => sends.schedule("eve"));
  await claim({ db }, running.id);
  return { ...scene, unknown: Number(unknown!.id), running: running.id };
}

/** Claims a ready task for a consumer that lives for an hour. */
export async function claim({ db }: Pick<TestInstance, "db">, id: number): Promise<void> {
  await db.sql`
    WITH process AS (
      INSERT INTO firefly.consumer_process (host, pid, release) VALUES ('mail-1', 3980, 'r1') RETURNING id
    ), consumer AS (
      INSERT INTO firefly.consumer (id, host, pid, version, queues, tasks, concurrency, lease_until, process_id)
      SELECT gen_random_uuid(), 'mail-1', 3980, '0.1.0', '{default}', ARRAY(SELECT DISTINCT func_name FROM firefly.task WHERE queue = 'default'),
        10, now() + interval '1 hour', id
      FROM process
      RETURNING id, process_id
    )
    INSERT INTO firefly.claim_batch (id, consumer_id, ids, lengths, claim_seqs, attempted_by)
    SELECT gen_random_uuid(), consumer.id, ARRAY[task.id], '{1}', ARRAY[task.claim_seq], consumer.process_id
    FROM consumer, firefly.task
    WHERE task.id = ${id}
  `;
  await db.sql`DELETE FROM firefly.ready WHERE id = ${id}`;
}
