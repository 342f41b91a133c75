import { type TestDatabase, testDatabase } from "../database.ts";
import { type CliOptions, startCli } from "../process.ts";
import { insertTask, recordOf, until } from "../steps.ts";
import { type Fault, type Figures, percentile } from "./fault.ts";
import { without } from "./without.ts";

const TASKS = new URL("./ledger_tasks.ts", import.meta.url).pathname;

/** Without it, what was scheduled while nobody listened waits for the poll. */
const LOOK_AFTER_RECONNECT = {
  file: "src/listener.ts",
  find: "        this.#ring(undefined);\n",
  replace: "",
};

/** Fault 6: what is scheduled while nobody listens is found as soon as somebody does. */
export const terminatedListener: Fault = {
  number: 6,
  title: "listener terminated, tasks scheduled in the gap, poll at 30 s",
  async run(figures, scale) {
    const delays = await delaysAfterTermination(scale === "full" ? 10 : 2, {});
    figures.within("picked up, slowest", Math.max(...delays), 1500);
    figures.within("picked up, median", percentile(delays, 0.5), 1500);
  },
  async control(figures: Figures) {
    await using copy = await without(LOOK_AFTER_RECONNECT);
    const [delay] = await delaysAfterTermination(1, { root: copy.root }, 5_000);
    figures.is("picked up within 5 s without a look after reconnecting", delay! < 5_000, false);
  },
};

/** Milliseconds from scheduling in the gap to the start, each time; `patience` if it did not start by then. */
async function delaysAfterTermination(times: number, options: CliOptions, patience = 20_000): Promise<number[]> {
  await using db = await testDatabase();
  const args = ["consume", "--database", db.url, "--import", TASKS, "--poll-interval", "30s", "--json"];
  await using _consumer = startCli(args, options);
  await db.sql`CREATE TABLE ledger (n int, task_id bigint, attempt int)`;
  const delays: number[] = [];
  for (let i = 0; i < times; i++) {
    await until(async () => await listeners(db) > 0, 20_000);
    await db.sql`
      SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'firefly'
        AND (query LIKE '%LISTEN%' OR query LIKE '%pg_listening_channels%')
    `;
    const scheduled = performance.now();
    const id = await insertTask(db, { func_name: "ledger.write", params: btoa(`[${i}]`) });
    const started = async () => (await recordOf(db, id)).status === "completed";
    await until(started, patience).catch(() => {});
    delays.push(performance.now() - scheduled);
  }
  return delays;
}

async function listeners(db: TestDatabase): Promise<number> {
  const rows = await db.sql`
    SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'firefly' AND query LIKE '%pg_listening_channels%'
  `;
  return rows.count;
}
