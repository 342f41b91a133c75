import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { DatabaseUnreachable } from "../errors.ts";
import type { Firefly } from "../firefly/firefly.ts";
import { LogWatch, readLastLines } from "../records/log_lines.ts";
import { type LogFilter, type LogLine, readLastLogId } from "../store/log_lines.ts";
import type { TaskLogLine } from "../task/record.ts";
import { formatSeconds } from "../times.ts";
import { type Arguments, usageError } from "./arguments.ts";
import type { Command } from "./command.ts";
import { EXIT } from "./exit_code.ts";
import { findMissing, reportMissing } from "./filter.ts";
import { logLineFields, renderLogLine } from "./log_page.ts";
import { withInstance } from "./settings.ts";
import { describe, type Terminal } from "./terminal.ts";

const LEVELS: readonly TaskLogLine["level"][] = ["debug", "info", "warn", "error"];
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
/** Lines that are shown unless `--limit` says how many. */
const LIMIT = 100;
/** How often to look for new lines, in milliseconds: consumers store theirs once a second. */
const LOOK = 500;
const HOW_TO_KEEP = "keepLogs: true in the options of a task keeps its lines, and " +
  "defaults: { keepLogs: true } in firefly.config.ts those of all tasks";

/** `logs`: shows the log lines that are kept. */
export const logs: Command = {
  name: "logs",
  usage: "",
  positionals: [0, 0],
  summary: "Show the log lines of tasks that keep them, newest at the end",
  details:
    "A line is what a handler logged through `current().log`. Lines are kept with tasks that have the option keepLogs, " +
    "as long as their records are. With --follow, it goes on to show new lines, within about two seconds, until Ctrl-C; " +
    "while the database is away, it waits.\n\n" +
    "Of many lines, a search for a name, a queue or a level that few of them have reads all, unless --since says how far " +
    "back: about three seconds for a million.",
  flags: {
    name: { value: "name", list: "commas", description: "Lines of tasks with this name" },
    queue: { value: "name", short: "q", list: "commas", description: "Lines of tasks in this queue" },
    task: { value: "id", list: "commas", description: "Lines of this task" },
    level: { value: "level", choices: LEVELS, description: `Lines of this level or above: ${LEVELS.join(", ")}` },
    since: { value: "when", description: "Lines logged since this time, or since so long ago: 10m, 7d" },
    limit: { value: "number", byDefault: String(LIMIT), description: "The most lines to begin with: the newest ones" },
    follow: { short: "f", description: "Keep showing new lines until it is stopped" },
  },
  examples: [
    "logs --follow",
    "logs --level warn --since 1h",
    "logs --name mail.send,mail.welcome --limit 1000 --table | less",
    "logs --task 12 --follow",
    "logs --json | jq 'select(.fields.customer == 7)'",
  ],
  async run(args, terminal) {
    const filter = filterOf(args);
    const limit = args.integer("limit", 0) ?? LIMIT;
    const since = args.moment("since") ?? null;
    return await withInstance({ args, terminal, tasks: "none" }, async (ff) => {
      const { taskIds, names, queues } = filter;
      const words = { ids: [...taskIds ?? []], funcName: [...names ?? []], queue: [...queues ?? []] };
      const missing = reportMissing(await findMissing(ff, words), terminal);
      if (missing !== EXIT.done) return missing;
      const { database: { records: sql } } = await ff.connect();
      const watch = args.isOn("follow") ? await LogWatch.start(sql, filter) : undefined;
      const lines = await readLastLines(sql, filter, { limit: limit + 1, since });
      for (const line of lines.slice(-limit || lines.length)) {
        watch?.skip(line);
        await printLine(line, terminal);
      }
      if (lines.length === 0) await explainNone(ff, terminal);
      if (watch) await follow(watch, terminal);
      else if (lines.length > limit) {
        terminal.note(`Earlier lines match, too: --limit ${10 * limit || LIMIT} shows more`);
      }
      return EXIT.done;
    });
  },
};

function filterOf(args: Arguments): LogFilter {
  const least = args.choice("level", LEVELS);
  return {
    names: args.list("name") ?? null,
    queues: args.list("queue") ?? null,
    taskIds: args.list("task")?.map((text) => toId(text)) ?? null,
    levels: least === undefined ? null : LEVELS.slice(LEVELS.indexOf(least)),
  };
}

function toId(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw usageError("logs", `"--task" must be the id of a task: current value is "${text}"`);
}

async function printLine(line: LogLine, terminal: Terminal): Promise<void> {
  if (terminal.json) await terminal.printJson(logLineFields(line));
  else await terminal.print(renderLogLine(line, terminal));
}

async function explainNone(ff: Firefly, terminal: Terminal): Promise<void> {
  const { database: { records: sql } } = await ff.connect();
  terminal.note(await readLastLogId(sql) === 0 ? `No log lines are kept: ${HOW_TO_KEEP}` : "No log lines match");
}

/** Prints new lines until a signal arrives. Where the database cannot be reached, it tries again. */
async function follow(watch: LogWatch, terminal: Terminal): Promise<void> {
  const ended = new AbortController();
  const end = () => ended.abort();
  for (const signal of SIGNALS) process.on(signal, end);
  let lostAt: number | undefined;
  try {
    while (!ended.signal.aborted) {
      try {
        for (const line of await watch.next()) await printLine(line, terminal);
        if (lostAt !== undefined) {
          terminal.note(`The database is back after ${formatSeconds((performance.now() - lostAt) / 1000)}`);
        }
        lostAt = undefined;
      } catch (error) {
        if (!(error instanceof DatabaseUnreachable)) throw error;
        if (lostAt === undefined) terminal.warn(`${describe(terminal.redactor.redact(error))}; retrying`);
        lostAt ??= performance.now();
      }
      await sleep(LOOK, undefined, { signal: ended.signal }).catch(() => {});
    }
  } finally {
    for (const signal of SIGNALS) process.off(signal, end);
  }
}
