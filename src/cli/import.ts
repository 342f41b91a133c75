import process from "node:process";
import type { Firefly } from "../firefly/firefly.ts";
import { importFromBullMQ } from "../import/bullmq.ts";
import { importFromGraphileWorker } from "../import/graphile_worker.ts";
import { checkImportOptions, IGNORABLE_REASONS, type IgnorableReason, type ImportOptions } from "../import/options.ts";
import { importFromPgBoss } from "../import/pg_boss.ts";
import { type ImportReport, isWaiting } from "../import/report.ts";
import { didYouMean } from "../suggest.ts";
import { type Arguments, asUsage, omitUndefined, usageError } from "./arguments.ts";
import { confirmed } from "./bulk.ts";
import type { Command } from "./command.ts";
import { EXIT } from "./exit_code.ts";
import { countJobs, printReport } from "./import_report.ts";
import { ProgressLine } from "./progress_line.ts";
import { connectRedis } from "./redis_client.ts";
import { withInstance } from "./settings.ts";
import type { Terminal } from "./terminal.ts";

const SOURCES = ["pg-boss", "graphile-worker", "bullmq"] as const;
type Source = typeof SOURCES[number];

/** The flags that only one of the sources has. */
const OWN_FLAGS: Readonly<Record<string, readonly Source[]>> = {
  "source-schema": ["pg-boss", "graphile-worker"],
  redis: ["bullmq"],
  prefix: ["bullmq"],
};

const SIGNAL_CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
const DEFAULT_REDIS = "redis://127.0.0.1:6379";

/** `import`: moves waiting jobs from another queue. */
export const importJobs: Command = {
  name: "import",
  usage: SOURCES.join("|"),
  positionals: [1, 1],
  summary: "Move waiting jobs from pg-boss, graphile-worker or BullMQ",
  details:
    "It moves the jobs that wait for a worker, for their time or for their next attempt, with their priority, the " +
    "attempts that are left and their keys. Jobs that run or have ended stay where they are, and so does what cannot be " +
    "imported: it is counted by its reason. Schedules are listed, to be written as crons. Workers of both queues may " +
    "run meanwhile: each job runs once.\n\n" +
    "The jobs of pg-boss and graphile-worker are moved within one transaction, in the database of both. Those of BullMQ " +
    "are taken from its workers, scheduled in one transaction, and removed; after a crash, run the command again.",
  flags: {
    map: { value: "old=new", list: "repeat", description: "The task of jobs of another name" },
    queue: {
      value: "name or old=new",
      short: "q",
      list: "repeat",
      description: "The queue for all tasks, or for those of one queue there. Default: that of the task",
    },
    name: { value: "name", list: "commas", description: "Only jobs of this name, as it is there" },
    "source-queue": { value: "name", list: "commas", description: "Only jobs of this queue, as it is there" },
    "source-schema": {
      value: "name",
      description: "The schema of pg-boss or graphile-worker. Default: pgboss or graphile_worker",
    },
    redis: { value: "url", description: `The Redis of BullMQ. Default: REDIS_URL, or ${DEFAULT_REDIS}` },
    prefix: { value: "text", byDefault: "bull", description: "The prefix of BullMQ's keys" },
    ignore: {
      value: "reason",
      list: "commas",
      choices: IGNORABLE_REASONS,
      description: `Import jobs though this of them has no counterpart: ${IGNORABLE_REASONS.join(", ")}`,
    },
    spread: { description: "Pass the members of data that is a list as the arguments, instead of the data" },
    "dry-run": { description: "Change nothing: count what would be imported, and what would be left and why" },
    yes: { description: "Do not ask. Needed where there is no terminal to ask on" },
  },
  examples: [
    "import pg-boss --dry-run",
    "import graphile-worker --map send_mail=mail.send --map resize=images.resize --yes",
    "import bullmq --redis redis://cache:6379 --source-queue mail --queue mail=mail",
  ],
  async run(args, terminal) {
    const source = sourceOf(args);
    checkOwnFlags(args, source);
    const options = optionsOf(args);
    return await withInstance({ args, terminal, tasks: "required" }, async (firefly) => {
      asUsage(() => checkImportOptions(options, [], `import from ${source}`));
      const importer = await openSource(source, args);
      try {
        return await runImport({ ...options, firefly }, { args, terminal, importer });
      } finally {
        importer.close();
      }
    });
  },
};

/** An importer with the connection that it uses. */
interface Importer {
  readonly source: Source;
  run(options: ImportOptions & { firefly: Firefly }): Promise<ImportReport>;
  close(): void;
}

function sourceOf(args: Arguments): Source {
  const given = args.positionals[0]!;
  const found = SOURCES.find((source) => source === given);
  if (found) return found;
  const hint = didYouMean(given, SOURCES) || `: it must be one of ${SOURCES.join(", ")}`;
  throw usageError("import", `there is no importer for "${given}"${hint}`);
}

function checkOwnFlags(args: Arguments, source: Source): void {
  for (const [flag, sources] of Object.entries(OWN_FLAGS)) {
    if (!args.isGiven(flag) || sources.includes(source)) continue;
    throw usageError("import", `"--${flag}" is for ${sources.join(" and ")}, not for ${source}`);
  }
}

function optionsOf(args: Arguments): ImportOptions {
  return omitUndefined({
    map: pairsOf(args, "map"),
    queue: queueOf(args),
    names: args.list("name"),
    sourceQueues: args.list("source-queue"),
    arguments: args.isOn("spread") ? "spread" as const : undefined,
    ignore: args.choices<IgnorableReason>("ignore", IGNORABLE_REASONS),
  }) as ImportOptions;
}

/** Neither a task's nor a queue's name here has a `=` in it: all before the last one is the name there. */
function pairsOf(args: Arguments, flag: string): Record<string, string> | undefined {
  const given = args.list(flag);
  return given && Object.fromEntries(given.map((text) => {
    const [, old, name] = /^(.+)=([^=]+)$/s.exec(text) ?? [];
    if (old === undefined) throw usageError("import", `"--${flag}" must be old=new: current value is "${text}"`);
    return [old, name!];
  }));
}

function queueOf(args: Arguments): ImportOptions["queue"] {
  const given = args.list("queue");
  if (!given || given.some((text) => text.includes("="))) return pairsOf(args, "queue");
  if (given.length === 1) return given[0]!;
  throw usageError("import", '"--queue" must be one name, or be repeated as old=new');
}

async function openSource(source: Source, args: Arguments): Promise<Importer> {
  const schema = omitUndefined({ schema: args.text("source-schema") });
  if (source === "pg-boss") {
    return { source, run: (options) => importFromPgBoss({ ...options, ...schema }), close() {} };
  }
  if (source === "graphile-worker") {
    return { source, run: (options) => importFromGraphileWorker({ ...options, ...schema }), close() {} };
  }
  const { connection, close } = await connectRedis(args.text("redis") ?? (process.env.REDIS_URL || DEFAULT_REDIS));
  const prefix = omitUndefined({ prefix: args.text("prefix") });
  return { source, run: (options) => importFromBullMQ({ ...options, ...prefix, connection }), close };
}

async function runImport(
  options: ImportOptions & { firefly: Firefly },
  { args, terminal, importer }: { args: Arguments; terminal: Terminal; importer: Importer },
): Promise<number> {
  if (args.isOn("dry-run")) {
    await printReport(await withProgress(terminal, { ...options, dryRun: true }, importer), terminal);
    return EXIT.done;
  }
  if (!args.isOn("yes")) {
    const expected = await withProgress(terminal, { ...options, dryRun: true }, importer);
    const { removed, returned } = expected.recovered;
    if (expected.imported + removed + returned > 0) {
      const earlier = removed + returned > 0
        ? `, and finish an earlier import of ${countJobs(removed + returned)}`
        : "";
      if (!await confirmed(terminal, "import", `Import ${countJobs(expected.imported)}${earlier}`)) {
        terminal.note("Nothing was changed");
        return EXIT.done;
      }
    }
  }
  const stop = new AbortController();
  const handlers = Object.entries(SIGNAL_CODES).map(([signal, code]) => [signal, () => stop.abort(code)] as const);
  for (const [signal, handler] of handlers) process.once(signal, handler);
  try {
    const report = await withProgress(terminal, { ...options, signal: stop.signal }, importer);
    await printReport(report, terminal);
    const isStuck = report.imported === 0 && report.left.some(({ reason }) => isWaiting(reason));
    return isStuck ? EXIT.nothingDone : EXIT.done;
  } catch (error) {
    if (error !== stop.signal.reason) throw error;
    terminal.printError("Interrupted: nothing was imported");
    return error as number;
  } finally {
    for (const [signal, handler] of handlers) process.off(signal, handler);
  }
}

/** Runs the importer, and shows how far it is. */
async function withProgress(
  terminal: Terminal,
  options: ImportOptions & { firefly: Firefly },
  importer: Importer,
): Promise<ImportReport> {
  const line = new ProgressLine(terminal);
  const verb = options.dryRun ? "Read" : "Moved";
  try {
    return await importer.run({
      ...options,
      onProgress: ({ read, imported }) => line.update(`${verb} ${countJobs(options.dryRun ? read : imported)}`),
    });
  } finally {
    line.end();
  }
}
