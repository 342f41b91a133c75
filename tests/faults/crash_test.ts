import { assertEquals } from "@std/assert";
import type { TestDatabase } from "../support/database.ts";
import { startCli } from "../support/process.ts";
import { insertTask, placesOf, recordOf } from "../support/records.ts";
import { until } from "../support/waiting.ts";
import { ledgerDatabase } from "./ledger.ts";

/** Consumers in processes of their own that die of real signals. The lease is short, so that the tests are. */

const TASKS = new URL("./ledger_tasks.ts", import.meta.url).pathname;

function startConsumer(db: TestDatabase, ...args: string[]) {
  return startCli(["consume", "--database", db.url, "--import", TASKS, "--lease", "2s", ...args]);
}

async function countOf(db: TestDatabase, status: string): Promise<number> {
  const [row] = await db.sql`SELECT count(*)::int AS n FROM firefly.task WHERE status = ${status}`;
  return row!.n;
}

async function scheduleLedger(db: TestDatabase, count: number): Promise<void> {
  await db.sql`
    INSERT INTO firefly.task (func_name, params)
    SELECT 'ledger.write', firefly.encode(jsonb_build_array(n)) FROM generate_series(1, ${count}) AS n
  `;
}

/** Every task completed, every effect once, nothing left behind. */
async function assertAllOnce(db: TestDatabase, count: number): Promise<void> {
  const [ledger] = await db.sql`SELECT count(*)::int AS rows, count(DISTINCT n)::int AS distinct FROM ledger`;
  assertEquals(ledger, { rows: count, distinct: count });
  assertEquals(await countOf(db, "failed"), 0);
  await until(async () => JSON.stringify(await placesOf(db)) === `{"ready":0,"waiting":0,"claimBatches":0}`);
}

Deno.test("kill -9 again and again fails none of the tasks that were claimed", async () => {
  await using db = await ledgerDatabase();
  await scheduleLedger(db, 400);
  for (let crashes = 1; crashes <= 5; crashes++) {
    await using victim = startConsumer(db, "--concurrency", "4", "--lease", "1s");
    const before = await countOf(db, "completed");
    await until(async () => await countOf(db, "completed") >= before + 40, 30_000);
    victim.kill("SIGKILL");
    await victim.exited;
  }

  await using _ = startConsumer(db, "--lease", "1s");
  await until(async () => await countOf(db, "completed") === 400, 40_000);

  await assertAllOnce(db, 400);
});

Deno.test("a task that kills its consumer ends failed after three crashes in quarantine, and the others finish", async () => {
  await using db = await ledgerDatabase();
  const poison = await insertTask(db, { func_name: "ledger.poison", max_retries: 1000 });
  await scheduleLedger(db, 20);

  for (let crashes = 0; crashes < 10 && (await recordOf(db, poison)).status !== "failed"; crashes++) {
    await using consumer = startConsumer(db, "--lease", "1s");
    const died = consumer.exited.then(() => true);
    await until(
      async () =>
        (await recordOf(db, poison)).status === "failed" || await Promise.race([
          died,
          new Promise<false>((resolve) => setTimeout(() => resolve(false), 50)),
        ]),
      30_000,
    );
  }
  await using _ = startConsumer(db, "--lease", "1s");
  await until(async () => await countOf(db, "completed") === 20, 40_000);

  const { status, errors, rescues } = await recordOf(db, poison);
  assertEquals(status, "failed");
  assertEquals((errors as { name: string }[]).at(-1)!.name, "ConsumerCrashed");
  assertEquals(rescues, 5, "two crashes as one of many, three in quarantine");
});
