import { escapeLine } from "./escape.ts";
import { toJsonSync } from "./json.ts";
import type { Style, Terminal } from "./terminal.ts";
import { formatTime } from "../times.ts";
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
  const rendered = shown.map(({ attempt, at, level, message, fields }) => {
    const { redactor } = terminal;
    const more = Object.keys(fields).length === 0 ? "" : ` ${toJsonSync(redactor.redact(fields, ["fields"]))}`;
    const text = escapeLine(redactor.redactText(message, ["message"]) + more);
    return `  ${terminal.style("dim", `${formatTime(at)}  ${attempt}`)}  ${
      terminal.style(LEVEL_STYLES[level], level.padEnd(5))
    }  ${text}`;
  });
  const left = lines.length - shown.length;
  const rest = left === 0 ? [] : [
    terminal.style("dim", `  … ${left} earlier ${left === 1 ? "line" : "lines"}. All lines: firefly show ${id} --log`),
  ];
  return ["", terminal.style("bold", "Log"), ...rest, ...rendered].join("\n");
}
