import { type TestDatabase, testDatabase } from "../support/database.ts";
import { type CliOptions, startCli } from "../support/process.ts";
import { insertTask, recordOf } from "../support/records.ts";
import { until } from "../support/waiting.ts";
import { TcpProxy } from "../support/tcp_proxy.ts";
import { type Fault, type Figures, percentile } from "./fault.ts";
import { without } from "../support/without.ts";

const TASKS = new URL("./process_tasks.ts", import.meta.url).pathname;
const CONFIG = new URL("./listen_config.ts", import.meta.url).pathname;

/** Without it, what was scheduled while nobody listened waits for the poll. The look after the first connection stays. */
const LOOK_AFTER_RECONNECT = {
  file: "src/notify/listener.ts",
  find: "        this.#notify(undefined);\n",
  replace: "        if (!globalThis.rang) this.#notify(undefined);\n        globalThis.rang = true;\n",
};

/** Maintenance wakes the consumer too, every five seconds: a control must not mistake that for the look. */
const WAKES_BY_MAINTENANCE = {
  file: "src/claim/requests.ts",
  find: "      this.#serving = undefined;\n      this.#hooks.onProgress();\n",
  replace: "      this.#serving = undefined;\n",
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
    await using looks = await without(WAKES_BY_MAINTENANCE);
    await using looksNot = await without(WAKES_BY_MAINTENANCE, LOOK_AFTER_RECONNECT);
    const timeout = 4_000;
    const [[seen], [missed]] = await Promise.all([looks, looksNot].map(({ root }) => {
      return delaysAfterTermination(1, { root }, timeout);
    })) as [number[], number[]];
    figures.is("picked up within 4 s, with only a poll after reconnecting", seen! < timeout, true);
    figures.is("picked up within 4 s, without that poll", missed! < timeout, false);
  },
};

/** Milliseconds from scheduling in the gap to the end, each time; `timeout` if it did not come by then. */
async function delaysAfterTermination(times: number, options: CliOptions, timeout = 20_000): Promise<number[]> {
  await using db = await testDatabase();
  await using proxy = await TcpProxy.start(db.url);
  const env = { FAULT_DATABASE_URL: db.url, FAULT_LISTEN_URL: proxy.through(db.url) };
  // Each renewal of the lease wakes the consumer, too: none comes while this lasts.
  const args = ["consume", "--config", CONFIG, "--import", TASKS, "--poll-interval", "30s", "--lease", "10m", "--json"];
  await using _consumer = startCli(args, { ...options, env });
  const delays: number[] = [];
  for (let i = 0; i < times; i++) {
    await until(async () => (await listeners(db)).length === 1, 20_000);
    // While this one runs, the look that follows the connection, or the task before, comes to its end.
    const before = await schedule(db, 100);
    await until(() => isCompleted(db, before), 20_000);
    // Nobody may listen again before the task is there.
    proxy.mode = "reject";
    for (const pid of await listeners(db)) await db.sql`SELECT pg_terminate_backend(${pid})`;
    await until(async () => (await listeners(db)).length === 0, 5_000);
    const scheduled = performance.now();
    const id = await schedule(db, 0);
    proxy.mode = "pass";
    await until(() => isCompleted(db, id), timeout).catch(() => {});
    delays.push(performance.now() - scheduled);
  }
  return delays;
}

async function schedule(db: TestDatabase, ms: number): Promise<number> {
  return await insertTask(db, { func_name: "process.wait", params: btoa(`[${ms}]`) });
}

async function isCompleted(db: TestDatabase, id: number): Promise<boolean> {
  return (await recordOf(db, id)).status === "completed";
}

/** The backends that listen. */
async function listeners({ sql }: TestDatabase): Promise<number[]> {
  const rows = await sql`
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'firefly' AND query ~ 'LISTEN|pg_listening_channels|_wake_lock'
  `;
  return rows.map(({ pid }) => pid);
}
