import { assert, assertEquals } from "@std/assert";
import { type TestDatabase, testDatabase } from "../database.ts";
import { startCli } from "../process.ts";
import { insertTask, placesOf, recordOf, until } from "../steps.ts";

/** Consumers in processes of their own that die of real signals. The lease is short, so that the tests are. */

const TASKS = new URL("./ledger_tasks.ts", import.meta.url).pathname;

function startConsumer(db: TestDatabase, ...args: string[]) {
  return startCli(["consume", "--database", db.url, "--import", TASKS, "--lease", "2s", ...args]);
}

async function ledgerDatabase(): Promise<TestDatabase> {
  const db = await testDatabase();
  await db.sql`CREATE TABLE ledger (n int, task_id bigint, attempt int)`;
  return db;
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
  await until(async () => JSON.stringify(await placesOf(db)) === `{"ready":0,"waiting":0,"lease":0}`);
}

Deno.test("kill -9 of a consumer in the middle of 1,000 tasks loses none and repeats no effect", async () => {
  await using db = await ledgerDatabase();
  await scheduleLedger(db, 1000);
  {
    await using victim = startConsumer(db);
    await until(async () => await countOf(db, "completed") >= 300, 30_000);
    victim.kill("SIGKILL");
    await victim.exited;
  }
  const [{ left }] = await db
    .sql`SELECT coalesce(sum(cardinality(ids)), 0)::int AS left FROM firefly.lease` as unknown as [
      { left: number },
    ];
  assert(left > 0, "the victim died with tasks in its hands");
  assert(await countOf(db, "completed") < 1000);

  await using successor = startConsumer(db);
  await until(async () => await countOf(db, "completed") === 1000, 40_000);

  await assertAllOnce(db, 1000);
  assert(successor.log.some((line) => line.includes("rescued")), "the successor says what it rescued");
});

Deno.test("kill -9 again and again fails none of the tasks that were claimed", async () => {
  await using db = await ledgerDatabase();
  await scheduleLedger(db, 400);
  for (let deaths = 1; deaths <= 5; deaths++) {
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

Deno.test("a task that kills its consumer ends failed after three deaths as the suspect, and the others finish", async () => {
  await using db = await ledgerDatabase();
  const poison = await insertTask(db, { func_name: "ledger.poison", max_retries: 1000 });
  await scheduleLedger(db, 20);

  for (let deaths = 0; deaths < 10 && (await recordOf(db, poison)).status !== "failed"; deaths++) {
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
  assertEquals((errors as { name: string }[]).at(-1)!.name, "ConsumerDied");
  assertEquals(rescues, 5, "two deaths as one of many, three as the suspect");
});

Deno.test("a consumer that is stopped past its lease loses its tasks, and cannot end them when it wakes up", async () => {
  await using db = await ledgerDatabase();
  const id = await insertTask(db, { func_name: "ledger.wait", params: btoa("[3]") });
  await using zombie = startConsumer(db);
  await until(async () => (await placesOf(db)).lease === 1, 20_000);
  zombie.kill("SIGSTOP");
  await using _ = startConsumer(db);
  await until(async () => (await recordOf(db, id)).rescues === 1, 20_000);

  zombie.kill("SIGCONT");
  await until(() => zombie.log.some((line) => line.includes("lost") || line.includes("expired")), 20_000);
  await until(async () => await countOf(db, "completed") === 1, 20_000);

  const { claim_seq, rescues } = await recordOf(db, id);
  assertEquals({ claim_seq, rescues }, { claim_seq: "2", rescues: 1 });
});

Deno.test("SIGTERM hands back what runs past the grace period, uncounted, and leaves no lease", async () => {
  await using db = await ledgerDatabase();
  const [short, long] = [
    await insertTask(db, { func_name: "ledger.wait", params: btoa("[1]") }),
    await insertTask(db, { func_name: "ledger.wait", params: btoa("[60]") }),
  ];
  await using consumer = startConsumer(db, "--shutdown-timeout", "2s");
  await until(async () => (await placesOf(db)).lease > 0, 20_000);
  const asked = performance.now();
  consumer.kill("SIGTERM");

  assertEquals(await consumer.exited, 0);
  assert(performance.now() - asked < 3000 + 1000, `it took ${performance.now() - asked} ms`);
  assertEquals((await recordOf(db, short)).status, "completed");
  const { status, retry_attempts, rescues, snoozes } = await recordOf(db, long);
  assertEquals({ status, retry_attempts, rescues, snoozes }, {
    status: "created",
    retry_attempts: 0,
    rescues: 0,
    snoozes: 1,
  });
  assertEquals(await placesOf(db), { ready: 1, waiting: 0, lease: 0 });
  assertEquals((await db.sql`SELECT FROM firefly.consumer`).length, 0);
});

Deno.test("a second SIGTERM ends the process at once", async () => {
  await using db = await ledgerDatabase();
  await insertTask(db, { func_name: "ledger.wait", params: btoa("[60]") });
  await using consumer = startConsumer(db);
  await until(async () => (await placesOf(db)).lease > 0, 20_000);
  consumer.kill("SIGTERM");
  await until(() => consumer.log.some((line) => line.includes("stop")), 5_000);
  const asked = performance.now();
  consumer.kill("SIGTERM");

  assertEquals(await consumer.exited, 143);
  assert(performance.now() - asked < 1000);
});
