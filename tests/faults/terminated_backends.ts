import { until } from "../support/waiting.ts";
import { terminateConnections } from "../support/terminations.ts";
import type { CliProcess } from "../support/process.ts";
import type { Fault, Figures } from "./fault.ts";
import { entriesOf, startConsumer, untilRegistered } from "./fleet.ts";
import { checkEffects, countOf, ledgerDatabase, scheduleMarks } from "./ledger.ts";
import { without } from "../support/without.ts";

/** A connection that was lost is the driver's again: it opens another one, and runs there what it is given. */
const NO_LOSS = {
  file: "src/database/session.ts",
  find:
    'onclose: () => this.#lose(Object.assign(new Error("the connection was closed"), { code: "CONNECTION_CLOSED" })),',
  replace: "",
};

/** Fault 3: backends die under transactions that are open, one by one and all the time. */
export const terminatedBackends: Fault = {
  number: 3,
  title: "the backend of an attempt's transaction terminated, then a query on it; many terminations under load",
  async run(figures, scale) {
    const isFull = scale === "full";
    await oneByOne(figures, isFull ? 50 : 10);
    await inStorm(figures, { seconds: isFull ? 15 : 3, tasks: isFull ? 1_500 : 200 });
  },
  async control(figures: Figures) {
    await using copy = await without(NO_LOSS);
    const { fates } = await terminateEach(5, copy.root);
    figures.atLeast("queries answered outside of their transaction", countFates(fates, "outside"), 1);
    await rawDriver(figures);
  },
};

async function oneByOne(figures: Figures, times: number): Promise<void> {
  const { fates, slowest, next, alive, unhandled } = await terminateEach(times);
  figures.is("attempts whose backend was terminated", fates.length / 2, times);
  figures.is("process alive", alive, true);
  figures.is("queries that hung", countFates(fates, "hung"), 0);
  figures.is("queries answered outside of their transaction", countFates(fates, "outside"), 0);
  figures.is("unhandled rejections and exceptions", unhandled, 0);
  figures.within("the query on it rejects, slowest", slowest, 1_000);
  figures.within("the next attempt's query is answered, slowest", next, 1_000);
}

/** What came of attempts whose backends were terminated. */
interface Aftermath {
  /** What became of two queries on each. */
  fates: string[];
  /** The most milliseconds that the two took. */
  slowest: number;
  /** The most milliseconds from a termination to the answer that the next attempt got. */
  next: number;
  alive: boolean;
  unhandled: number;
}

async function terminateEach(times: number, root?: string): Promise<Aftermath> {
  await using db = await ledgerDatabase();
  await db.sql`CREATE TABLE termination (n int, answered float8, terminated float8, ms float8, fates text)`;
  const env = { SIDE_DATABASE_URL: db.url };
  await using consumer = startConsumer(db, ["--concurrency", "1"], { env, root });
  await untilRegistered(db, 1);
  await db.sql`
    INSERT INTO firefly.task (func_name, params)
    SELECT 'process.terminate', firefly.encode(jsonb_build_array(n)) FROM generate_series(1, ${times}::int) AS n
  `;
  const done = async () => (await db.sql`SELECT FROM termination`).count === times;
  await until(done, 30_000).catch(() => {});
  // With its transaction gone, each has another attempt.
  if (root === undefined) await until(async () => await countOf(db, "completed") === times, 30_000);
  const rows = await db.sql`
    SELECT fates, ms, lead(answered) OVER (ORDER BY answered) - terminated AS next FROM termination
  `;
  return {
    fates: rows.flatMap(({ fates }) => fates.split(",")),
    slowest: Math.max(...rows.map(({ ms }) => ms)),
    next: Math.max(...rows.map(({ next }) => next ?? 0)),
    alive: await isAlive(consumer),
    unhandled: entriesOf(consumer, "rejection", "exception").length,
  };
}

function countFates(fates: string[], which: string): number {
  return fates.filter((fate) => fate === which).length;
}

async function isAlive({ exited }: CliProcess): Promise<boolean> {
  return await Promise.race([exited.then(() => false), Promise.resolve().then(() => true)]);
}

async function inStorm(figures: Figures, { seconds, tasks }: { seconds: number; tasks: number }): Promise<void> {
  await using db = await ledgerDatabase();
  await using consumer = startConsumer(db);
  await untilRegistered(db, 1);
  let count = 0;
  {
    await using terminations = terminateConnections(db, {
      seconds,
      isEnough: (terminated) => terminated >= seconds * 10 && count >= tasks,
    });
    for (; terminations.ongoing; count += 50) {
      await scheduleMarks(db, 50, { from: count + 1, ms: 5 });
      await until(async () => !terminations.ongoing || await countOf(db, "created") < 100, 60_000);
    }
    figures.atLeast("storm: connections terminated", terminations.count, seconds * 10);
  }
  await scheduleMarks(db, 1, { from: ++count });
  const calm = performance.now();
  await until(async () => (await db.sql`SELECT FROM ledger WHERE n = ${count}`).count > 0, 20_000).catch(() => {});
  figures.within("load: the next query afterwards", performance.now() - calm, 1_000);
  await until(async () => await countOf(db, "created") === 0, 90_000).catch(() => {});
  await checkEffects(figures, db, count);
  figures.atLeast("load: tasks", count, tasks);
  figures.is("load: process alive", await isAlive(consumer), true);
  figures.is("load: unhandled rejections and exceptions", entriesOf(consumer, "rejection", "exception").length, 0);
  consumer.kill("SIGTERM");
  const code = await consumer.exited;
  // It says how many attempts still run: one that hung would.
  figures.is("load: attempts that hung", entriesOf(consumer, "stopping").map(({ running }) => running).join(), "0");
  figures.is("load: exit code", code, 0);
}

/** The driver's own `sql.begin` in the same storm, as if there were no Session. */
async function rawDriver(figures: Figures): Promise<void> {
  await using db = await ledgerDatabase();
  const program = new URL("./raw_driver.ts", import.meta.url).pathname;
  const config = new URL("../../deno.json", import.meta.url).pathname;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "--config", config, program, db.url, "4000"],
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const output = child.output();
  const timer = setTimeout(() => child.kill("SIGKILL"), 9_000);
  await using _ = terminateConnections(db, { seconds: 6 });
  const { code, stdout } = await output;
  clearTimeout(timer);
  const words = new TextDecoder().decode(stdout).split("\n");
  const [begun, ended] = ["begin", "end"].map((word) => words.filter((line) => line.startsWith(word)).length);
  figures.atLeast("the driver's own transactions begun", begun!, 8);
  figures.is("the driver's own transactions all end, and the process lives", code === 0 && begun === ended, false);
}
