import { escapeLine } from "./escape.ts";
import { toJsonSync } from "./json.ts";
import type { Style, Terminal } from "./terminal.ts";
import { formatTime } from "../times.ts";
import type { LogLine } from "../store/log_lines.ts";
import type { TaskLogLine } from "../task/record.ts";

/** The color of each severity. */
export const LEVEL_STYLES: Readonly<Record<TaskLogLine["level"], Style>> = {
  debug: "dim",
  info: "green",
  warn: "yellow",
  error: "red",
};

/** How many lines a page shows unless all are asked for. */
const SHOWN = 20;

/** The kept log lines of a task for people, oldest first: the last 20, or all of them. */
export function renderLog(
  lines: readonly TaskLogLine[],
  { id, terminal, all }: { readonly id: number; readonly terminal: Terminal; readonly all: boolean },
): string {
  if (lines.length === 0) return "";
  const shown = all ? lines : lines.slice(-SHOWN);
  const rendered = shown.map(({ attempt, at, step, level, message, fields }) => {
    const text = textOf({ step, message, fields }, terminal);
    return `  ${terminal.style("dim", `${formatTime(at)}  ${attempt}`)}  ${styleLevel(level, terminal)}  ${text}`;
  });
  const left = lines.length - shown.length;
  const rest = left === 0 ? [] : [
    terminal.style("dim", `  … ${left} earlier ${left === 1 ? "line" : "lines"}. All lines: firefly show ${id} --log`),
  ];
  return ["", terminal.style("bold", "Log"), ...rest, ...rendered].join("\n");
}

/** A line among those of other tasks, for people. */
export function renderLogLine(line: LogLine, terminal: Terminal): string {
  const { taskId, funcName, attempt, at, level } = line;
  return [
    terminal.style("dim", formatTime(at)),
    styleLevel(level, terminal),
    terminal.style("bold", escapeLine(`${funcName} #${taskId}`)),
    ...(attempt > 1 ? [terminal.style("dim", `attempt ${attempt}`)] : []),
    textOf(line, terminal),
  ].join("  ");
}

/** The fields of a line, with the names that the log of a consumer has. */
export function logLineFields({ taskId, funcName, queue, attempt, at, step, level, message, fields }: LogLine): object {
  return {
    time: at,
    level,
    message,
    id: taskId,
    func_name: funcName,
    queue,
    attempt,
    ...(step === null ? {} : { step }),
    fields,
  };
}

function styleLevel(level: TaskLogLine["level"], terminal: Terminal): string {
  return terminal.style(LEVEL_STYLES[level], level.padEnd(5));
}

function textOf(
  { step, message, fields }: Pick<TaskLogLine, "step" | "message" | "fields">,
  { redactor }: Terminal,
): string {
  const more = Object.keys(fields).length === 0 ? "" : ` ${toJsonSync(redactor.redact(fields, ["fields"]))}`;
  return escapeLine(`${step === null ? "" : `${step}: `}${redactor.redactText(message, ["message"])}${more}`);
}
