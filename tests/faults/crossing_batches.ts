import { Database } from "../../src/database/pools.ts";
import { codeOf } from "../../src/database/error_codes.ts";
import { cancelTasks } from "../../src/store/bulk.ts";
import type { ClaimedTask } from "../../src/store/claimed_task.ts";
import { renewConsumer } from "../../src/store/consumers.ts";
import { rescueTasks } from "../../src/store/rescue.ts";
import { settleTasks } from "../../src/store/settle.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { claim, startConsumer } from "../support/claiming.ts";
import { outcomeOf } from "../support/settling.ts";
import { until } from "../support/waiting.ts";
import type { Fault } from "./fault.ts";
import { without } from "../support/without.ts";

const DEADLOCK = "40P01";
/** How many tasks a round claims. */
const BATCH = 300;

/** Without it, two batches that hold the same tasks in different orders wait for each other. */
const SKIP_LOCKED = {
  file: "src/store/settle.ts",
  find: "        FOR UPDATE SKIP LOCKED\n      ) AS task\n      JOIN outcome",
  replace: "        ORDER BY random() -- no order is promised\n        FOR UPDATE\n      ) AS task\n      JOIN outcome",
};

/** Fault 20: whatever ends, renews, rescues and cancels at once, with the same tasks in any order, never deadlocks. */
export const crossingBatches: Fault = {
  number: 20,
  title: "renewals, completions, rescues and cancels of the same tasks, in opposite orders",
  async run(figures, scale) {
    const { rounds, ended, deadlocks, refusals } = await crossBatches(scale === "full" ? 100 : 6, settleTasks);
    figures.is("claims that ended", ended, rounds * BATCH);
    figures.is("deadlocks by pg_stat_database", deadlocks, 0);
    figures.is("statements that failed", refusals.length, 0);
  },
  async control(figures) {
    await using copy = await without(SKIP_LOCKED);
    const unprotected = await import(`file://${copy.root}/src/store/settle.ts`);
    const { refusals } = await crossBatches(40, unprotected.settleTasks);
    const deadlocks = refusals.filter(isDeadlock);
    figures.atLeast("deadlocks without SKIP LOCKED, within 40 rounds", deadlocks.length, 1);
  },
};

function isDeadlock(error: unknown): boolean {
  return codeOf(error) === DEADLOCK;
}

/** Rounds in which everything comes at once for the same claims, over a connection each. */
async function crossBatches(rounds: number, settle: typeof settleTasks) {
  await using db = await testDatabase();
  await db.sql.unsafe(
    `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET deadlock_timeout = 50', current_database()); END $$`,
  );
  const pools = [1, 2, 3, 4].map(() => new Database(db.settings, "firefly"));
  const refusals: unknown[] = [];
  try {
    // One deadlock is enough to say.
    for (let round = 0; round < rounds && !refusals.some(isDeadlock); round++) {
      const { living, dead, tasks } = await claimRound(db);
      const backwards = tasks.toReversed();
      const end = (tasks: ClaimedTask[]) => tasks.map((task) => outcomeOf(task));
      const back = (tasks: ClaimedTask[]) => {
        return tasks.map((task) => outcomeOf(task, { status: "created", returned: null, delay: 3600 }));
      };
      const some = tasks.filter(({ id }) => id % 7 === 0).map(({ id }) => ({ id, claimSeq: null }));
      const acts = pools.flatMap(({ sql, records }, i) => [
        () => settle(sql, i % 2 ? end(tasks) : end(backwards), []),
        () => settle(sql, i % 2 ? back(backwards) : back(tasks), []),
        () => renewConsumer(sql, living, 60),
        () => rescueTasks(sql),
        () => cancelTasks(records, i % 2 ? some : some.toReversed()),
      ]);
      await db.sql`DELETE FROM firefly.consumer WHERE id = ${dead}`;
      const results = await Promise.allSettled(acts.map((act) => act()));
      refusals.push(
        ...results.filter(({ status }) => status === "rejected").map((result) => {
          return (result as PromiseRejectedResult).reason;
        }),
      );
    }
    const [row] = await db.sql`
      SELECT count(*)::int AS ended FROM firefly.task WHERE claim_seq > 0
    `;
    return { rounds, ended: row!.ended, deadlocks: await deadlocksOf(db), refusals };
  } finally {
    await Promise.all(pools.map((pool) => pool.end()));
  }
}

/** Tasks that two consumers have claimed, of which one will be dead. */
async function claimRound(db: TestDatabase) {
  const [living, dead] = [await startConsumer(db), await startConsumer(db)];
  await db.sql`DELETE FROM firefly.ready`; // what the last round has rescued was counted
  await db.sql`INSERT INTO firefly.task (func_name) SELECT 'test.task' FROM generate_series(1, ${BATCH})`;
  const claims = [];
  for (const consumerId of [living, dead]) claims.push(await claim(db, { consumerId, limit: BATCH / 2 }));
  return { living, dead, tasks: claims.flatMap(({ tasks }) => tasks) };
}

/** The server counts a deadlock a moment after it has ended it. */
async function deadlocksOf({ sql }: TestDatabase): Promise<number> {
  const [{ at }] = await sql<{ at: Date }[]>`SELECT clock_timestamp() AS at` as unknown as [{ at: Date }];
  await until(async () => (await sql`SELECT WHERE clock_timestamp() > ${at} + interval '1.2 s'`).count === 1);
  const [row] = await sql`SELECT deadlocks::int FROM pg_stat_database WHERE datname = current_database()`;
  return row!.deadlocks;
}
