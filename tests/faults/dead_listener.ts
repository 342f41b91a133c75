import { type TestDatabase, testDatabase } from "../support/database.ts";
import { type CliProcess, startCli } from "../support/process.ts";
import { insertTask, recordOf } from "../support/records.ts";
import { until } from "../support/waiting.ts";
import { TcpProxy } from "../support/tcp_proxy.ts";
import type { Fault, Figures, Scale } from "./fault.ts";
import { type Removal, without } from "../support/without.ts";

const TASKS = new URL("./ledger_tasks.ts", import.meta.url).pathname;

/** The listener's own times in milliseconds, and those of the short form. */
const [HEARTBEAT, DEADLINE, SHORT] = [10_000, 5_000, 1_000];
const SOONER: Removal[] = [
  { file: "src/notify/listener.ts", find: "const HEARTBEAT = 10_000;", replace: `const HEARTBEAT = ${SHORT};` },
  { file: "src/notify/listener.ts", find: "const DEADLINE = 5_000;", replace: `const DEADLINE = ${SHORT};` },
];
/** Without it, nothing is ever asked of a connection that listens. */
const CHECK: Removal = {
  file: "src/notify/listener.ts",
  find: "added.length > 0 || performance.now() >= checkAt",
  replace: "added.length > 0",
};

/** Fault 7: a connection that answers no more is found out, though nobody tells of it. */
export const deadListener: Fault = {
  number: 7,
  title: "listener black-holed, poll at 60 s",
  async run(figures: Figures, scale: Scale) {
    const [heartbeat, deadline] = scale === "full" ? [HEARTBEAT, DEADLINE] : [SHORT, SHORT];
    await using copy = scale === "full" ? undefined : await without(...SOONER);
    const limit = heartbeat * 1.1 + deadline + 500;
    const { noticed, back, woken } = await fall(copy?.root, limit * 2);
    figures.within("noticed", noticed, limit);
    figures.within("listens again after the network is back", back, 5_000);
    figures.within("task scheduled then, completed", woken, 1_500);
  },
  async control(figures: Figures) {
    await using copy = await without(...SOONER, CHECK);
    const { noticed } = await fall(copy.root, 2 * SHORT * 1.1 + 1_000, true);
    figures.is("noticed without a heartbeat", Number.isFinite(noticed), false);
  },
};

/** Black-holes a consumer's listener; milliseconds until each step, Infinity if it did not come within `timeout`. */
async function fall(root: string | undefined, timeout: number, only = false) {
  await using db = await testDatabase();
  await using proxy = await TcpProxy.start(db.url);
  await db.sql`CREATE TABLE ledger (n int, task_id bigint, attempt int)`;
  const urls = ["--database", db.url, "--listen-database", proxy.through(db.url)];
  const flags = ["--lease", "2s", "--poll-interval", "60s", "--json", "--verbose"];
  await using consumer = startCli(
    ["consume", ...urls, "--import", TASKS, ...flags],
    { root },
  );
  await until(() => count(consumer, "listening") === 1, 20_000);

  proxy.mode = "hole";
  const noticed = await timed(() => count(consumer, "outage") + count(consumer, "error") > 0, timeout);
  if (only) return { noticed, back: Infinity, woken: Infinity };
  proxy.mode = "pass";
  const back = await timed(() => count(consumer, "listening") > 1, 20_000);
  const woken = await timed(await completes(db), 20_000);
  return { noticed, back, woken };
}

async function completes(db: TestDatabase): Promise<() => Promise<boolean>> {
  const id = await insertTask(db, { func_name: "ledger.write", params: btoa("[1]") });
  return async () => (await recordOf(db, id)).status === "completed";
}

async function timed(condition: () => boolean | Promise<boolean>, timeout: number): Promise<number> {
  const began = performance.now();
  return await until(condition, timeout).then(() => performance.now() - began, () => Infinity);
}

function count({ log }: CliProcess, event: string): number {
  return log.filter((line) => line.includes(`"event":"${event}"`)).length;
}
