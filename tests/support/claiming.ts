import { assert, assertEquals } from "@std/assert";
import { type Claim, type ClaimRequest, claimTasks } from "../../src/store/claim.ts";
import type { ClaimedTask } from "../../src/store/claimed_task.ts";
import { registerConsumer } from "../../src/store/consumers.ts";
import type { TestDatabase } from "./database.ts";

/** Registers a consumer, which then lives for `lease` seconds. */
export async function startConsumer(
  db: TestDatabase,
  { lease = 60, queues = ["default"], tasks = ["test.task"] } = {},
): Promise<string> {
  const id = crypto.randomUUID();
  const info = { id, host: "test", pid: 1, version: "0.0.0", queues, tasks, concurrency: 10 };
  await registerConsumer(db.store, info, lease);
  return id;
}

/** Claims as the consumer would. */
export async function claim(db: TestDatabase, request: Partial<ClaimRequest> & { consumerId: string }): Promise<Claim> {
  return await claimTasks(db.store, {
    batchId: crypto.randomUUID(),
    quarantinedBatchId: crypto.randomUUID(),
    queues: ["default"],
    names: ["test.task"],
    limit: 100,
    ...request,
  });
}

/** Claims the one task that is ready. */
export async function claimOne(db: TestDatabase, consumerId: string): Promise<ClaimedTask> {
  const { tasks: [task] } = await claim(db, { consumerId, limit: 1 });
  assert(task, "Cannot claim one task as none is ready");
  return task;
}

/** Tasks that one consumer has claimed with one lease. */
export async function claimMany(db: TestDatabase, count: number): Promise<ClaimedTask[]> {
  await db.sql`INSERT INTO firefly.task (func_name) SELECT 'test.task' FROM generate_series(1, ${count})`;
  const { tasks } = await claim(db, { consumerId: await startConsumer(db), limit: count });
  assertEquals(tasks.length, count);
  return tasks;
}

/** Makes a consumer look dead: its lease ended an hour ago. */
export async function expireConsumer(db: TestDatabase, consumerId: string): Promise<void> {
  await db.sql`UPDATE firefly.consumer SET lease_until = now() - interval '1 hour' WHERE id = ${consumerId}`;
}
