import type { TestDatabase } from "../support/database.ts";
import { type CliProcess, startCli } from "../support/process.ts";
import { insertTask, recordOf } from "../support/records.ts";
import { until } from "../support/waiting.ts";
import type { Fault, Figures, Scale } from "./fault.ts";
import { ledgerDatabase } from "./ledger.ts";

const TASKS = new URL("./blocking_tasks.ts", import.meta.url).pathname;

/** Fault 10: a handler that never gives the event loop back takes its process along, and only that, a few times. */
export const blockedLoop: Fault = {
  number: 10,
  title: "handler for (;;) {}",
  async run(figures, scale) {
    const [lease, consumers, others] = scale === "full" ? [2, 4, 400] : [1, 2, 40];
    await using db = await ledgerDatabase();
    const poison = await insertTask(db, { func_name: "blocking.spin", params: btoa("[-1]"), max_retries: 1000 });
    await scheduleWrites(db, others);
    await using supervisor = supervise(consumers, [...argumentsFor(db, lease), "--concurrency", "4"]);
    await until(async () => (await recordOf(db, poison)).status === "failed", 60_000);
    await until(async () => await completed(db) === others, 30_000);

    const { crashes, codes } = supervisor;
    const { errors } = await recordOf(db, poison);
    const [ledger] = await db.sql`SELECT count(*)::int AS rows, count(DISTINCT n)::int AS distinct FROM ledger`;
    figures.within("process ended after the block began, slowest", Math.max(...crashes), lease * 1000);
    figures.is("exit codes", [...new Set(codes)].join(), "137");
    figures.is("crashes: two with others, three in quarantine", crashes.length, 5);
    figures.is("error of the task", (errors as { name: string }[]).at(-1)?.name ?? "none", "ConsumerCrashed");
    figures.is("others finished", await completed(db), others);
    figures.is("effects twice", ledger!.rows - ledger!.distinct, 0);
  },
  async control(figures: Figures, scale: Scale) {
    const lease = scale === "full" ? 2 : 1;
    await using db = await ledgerDatabase();
    await insertTask(db, { func_name: "blocking.spin", params: btoa("[-1]") });
    await using consumer = startCli([...argumentsFor(db, lease), "--no-watchdog"]);
    await until(() => beganAt(consumer) !== undefined, 20_000);
    const waited = new Promise<false>((resolve) => setTimeout(() => resolve(false), lease * 2000));
    const ended = await Promise.race([consumer.exited.then(() => true), waited]);
    figures.is("ended within two leases without a watchdog", ended, false);
  },
};

function argumentsFor(db: TestDatabase, lease: number): string[] {
  return ["consume", "--database", db.url, "--import", TASKS, "--json", "--lease", `${lease}s`];
}

async function scheduleWrites(db: TestDatabase, count: number): Promise<void> {
  await db.sql`
    INSERT INTO firefly.task (func_name, params)
    SELECT 'blocking.write', firefly.encode(jsonb_build_array(n)) FROM generate_series(1, ${count}) AS n
  `;
}

async function completed(db: TestDatabase): Promise<number> {
  const [row] = await db.sql`SELECT count(*)::int AS n FROM firefly.task WHERE status = 'completed'`;
  return row!.n;
}

/** When its handler blocked the loop, by the clock of this machine; undefined if none has. */
function beganAt({ log }: CliProcess): number | undefined {
  const line = log.find((line) => line.startsWith("spins "));
  return line === undefined ? undefined : Number(line.slice("spins ".length));
}

/** Keeps `count` consumers running: starts one in the place of each that ended. */
function supervise(count: number, args: string[]) {
  const crashes: number[] = [];
  const codes: number[] = [];
  const running = new Set<CliProcess>();
  let isOver = false;
  async function keepOne(): Promise<void> {
    while (!isOver) {
      const consumer = startCli(args);
      running.add(consumer);
      const code = await consumer.exited;
      running.delete(consumer);
      if (isOver) return;
      codes.push(code);
      crashes.push(Date.now() - (beganAt(consumer) ?? -Infinity));
    }
  }
  const kept = Array.from({ length: count }, keepOne);
  return {
    crashes,
    codes,
    async [Symbol.asyncDispose]() {
      isOver = true;
      await Promise.all([...running].map((consumer) => consumer[Symbol.asyncDispose]()));
      await Promise.all(kept);
    },
  };
}
