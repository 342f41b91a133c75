import postgres from "postgres";
import { startConsumer } from "../support/claiming.ts";
import { outcomeOf } from "../support/settling.ts";
import { until } from "../support/waiting.ts";
import { claimTasks } from "../../src/store/claim.ts";
import { settleTasks } from "../../src/store/settle.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { consumersLive, startConsumerOf } from "./consumers.ts";
import { type Fault, percentile } from "./fault.ts";

const QUEUES = Array.from({ length: 1_000 }, (_, i) => `q${i}`);
/** Tasks scheduled a second, each into a queue at random. */
const RATE = 200;

/** Fault 16: neither what waits, nor many queues, nor a snapshot that keeps every dead row slows a claim down. */
export const longSnapshot: Fault = {
  number: 16,
  title: "100,000 waiting, 1,000 queues, an open repeatable-read transaction, traffic for 30 s",
  async run(figures, scale) {
    await using db = await testDatabase();
    await db.sql`
      INSERT INTO firefly.task (func_name, queue, not_before)
      SELECT 'data.echo', 'q' || n % ${QUEUES.length}::int, now() + interval '1 hour' FROM generate_series(1, 100000) AS n
    `;
    const snapshot = postgres(db.url, { max: 1, onnotice() {} });
    try {
      await snapshot.unsafe("BEGIN ISOLATION LEVEL REPEATABLE READ");
      await snapshot`SELECT count(*) FROM firefly.ready`;
      await using _consumer = startConsumerOf(db, { args: ["--queue", QUEUES.join(), "--concurrency", "10"] });
      await consumersLive(db, 1);
      const [seconds, least] = scale === "full" ? [30, 300] : [3, 20];
      const { scheduled, claims } = await traffic(db, { seconds, least });
      const listeners = await db.sql`
        SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'firefly' AND query ~ 'LISTEN|pg_listening_channels|_wake_lock'
      `;
      const [row] = await db.sql`SELECT count(*)::int AS completed FROM firefly.task WHERE status = 'completed'`;
      const [kept] = await db.sql`
        SELECT n_dead_tup::int AS dead FROM pg_stat_user_tables WHERE schemaname = 'firefly' AND relname = 'ready'
      `;

      figures.atLeast("claims measured", claims.length, least);
      figures.speed("claim, p50", percentile(claims, 0.5), 50);
      figures.speed("claim, p99", percentile(claims, 0.99), 50);
      figures.is("listening connections", listeners.count, 1);
      figures.is("scheduled and not completed", scheduled - row!.completed, 0);
      figures.atLeast("dead rows of ready kept by the snapshot", kept!.dead, scale === "full" ? 1_000 : 0);
    } finally {
      await snapshot.end({ timeout: 1 });
    }
  },
};

/**
 * Schedules for some seconds, and claims and settles beside the consumer, so long and at `least` so often; times each
 * claim, in milliseconds.
 */
async function traffic(
  db: TestDatabase,
  { seconds, least }: { seconds: number; least: number },
): Promise<{ scheduled: number; claims: number[] }> {
  const began = performance.now();
  const elapsed = () => (performance.now() - began) / 1000;
  let scheduled = 0;
  async function produce(): Promise<void> {
    while (elapsed() < seconds) {
      const due = Math.floor(elapsed() * RATE) - scheduled;
      scheduled += due;
      await db.sql`
        INSERT INTO firefly.task (func_name, queue, params)
        SELECT 'data.echo', 'q' || floor(random() * ${QUEUES.length})::int, firefly.encode('[1]')
        FROM generate_series(1, ${due})
      `;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  const claims: number[] = [];
  const consumerId = await startConsumer(db, { queues: QUEUES, tasks: ["data.echo"], lease: 600 });
  async function consume(): Promise<void> {
    for (let claimed = 0; elapsed() < seconds || claimed > 0 || claims.length < least;) {
      const [batchId, quarantinedBatchId] = [crypto.randomUUID(), crypto.randomUUID()];
      const sent = performance.now();
      const { tasks } = await claimTasks(db.store, {
        consumerId,
        batchId,
        quarantinedBatchId,
        queues: QUEUES,
        names: ["data.echo"],
        limit: 10,
      });
      claims.push(performance.now() - sent);
      claimed = tasks.length;
      if (claimed > 0) await settleTasks(db.store, tasks.map((task) => outcomeOf(task)), [batchId]);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  await Promise.all([produce(), consume()]);
  // The last ones may wait for the second after which a consumer looks that does not hold the wake locks of all its queues.
  await until(async () => {
    const [left] = await db.sql`
      SELECT (SELECT count(*) FROM firefly.ready)::int AS ready, (SELECT count(*) FROM firefly.claim_batch)::int AS leased
    `;
    return left!.ready + left!.leased === 0;
  }, 5_000).catch(() => {});
  return { scheduled, claims };
}
