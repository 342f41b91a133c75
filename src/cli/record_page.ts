import { inspect } from "node:util";
import type { AttemptedBy } from "../events.ts";
import type { RecordedDelay } from "../task/backoff.ts";
import { toSeconds } from "../duration.ts";
import type { TaskError, TaskRecord, TaskStatus } from "../task/record.ts";
import { columnsOf } from "../records/task_record.ts";
import { escapeLine, escapeLines } from "./escape.ts";
import type { Style, Terminal } from "./terminal.ts";
import { formatAge, formatSeconds, formatTime } from "./times.ts";
import { wrap } from "./wrap.ts";

/** The color of each status. */
export const STATUS_STYLES: Readonly<Record<TaskStatus, Style>> = {
  created: "yellow",
  running: "cyan",
  completed: "green",
  failed: "red",
  cancelled: "dim",
};

/** The most characters to show of each string in a value. */
const MAX_TEXT = 10_000;
const LABEL_WIDTH = 14;

/** Prints a record: a page for people, or a line of JSON. */
export async function printRecord(record: TaskRecord, terminal: Terminal): Promise<void> {
  if (terminal.json) await terminal.printJson(columnsOf(record));
  else await terminal.print(renderPage(record, terminal));
}

/** A record as a page for people. */
export function renderPage(record: TaskRecord, terminal: Terminal): string {
  const { id, funcName, status, errors } = record;
  const heading = [
    terminal.style("bold", `${escapeLine(funcName)} #${id}`),
    terminal.style(STATUS_STYLES[status], status),
  ].join("  ");
  const facts = factsOf(record, terminal).map(([label, text]) => {
    const indented = escapeLines(text).replaceAll("\n", `\n${" ".repeat(LABEL_WIDTH)}`);
    return terminal.style("dim", label.padEnd(LABEL_WIDTH)) + indented;
  });
  const shown = terminal.redactor.redact(errors, ["errors"]);
  return [heading, "", ...facts, ...shown.flatMap((error) => renderError(error, terminal))].join("\n");
}

function factsOf(record: TaskRecord, { redactor }: Terminal): [label: string, text: string][] {
  const { queue, priority, tags, attempt, maxRetries, retryDelay, progress, status, started, attemptedBy } = record;
  const facts: [string, string | undefined][] = [
    ["Queue", queue],
    ["Priority", priority === 0 ? undefined : String(priority)],
    ["Tags", tags.length === 0 ? undefined : tags.join(", ")],
    ["Attempt", `${attempt} of ${maxRetries + 1}${maxRetries > 0 ? `, retry delay ${describeDelay(retryDelay)}` : ""}`],
    ["Created", showTime(record.created)],
    ["Not before", record.notBefore > record.created ? showTime(record.notBefore) : undefined],
    ["Started", started ? showTime(started) : undefined],
    ["Consumer", attemptedBy ? showProcess(attemptedBy) : undefined],
    ["Completed", status === "completed" ? showEnd(started, record.completed) : undefined],
    ["Failed", status === "failed" ? showEnd(started, record.failed) : undefined],
    [
      "Progress",
      progress
        ? `${Math.round(progress.value * 100)}% ${redactor.redactText(progress.note ?? "", ["progress", "note"])}`
        : undefined,
    ],
    ["Arguments", showValue(() => redactor.redact(record.params, ["params"]))],
    ["Returned", status === "completed" ? showValue(() => redactor.redact(record.returned, ["returned"])) : undefined],
  ];
  return facts.filter((fact): fact is [string, string] => fact[1] !== undefined);
}

/** Describes the delay before a retry: `2m`, `exponential from 200 ms`. */
function describeDelay(delay: RecordedDelay): string {
  if (typeof delay === "number") return formatSeconds(delay);
  if (delay.kind === "function") return "computed by the task's code";
  if (typeof delay.delay !== "number" && typeof delay.delay !== "string") return JSON.stringify(delay); // edited by hand
  const first = formatSeconds(toSeconds(delay.delay, "retryDelay.delay"));
  const longest = delay.max === undefined ? "" : ` up to ${formatSeconds(toSeconds(delay.max, "retryDelay.max"))}`;
  return delay.kind === "fixed" ? first : `${delay.kind} from ${first}${longest}`;
}

function renderError(error: TaskError, terminal: Terminal): string[] {
  const { attempt, at, name, message, code, statement, stack, cause, delay, ...ran } = error;
  const took = ran.seconds === undefined ? "" : ` after ${formatSeconds(ran.seconds)}`;
  const { host, pid, release = null } = ran;
  const where = host === undefined || pid === undefined ? "" : `, ${showProcess({ host, pid, release })}`;
  const again = delay === undefined ? "" : `, retried after ${formatSeconds(delay)}`;
  const heading = `${name}: ${message}`;
  // V8 begins a stack with the error's name and message.
  const frames = stack?.startsWith(heading) ? stack.slice(heading.length) : stack?.replace(/^.*\n/, "\n");
  return [
    "",
    `${terminal.style("red", `Attempt ${attempt} failed`)}${took}, ${showTime(at)}${again}${where}`,
    ...escapeLines(heading).split("\n").flatMap((line) => wrap(line, terminal.width - 2))
      .map((line) => `  ${terminal.style("bold", line)}`),
    ...(code ? [`  code ${escapeLine(code)}`] : []),
    ...(statement ? [`  statement ${escapeLines(dedent(statement)).replaceAll("\n", "\n    ")}`] : []),
    ...(frames ? [terminal.style("dim", escapeLines(frames.replace(/^\n/, "")).replaceAll(/^ */gm, "    "))] : []),
    ...(cause ? [`  caused by ${escapeLines(cause).replaceAll("\n", "\n  caused by ")}`] : []),
  ];
}

function showProcess({ host, pid, release }: AttemptedBy): string {
  return `process ${pid} on ${escapeLine(host)}${release === null ? "" : `, release ${escapeLine(release)}`}`;
}

/** Removes the indentation that all lines of a statement but the first have in the source. */
function dedent(text: string): string {
  const [first = "", ...rest] = text.trim().split("\n");
  const indents = rest.filter((line) => line.trim()).map((line) => line.search(/\S/));
  const indent = Math.min(...indents, Infinity);
  return [first, ...rest.map((line) => line.slice(indent === Infinity ? 0 : indent))].join("\n");
}

function showTime(time: Date): string {
  return `${formatTime(time)}, ${formatAge(time)}`;
}

function showEnd(started: Date | null, ended: Date): string {
  const took = started ? `, took ${formatSeconds(Math.max(0, ended.getTime() - started.getTime()) / 1000)}` : "";
  return showTime(ended) + took;
}

/** Formats a value as code. A value that cannot be decoded throws when `read` is called. */
function showValue(read: () => unknown): string {
  try {
    return inspect(read(), { depth: 8, maxArrayLength: 200, maxStringLength: MAX_TEXT });
  } catch (error) {
    return `cannot be shown: ${(error as Error).message}`;
  }
}
