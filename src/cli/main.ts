import process from "node:process";
import { didYouMean } from "../suggest.ts";
import { VERSION } from "../version.ts";
import { Arguments, UsageError, usageError } from "./arguments.ts";
import { commandIndex, type Flags, isOnIn } from "./flags.ts";
import { cancel } from "./cancel.ts";
import { type Command, GLOBAL_FLAGS } from "./command.ts";
import { completions } from "./completions.ts";
import { config } from "./config.ts";
import { consume } from "./consume.ts";
import { consumers } from "./consumers.ts";
import { cron } from "./cron.ts";
import { dashboard } from "./dashboard.ts";
import { db } from "./db.ts";
import { deleteTasks } from "./delete.ts";
import { doctor } from "./doctor.ts";
import { EXIT, exitCodeOf } from "./exit_code.ts";
import { explain } from "./explain.ts";
import { fork } from "./fork.ts";
import { graph } from "./graph.ts";
import { renderCommand, renderOverview } from "./help.ts";
import { importJobs } from "./import.ts";
import { list } from "./list.ts";
import { logs } from "./logs.ts";
import { man } from "./man.ts";
import { migrate } from "./migrate.ts";
import { pause, resume } from "./pause.ts";
import { prune } from "./prune.ts";
import { queues } from "./queues.ts";
import { repl } from "./repl.ts";
import { reschedule } from "./reschedule.ts";
import { retry } from "./retry.ts";
import { run as runNow } from "./run.ts";
import { schedule } from "./schedule.ts";
import { show } from "./show.ts";
import { signal } from "./signal.ts";
import { stats } from "./stats.ts";
import { steps } from "./steps.ts";
import { tasks } from "./tasks.ts";
import { top } from "./top.ts";
import { vacuum } from "./vacuum.ts";
import { exitSoon, ignoreBrokenPipe, Terminal } from "./terminal.ts";

const COMMANDS: readonly Command[] = [
  consume,
  migrate,
  schedule,
  list,
  show,
  steps,
  logs,
  explain,
  graph,
  signal,
  retry,
  fork,
  runNow,
  reschedule,
  cancel,
  deleteTasks,
  prune,
  queues,
  stats,
  top,
  consumers,
  pause,
  resume,
  tasks,
  repl,
  cron,
  importJobs,
  dashboard,
  doctor,
  vacuum,
  config,
  db,
  completions,
  man,
];

/** The flags of all commands: they may also precede the command's name. */
const ALL_FLAGS: Flags = Object.assign({}, ...COMMANDS.map(({ flags }) => flags), GLOBAL_FLAGS);
const PROGRAM = "firefly";

/** The commands of django-firefly-tasks: they work, but the help does not list them. */
const ALIASES: Readonly<Record<string, readonly string[]>> = {
  consume_tasks: ["consume"],
  delete_completed_tasks: ["delete", "--yes", "--status", "completed"],
  delete_failed_tasks: ["delete", "--yes", "--status", "failed"],
  mark_failed_tasks_consumable: ["retry", "--yes", "--status", "failed"],
};

/** Commands of other queues and programs, and those that they are here. */
const SYNONYMS: Readonly<Record<string, string>> = {
  add: "schedule",
  check: "doctor",
  completion: "completions",
  crons: "cron",
  defer: "schedule",
  dag: "graph",
  dependencies: "graph",
  enqueue: "schedule",
  event: "signal",
  health: "doctor",
  jobs: "list",
  log: "logs",
  ls: "list",
  ping: "doctor",
  purge: "delete",
  push: "schedule",
  rm: "delete",
  serve: "dashboard",
  settings: "config",
  scale: "consumers set",
  send: "signal",
  start: "consume",
  status: "queues",
  tail: "logs --follow",
  tree: "graph",
  ui: "dashboard",
  web: "dashboard",
  work: "consume",
  worker: "consume",
  workflow: "graph",
  workflows: "graph",
};

/** What there is not, and what helps instead. */
const ABSENT: Readonly<Record<string, string>> = {
  watch: '"firefly top" and "firefly stats --watch" show what happens as it happens',
};

/**
 * Runs the command line `args` and returns its exit code. The process ends soon after, whatever user code keeps open.
 *
 * Tasks that are defined before the call are those of the command line: then it does not search the working directory for
 * task modules, but imports those that `firefly.config.ts` or `--import` name.
 *
 * @example
 * ```ts ignore
 * import { main } from "@firefly/tasks/main";
 * import process from "node:process";
 * import "./tasks.ts";
 *
 * process.exitCode = await main(["consume", "--queue", "mail"]);
 * ```
 */
export async function main(args: readonly string[]): Promise<number> {
  ignoreBrokenPipe();
  const terminal = terminalFor(args);
  const code = await run(args, terminal).catch((error) => {
    terminal.printError(error);
    if (error instanceof UsageError && error.command) {
      terminal.note(`See: ${["firefly", "help", ...(error.command === PROGRAM ? [] : [error.command])].join(" ")}`);
    }
    return exitCodeOf(error);
  });
  await exitSoon(code);
  return code;
}

async function run(args: readonly string[], terminal: Terminal): Promise<number> {
  const index = commandIndex(args, ALL_FLAGS);
  const name = args[index];
  if (name === undefined) return await runWithoutCommand(args, terminal);
  const before = args.slice(0, index);
  const after = args.slice(index + 1);
  if (name === "help") return await printHelp(new Arguments("help", [...before, ...after], GLOBAL_FLAGS), terminal);
  if (name === "version") {
    const { positionals } = new Arguments(name, [...before, ...after], GLOBAL_FLAGS);
    if (positionals.length > 0) throw usageError(name, `"${positionals[0]}" is one argument too many`);
    return await printVersion(terminal);
  }
  const [target, ...implied] = Object.hasOwn(ALIASES, name) ? ALIASES[name]! : [name];
  const command = findCommand(target!, name);
  const parsed = new Arguments(name, [...before, ...implied, ...after], { ...command.flags, ...GLOBAL_FLAGS });
  if (parsed.isOn("version")) return await printVersion(terminal);
  if (parsed.isOn("help")) {
    await terminal.print(renderCommand(terminal, command));
    return EXIT.done;
  }
  if (parsed.isGiven("json") && parsed.isGiven("table")) {
    throw usageError(name, "--json and --table exclude each other");
  }
  checkPositionals(command, parsed.positionals);
  return await command.run(parsed, terminal, COMMANDS);
}

async function runWithoutCommand(args: readonly string[], terminal: Terminal): Promise<number> {
  const parsed = new Arguments(PROGRAM, args, GLOBAL_FLAGS);
  if (parsed.isOn("version")) return await printVersion(terminal);
  if (parsed.isOn("help")) return await printHelp(parsed, terminal);
  throw new UsageError('Cannot run without a command: "firefly help" lists all commands');
}

async function printHelp({ positionals: [name] }: Arguments, terminal: Terminal): Promise<number> {
  if (name === undefined) {
    await terminal.print(renderOverview(terminal, COMMANDS));
  } else {
    const target = Object.hasOwn(ALIASES, name) ? ALIASES[name]![0]! : name;
    await terminal.print(renderCommand(terminal, findCommand(target, name)));
  }
  return EXIT.done;
}

async function printVersion(terminal: Terminal): Promise<number> {
  await terminal.print(VERSION);
  return EXIT.done;
}

function findCommand(target: string, name: string): Command {
  const command = COMMANDS.find((command) => command.name === target);
  if (command) return command;
  if (Object.hasOwn(ABSENT, name)) {
    throw new UsageError(`Cannot run "${name}" as there is no such command. ${ABSENT[name]}`);
  }
  const known = [...COMMANDS.map((command) => command.name), "help", "version", ...Object.keys(ALIASES)];
  const hint = Object.hasOwn(SYNONYMS, name)
    ? `, did you mean "${SYNONYMS[name]}"?`
    : didYouMean(name, known) || ': "firefly help" lists all commands';
  throw new UsageError(`Cannot run "${name}" as there is no such command${hint}`);
}

function checkPositionals({ name, usage, positionals: [least, most] }: Command, given: readonly string[]): void {
  if (given.length >= least && given.length <= most) return;
  const wanted = most === 0 ? ": it takes only flags" : `, usage: firefly ${name} ${usage}`;
  throw usageError(
    name,
    (given.length > most ? `"${given[most]}" is one argument too many` : "an argument is missing") + wanted,
  );
}

/** Reads the flags that concern output before the rest is parsed, so that even a usage error is printed as they ask. */
function terminalFor(args: readonly string[]): Terminal {
  const isOn = (flag: string, rival: string) =>
    args.includes(`--${flag}`) || !args.includes(`--${rival}`) && isOnIn(process.env, GLOBAL_FLAGS[flag]!);
  const verbosity = isOn("verbose", "quiet") ? "verbose" : isOn("quiet", "verbose") ? "quiet" : "normal";
  return new Terminal({ json: isOn("json", "table"), table: isOn("table", "json"), verbosity });
}
