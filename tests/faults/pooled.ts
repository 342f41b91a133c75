import { Firefly } from "../../mod.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { type CliOptions, type CliProcess, startCli } from "../support/process.ts";
import { recordOf } from "../support/records.ts";
import { until } from "../support/waiting.ts";
import { type Fault, type Figures, percentile, type Scale } from "./fault.ts";
import { write } from "./ledger_tasks.ts";
import { startPgBouncer } from "./pgbouncer.ts";
import { without } from "../support/without.ts";

const TASKS = new URL("./ledger_tasks.ts", import.meta.url).pathname;

/** Without it, the hot path starts its connections with settings that PgBouncer refuses. */
const CLEAN_STARTUP = {
  file: "src/database/pools.ts",
  find: "settings.pooled ? await database.#withSetup() : await database.#withPooler()",
  replace: "settings",
};

/** Fault 17: behind a transaction pooler everything works but LISTEN, and that is said. */
export const pooled: Fault = {
  number: 17,
  title: "PgBouncer in transaction mode",
  needs: ["pgbouncer"],
  async run(figures: Figures, scale: Scale) {
    await using db = await testDatabase({ migrated: false });
    await using bouncer = await startPgBouncer(db.url, "transaction", { default_pool_size: "8" });
    const url = bouncer.through(db.url);
    await using ff = new Firefly({ database: url });
    await ff.migrate();
    await db.sql`CREATE TABLE ledger (n int, task_id bigint, attempt int)`;
    const count = scale === "full" ? 5_000 : 300;
    await using consumer = consume(url, {}, "1s");
    const records = await scheduleAll(ff, count);
    const done = await doneWithin(db, count, 60_000);
    await until(() => lines(consumer, "unavailable").length > 0, 15_000).catch(() => {});
    figures.is(`of ${count} tasks completed`, done, count);
    figures.is("scheduled", records, count);
    figures.is("written", Number((await db.sql`SELECT count(*) FROM ledger`)[0]!.count), count);
    figures.is("attempts that failed", await failures(db), 0);
    figures.is("errors in the log", lines(consumer, '"level":"error"').length, 0);
    for (const line of lines(consumer, '"level":"error"')) console.error(line);
    figures.is("listener.unavailable reported", lines(consumer, '"event":"unavailable"').length, 1);
    await direct(figures, { db, url, ff }, scale === "full" ? 20 : 5);
  },
  async control(figures: Figures) {
    await using db = await testDatabase();
    await using bouncer = await startPgBouncer(db.url, "transaction");
    await using copy = await without(CLEAN_STARTUP);
    await db.sql`CREATE TABLE ledger (n int, task_id bigint, attempt int)`;
    await using ff = new Firefly({ database: db.url });
    await using _consumer = consume(bouncer.through(db.url), { root: copy.root }, "1s");
    await scheduleAll(ff, 1);
    figures.is("completed within 4 s without detecting the pooler", await doneWithin(db, 1, 4_000), 0);
  },
};

/** With a direct URL for LISTEN, tasks start at once. */
async function direct(
  figures: Figures,
  { db, url, ff }: { db: TestDatabase; url: string; ff: Firefly },
  times: number,
): Promise<void> {
  const queue = "told";
  await using told = consume(url, {}, "30s", ["--listen-database", db.url, "--queue", queue]);
  await until(() => lines(told, '"event":"listening"').length > 0, 20_000);
  const delays: number[] = [];
  for (let i = 0; i < times; i++) {
    const began = performance.now();
    const record = await ff.run(() => write.with({ queue }).schedule(i));
    await until(async () => (await recordOf(db, record.id)).status === "completed", 20_000).catch(() => {});
    delays.push(performance.now() - began);
  }
  figures.within("completed with a direct URL for LISTEN, slowest", Math.max(...delays), 1_000);
  figures.within("completed with a direct URL for LISTEN, median", percentile(delays, 0.5), 1_000);
  figures.is("listener.unavailable reported with a direct URL", lines(told, '"event":"unavailable"').length, 0);
}

function consume(url: string, options: CliOptions, poll: string, more: string[] = []): CliProcess {
  const flags = ["--lease", "2s", "--poll-interval", poll, "--json", "--verbose", ...more];
  return startCli(["consume", "--database", url, "--import", TASKS, ...flags], options);
}

/** Schedules from eight writers at a time; resolves to how many calls succeeded. */
async function scheduleAll(ff: Firefly, count: number): Promise<number> {
  let [next, resolved] = [0, 0];
  await Promise.all(Array.from({ length: 8 }, async () => {
    while (next < count) {
      const n = next++;
      await ff.run(() => write.schedule(n));
      resolved++;
    }
  }));
  return resolved;
}

async function doneWithin({ sql }: TestDatabase, count: number, timeout: number): Promise<number> {
  const done = async () => Number((await sql`SELECT count(*) FROM firefly.task WHERE status = 'completed'`)[0]!.count);
  await until(async () => await done() >= count, timeout).catch(() => {});
  return await done();
}

async function failures({ sql }: TestDatabase): Promise<number> {
  const [row] = await sql`
    SELECT count(*) FROM firefly.task WHERE retry_attempts + rescues + snoozes > 0 OR status = 'failed'
  `;
  return Number(row!.count);
}

function lines({ log }: CliProcess, text: string): string[] {
  return log.filter((line) => line.includes(text));
}
