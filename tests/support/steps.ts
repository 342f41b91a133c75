import { assert, assertEquals } from "@std/assert";
import { makeTag, type Tag } from "../../src/database/driver.ts";
import type { ClaimedTask, ClaimRequest } from "../../src/store/claim.ts";
import { type Claim, claimTasks } from "../../src/store/claim.ts";
import { registerConsumer } from "../../src/store/consumers.ts";
import { type Outcome, settleTasks } from "../../src/store/settle.ts";
import type { TestDatabase } from "./database.ts";

/** Steps in the life of a task, for tests of the stages after them. */

/** Inserts a task by plain SQL; columns as given. */
export async function insertTask(db: TestDatabase, columns: Record<string, unknown> = {}): Promise<number> {
  const [row] = await db.sql`INSERT INTO firefly.task ${db.sql({ func_name: "test.task", ...columns })} RETURNING id`;
  return Number(row!.id);
}

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

/** How an attempt of `task` ended: completed, if nothing else is said. */
export function outcomeOf({ id, claimSeq }: ClaimedTask, outcome: Partial<Outcome> = {}): Outcome {
  return {
    id,
    claimSeq,
    status: "completed",
    returned: "bnVsbA==",
    error: null,
    began: performance.now(),
    delay: null,
    counts: null,
    ...outcome,
  };
}

/** Settles one attempt; false if it was fenced off. */
export async function settle(db: TestDatabase, task: ClaimedTask, outcome: Partial<Outcome> = {}): Promise<boolean> {
  const settled = await settleTasks(db.store, [outcomeOf(task, outcome)], [task.batchId]);
  return settled.has(task.id);
}

/** Makes a consumer look dead: its lease ended an hour ago. */
export async function expireConsumer(db: TestDatabase, consumerId: string): Promise<void> {
  await db.sql`UPDATE firefly.consumer SET lease_until = now() - interval '1 hour' WHERE id = ${consumerId}`;
}

/** The columns of a record. */
export async function recordOf(db: TestDatabase, id: number): Promise<Record<string, unknown>> {
  const [row] = await db.sql`SELECT * FROM firefly.task WHERE id = ${id}`;
  assert(row, `Cannot find task ${id}`);
  return row;
}

/** How many rows the tables around the record hold: what nothing may be left in when all is done. */
export async function placesOf(db: TestDatabase): Promise<{ ready: number; waiting: number; lease: number }> {
  const [row] = await db.sql`
    SELECT (SELECT count(*)::int FROM firefly.ready) AS ready, (SELECT count(*)::int FROM firefly.waiting) AS waiting,
      (SELECT count(*)::int FROM firefly.claim_batch) AS lease
  `;
  return row as { ready: number; waiting: number; lease: number };
}

/** A tag that counts its statements. */
export function counting(tag: Tag): Tag & { calls: number } {
  const counted = Object.assign((strings: TemplateStringsArray, ...values: unknown[]) => {
    counted.calls++;
    return tag(strings, ...values);
  }, { schema: tag.schema, schemaName: tag.schemaName, identifier: tag.identifier, calls: 0 });
  return counted as Tag & { calls: number };
}

/** How many of the database's backends are in a state, or wait for something in it. */
export async function backends(db: TestDatabase, state: string, waitFor: string | null = null): Promise<number> {
  const rows = await db.sql`
    SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND state = ${state} AND (${waitFor}::text IS NULL OR wait_event_type = ${waitFor})
  `;
  return rows.count;
}

/** Calls `act`, and resolves to the channels that rang because of it, in order. */
export async function notificationsOf(
  db: TestDatabase,
  channels: string[],
  act: () => Promise<unknown>,
): Promise<string[]> {
  const rings: string[] = [];
  const end = Promise.withResolvers<void>();
  const subscriptions = [
    ...await Promise.all(channels.map((channel) => db.sql.listen(channel, () => void rings.push(channel)))),
    await db.sql.listen("end_of_act", () => end.resolve()),
  ];
  await act();
  await db.sql.notify("end_of_act", ""); // it is delivered after every notification that was sent before
  await end.promise;
  for (const { unlisten } of subscriptions) await unlisten();
  return rings;
}

/** Looks until `condition` holds; fails after `timeout` milliseconds. */
export async function until(condition: () => boolean | Promise<boolean>, timeout = 15_000): Promise<void> {
  const deadline = performance.now() + timeout;
  while (!await condition()) {
    assert(performance.now() < deadline, `The condition did not come true within ${timeout} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** How many records `act` updates, and how many of these in place (HOT). */
export async function updatesOf(
  db: TestDatabase,
  act: (store: Tag) => Promise<unknown>,
): Promise<{ updated: number; hot: number }> {
  const [row] = await db.sql.begin(async (sql) => {
    await act(makeTag((build) => build(sql as never) as never, "firefly"));
    return await sql<{ updated: number; hot: number }[]>`
      SELECT n_tup_upd::int AS updated, n_tup_hot_upd::int AS hot FROM pg_stat_xact_user_tables
      WHERE relid = 'firefly.task'::regclass
    `;
  });
  return { ...row! };
}

/** Tasks that one consumer has claimed with one lease. */
export async function claimMany(db: TestDatabase, count: number): Promise<ClaimedTask[]> {
  await db.sql`INSERT INTO firefly.task (func_name) SELECT 'test.task' FROM generate_series(1, ${count})`;
  const { tasks } = await claim(db, { consumerId: await startConsumer(db), limit: count });
  assertEquals(tasks.length, count);
  return tasks;
}
