/**
 * The demo: `deno task demo [folder]` counts the words of real files with tasks that another process runs, and checks
 * what came of it.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { configure, type Firefly } from "../mod.ts";
import { findDatabase } from "../src/firefly/connect.ts";
import { ConsumerProcess } from "./demo/consumer_process.ts";
import { showDashboard } from "./demo/dashboard.ts";
import { readProgress, runAlone, startClean } from "./demo/database.ts";
import { defaultFolders, findFiles, type FoundFile, LARGEST } from "./demo/files.ts";
import { check, lookAround, rate, tellLatency, tellTiming } from "./demo/report.ts";
import { amount, bad, count, detail, print, showProgress, step, strong } from "./demo/screen.ts";
import { measureFile, tellTime } from "./demo/tasks.ts";

const HELP = `Counts the words of real files with tasks that another process runs, and checks what came of it.

Usage: deno task demo [folder]
       deno task demo --dashboard [--port 8585]

Without a folder it reads this repository and the unpacked package of the embedded PostgreSQL. Files are
only read. What it writes is in the schema firefly_demo_data and in the queue "demo"; each run begins by
deleting what the run before left there.

With --dashboard it shows the dashboard of a shop instead, in the schema firefly_demo, until Ctrl-C.

The database is the embedded PostgreSQL, unless FIREFLY_DATABASE_URL, DATABASE_URL or PGHOST names another.

It exits with 0 if the totals are right, with 1 if they are not or something failed, and with 2 if it was
called wrongly.`;

const REPOSITORY = fileURLToPath(new URL("../", import.meta.url));
const CONCURRENCY = 20;
/** Tasks scheduled one after another to measure latency. */
const SINGLES = 200;
/** How often progress is looked at, in milliseconds. */
const LOOK_INTERVAL = 100;
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
const EXIT = { right: 0, wrong: 1, usage: 2, SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/** The command line was not understood. */
class UsageError extends Error {}

/** The demo was told to end before its end. */
class Interrupted extends Error {
  readonly signal: typeof SIGNALS[number];

  constructor(signal: typeof SIGNALS[number]) {
    super(`Ended by ${signal}, and the consumer with it`);
    this.signal = signal;
  }
}

async function main(args: string[]): Promise<number> {
  try {
    if (args.includes("--dashboard")) return await runDashboard(args);
    const folders = await foldersOf(args);
    if (!folders) {
      print(HELP);
      return EXIT.right;
    }
    print(strong("Firefly counts words, in tasks\n"));
    const { ff, embedded } = await openDatabase();
    try {
      const isRight = await runAlone(ff, () => demonstrate(ff, folders));
      await lookAround(ff, { embedded });
      return isRight ? EXIT.right : EXIT.wrong;
    } finally {
      await ff.close();
    }
  } catch (error) {
    print(`${bad("error:")} ${(error as Error).message}`);
    if (error instanceof Interrupted) return EXIT[error.signal];
    return error instanceof UsageError ? EXIT.usage : EXIT.wrong;
  }
}

async function runDashboard(args: string[]): Promise<number> {
  const { port = "8585", ...others } = parseArgs(args, { boolean: ["dashboard"], string: ["port"] });
  const unknown = Object.keys(others).find((name) => name !== "dashboard" && name !== "_") ?? others._[0];
  if (unknown !== undefined || !/^\d{1,5}$/.test(port)) {
    throw new UsageError("Only --port goes with --dashboard: try --help");
  }
  using signals = listenForSignals();
  await showDashboard({ port: Number(port), signal: signals.signal });
  return EXIT.right;
}

/** The folders to read, none for the default ones; undefined if only help was asked for. */
async function foldersOf(args: string[]): Promise<string[] | undefined> {
  const { _: given, help } = parseArgs(args, {
    boolean: ["help"],
    string: ["_"],
    alias: { h: "help" },
    unknown(argument, key) {
      if (key !== undefined) throw new UsageError(`There is no flag "${argument}": try --help`);
    },
  });
  if (help) return undefined;
  if (given.length > 1) throw new UsageError(`"${given[1]}" is one argument too many: try --help`);
  // deno task changes to the folder of deno.json; INIT_CWD is where the user stands.
  const folders = given.map((folder) => resolve(Deno.env.get("INIT_CWD") ?? "", String(folder)));
  for (const folder of folders) {
    const found = await Deno.stat(folder).catch(() => undefined);
    if (!found?.isDirectory) throw new UsageError(`"${folder}" is no folder that can be read: try --help`);
  }
  return folders;
}

async function openDatabase(): Promise<{ ff: Firefly; embedded: boolean }> {
  process.env.FIREFLY_EMBEDDED ??= "1"; // also for its consumer
  const { url, options, label, embedded } = await findDatabase({ onProgress: detail });
  const ff = configure({ database: url ?? options, onProgress: detail });
  await ff.migrations(); // says so where the database cannot be reached
  const [row] = await ff.sql`SHOW server_version`;
  const name = `PostgreSQL ${row.server_version.split(" ")[0]} at ${label}`;
  step("Database", embedded ? `${name}, Firefly's own` : name);
  const applied = await ff.migrate();
  if (applied.length > 0) detail(`Firefly's tables are in its schema "${ff.schema}" now`);
  return { ff, embedded };
}

/** Resolves to whether everything came out right. */
async function demonstrate(ff: Firefly, folders: string[]): Promise<boolean> {
  const files = await chooseFiles(folders);
  const deleted = await startClean(ff);
  if (deleted > 0) detail(`Deleted ${amount(deleted, "task")} of an earlier run`);
  const consumer = new ConsumerProcess({ queues: ["demo"], concurrency: CONCURRENCY, tasks: "tasks" });
  try {
    using signals = listenForSignals();
    await Promise.race([
      consumer.lost,
      untilAborted(signals.signal),
      runTasks(ff, files, { consumer, signal: signals.signal }),
    ]);
  } finally {
    await consumer.stop();
  }
  return await check(ff, files);
}

async function chooseFiles(given: string[]): Promise<FoundFile[]> {
  const folders = given.length > 0 ? given : await defaultFolders(REPOSITORY);
  const { files, tooLarge, unreadable } = await findFiles(folders);
  if (files.length === 0) throw new UsageError(`There are no files to read in ${folders.join(", ")}`);
  const megabytes = files.reduce((sum, { size }) => sum + size, 0) / 1e6;
  step("Files", `${amount(files.length, "file")}, ${megabytes.toFixed(1)} MB, without .git and node_modules, in`);
  for (const folder of folders) detail(folder);
  if (tooLarge > 0) detail(`Left out ${amount(tooLarge, "file")} above ${LARGEST / 1024 / 1024} MiB`);
  if (unreadable.length > 0) detail(`Left out what may not be read: ${unreadable.join(", ")}`);
  return files;
}

/** Aborts when this process is told to end. Once disposed of, the next signal ends it at once. */
function listenForSignals(): Disposable & { signal: AbortSignal } {
  const controller = new AbortController();
  const interrupt = (name: typeof SIGNALS[number]) => controller.abort(new Interrupted(name));
  for (const name of SIGNALS) process.once(name, interrupt);
  return {
    signal: controller.signal,
    [Symbol.dispose]: () => SIGNALS.forEach((name) => process.off(name, interrupt)),
  };
}

function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
}

interface Run {
  consumer: ConsumerProcess;
  signal: AbortSignal;
}

/** Schedules a task for each file, waits until all have ended, and then measures latency while nothing else goes on. */
async function runTasks(ff: Firefly, files: FoundFile[], { consumer, signal }: Run): Promise<void> {
  const began = performance.now();
  await measureFile.scheduleMany(files.map(({ path }) => [path]));
  const seconds = (performance.now() - began) / 1000;
  step("Schedule", `${amount(files.length, "task")} in ${seconds.toFixed(2)} s, ${rate(files.length, seconds)}`);
  step("Consume", `in process ${consumer.pid}, ${CONCURRENCY} at a time; a file that is no text is tried twice`);
  await untilEnded(ff, files.length, signal);
  await tellTiming(ff);
  step("Latency", `${SINGLES} tasks, one after another, to the same consumer with nothing else to do`);
  tellLatency(await measureLatency());
}

async function untilEnded(ff: Firefly, total: number, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const { completed, failed, open } = await readProgress(ff);
    const text = `${count(completed)} completed, ${count(failed)} failed, ${count(open)} to go`;
    showProgress(completed + failed, total, text);
    if (open === 0) return;
    await new Promise((resolve) => setTimeout(resolve, LOOK_INTERVAL));
  }
}

/** Milliseconds from the call of schedule(), by the clock of this machine, which both processes read. */
async function measureLatency(): Promise<{ starts: number[]; results: number[] }> {
  const starts: number[] = [];
  const results: number[] = [];
  for (let i = 0; i < SINGLES; i++) {
    const before = performance.timeOrigin + performance.now();
    starts.push(await tellTime.schedule().result({ timeout: "30s" }) - before);
    results.push(performance.timeOrigin + performance.now() - before);
  }
  return { starts, results };
}

Deno.exit(await main(Deno.args));
