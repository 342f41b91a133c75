import type { StepRecord } from "../task/step_record.ts";
import { inspect } from "node:util";
import type { AttemptedBy } from "../events.ts";
import type { RecordedDelay } from "../task/backoff.ts";
import { toRetrySeconds } from "../duration.ts";
import type { TaskError, TaskLogLine, TaskRecord, TaskState, TaskStatus } from "../task/record.ts";
import { columnsOf } from "../records/task_record.ts";
import { escapeLine, escapeLines } from "./escape.ts";
import { renderLog } from "./log_page.ts";
import { renderSteps } from "./steps_page.ts";
import type { Style, Terminal } from "./terminal.ts";
import { formatAge, formatSeconds, formatTime } from "../times.ts";
import { describeRelated } from "./related_tasks.ts";
import type { RelatedRow } from "../store/dependencies.ts";
import { wrap } from "./wrap.ts";

/** The color of each state, and of the status that some of them share. */
export const STATE_STYLES: Readonly<Record<TaskState | TaskStatus, Style>> = {
  created: "yellow",
  ready: "yellow",
  delayed: "blue",
  retrying: "magenta",
  limited: "yellow",
  dependent: "blue",
  suspended: "blue",
  unknown: "red",
  unplaced: "red",
  running: "cyan",
  completed: "green",
  failed: "red",
  cancelled: "dim",
};

/** The most characters to show of each string in a value. */
const MAX_TEXT = 10_000;
const LABEL_WIDTH = 14;
/** How many kinds of errors an extract shows, and how many lines of each. */
const [SHOWN_ERRORS, SHOWN_LINES] = [3, 20];

/** What is printed with a record: all of its errors, or an extract; its log lines, or the last ones; its steps. */
export interface RecordParts {
  readonly allErrors?: boolean;
  readonly log?: readonly TaskLogLine[];
  readonly allLog?: boolean;
  /** The tasks that it depends on, and those that depend on it. */
  readonly related?: readonly RelatedRow[];
  readonly steps?: readonly StepRecord[];
}

/** Prints a record: a page for people, or a line of JSON. */
export async function printRecord(record: TaskRecord, terminal: Terminal, parts: RecordParts = {}): Promise<void> {
  const { allErrors = false, log = [], allLog = false, steps = [], related = [] } = parts;
  if (terminal.json) return await terminal.printJson({ ...columnsOf(record), ...(allLog ? { log } : {}) });
  const page = renderPage(record, terminal, { allErrors, related });
  await terminal.print(
    [
      page,
      ...steps.length > 0 ? [renderSteps(steps, { id: record.id, terminal })] : [],
      ...log.length > 0 ? [renderLog(log, { id: record.id, terminal, all: allLog })] : [],
    ].join("\n"),
  );
}

/**
 * Formats the number of the current, next or last attempt, and the most that there can be: each crash of a consumer adds
 * one. The record of a task that failed for its crashes counts one more attempt than there were.
 */
export function formatAttempt(record: TaskRecord, separator: string): string {
  const { attempt, retryAttempts, maxRetries, status, error } = record;
  const shown = status === "failed" && error ? Math.min(attempt, error.attempt) : attempt;
  return `${shown}${separator}${Math.max(shown, maxRetries + shown - retryAttempts)}`;
}

/** A record as a page for people. */
export function renderPage(
  record: TaskRecord,
  terminal: Terminal,
  { allErrors = false, related = [] }: Pick<RecordParts, "allErrors" | "related"> = {},
): string {
  const { id, funcName, state, errors } = record;
  const heading = [
    terminal.style("bold", `${escapeLine(funcName)} #${id}`),
    terminal.style(STATE_STYLES[state], state),
  ].join("  ");
  const facts = factsOf(record, { terminal, related }).map(([label, text]) => {
    const indented = escapeLines(text).replaceAll("\n", `\n${" ".repeat(LABEL_WIDTH)}`);
    return terminal.style("dim", label.padEnd(LABEL_WIDTH)) + indented;
  });
  const shown = terminal.redactor.redact(errors, ["errors"]);
  const report = allErrors ? renderErrors(shown, terminal) : renderExtract(shown, { id, terminal });
  return [heading, "", ...facts, ...report].join("\n");
}

function factsOf(
  record: TaskRecord,
  { terminal: { redactor }, related }: { terminal: Terminal; related: readonly RelatedRow[] },
): [label: string, text: string][] {
  const { queue, priority, tags, maxRetries, retryDelay, progress, status, started, attemptedBy } = record;
  const rescues = record.attempt - record.retryAttempts - 1;
  const facts: [string, string | undefined][] = [
    ["Queue", queue],
    ["Priority", priority === 0 ? undefined : String(priority)],
    ["Tags", tags.length === 0 ? undefined : tags.join(", ")],
    [
      "Attempt",
      [
        formatAttempt(record, " of "),
        ...(rescues > 0 ? [`${rescues} ${rescues === 1 ? "consumer" : "consumers"} crashed`] : []),
        ...(maxRetries > 0 ? [`retry delay ${describeDelay(retryDelay)}`] : []),
      ].join(", "),
    ],
    ["Trace", record.traceparent === null ? undefined : record.traceparent.split("-")[1]],
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
    ["Fork of", record.forkedFrom === null ? undefined : String(record.forkedFrom)],
    ...describeRelated(related, record.id),
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
  const first = formatSeconds(toRetrySeconds(delay.delay, "retryDelay.delay"));
  const longest = delay.max === undefined ? "" : ` up to ${formatSeconds(toRetrySeconds(delay.max, "retryDelay.max"))}`;
  return delay.kind === "fixed" ? first : `${delay.kind} from ${first}${longest}`;
}

/** All errors, the newest first. */
function renderErrors(errors: readonly TaskError[], terminal: Terminal): string[] {
  return errors.toReversed().flatMap((error) => ["", headingOf(error, terminal), ...bodyOf(error, terminal)]);
}

/** The newest few errors, those with the same name and message as one, each with the beginning of its stack. */
function renderExtract(
  errors: readonly TaskError[],
  { id, terminal }: { id: number; terminal: Terminal },
): string[] {
  const kinds = new Map<string, TaskError[]>();
  for (const error of errors.toReversed()) {
    const kind = `${error.name}: ${error.message}`;
    kinds.set(kind, [...kinds.get(kind) ?? [], error]);
  }
  const lines = [...kinds.values()].slice(0, SHOWN_ERRORS).flatMap((same) => {
    const [newest, oldest] = [same[0]!, same.at(-1)!];
    const body = bodyOf(newest, terminal);
    const more = body.length - SHOWN_LINES;
    return [
      "",
      headingOf(newest, terminal),
      ...(same.length > 1 ? [`  ${same.length} times since attempt ${oldest.attempt}, ${showTime(oldest.at)}`] : []),
      ...body.slice(0, more > 1 ? SHOWN_LINES : undefined),
      ...(more > 1 ? [terminal.style("dim", `    … ${more} more lines`)] : []),
    ];
  });
  const left = kinds.size - SHOWN_ERRORS;
  const isCut = left > 0 || lines.some((line) => line.includes("… ")) || kinds.size < errors.length;
  if (!isCut) return lines;
  const others = left > 0 ? `${left} older ${left === 1 ? "kind" : "kinds"} of errors not shown. ` : "";
  return [...lines, "", terminal.style("dim", `${others}All errors in full: firefly show ${id} --errors`)];
}

function headingOf({ attempt, at, delay, ...ran }: TaskError, terminal: Terminal): string {
  const took = ran.seconds === undefined ? "" : ` after ${formatSeconds(ran.seconds)}`;
  const { host, pid, release = null } = ran;
  const where = host === undefined || pid === undefined ? "" : `, ${showProcess({ host, pid, release })}`;
  const again = delay === undefined ? "" : `, retried after ${formatSeconds(delay)}`;
  return `${terminal.style("red", `Attempt ${attempt} failed`)}${took}, ${showTime(at)}${again}${where}`;
}

/** The lines of an error's message, stack and causes. */
function bodyOf({ name, message, code, statement, stack, cause }: TaskError, terminal: Terminal): string[] {
  const heading = `${name}: ${message}`;
  // V8 begins a stack with the error's name and message.
  const frames = stack?.startsWith(heading) ? stack.slice(heading.length) : stack?.replace(/^.*\n/, "\n");
  return [
    ...escapeLines(heading).split("\n").flatMap((line) => wrap(line, terminal.width - 2))
      .map((line) => `  ${terminal.style("bold", line)}`),
    ...(code ? [`  code ${escapeLine(code)}`] : []),
    ...(statement ? `statement ${escapeLines(dedent(statement))}`.split("\n") : [])
      .map((line, at) => at === 0 ? `  ${line}` : `    ${line}`),
    ...(frames ? escapeLines(frames.replace(/^\n/, "")).split("\n") : [])
      .map((line) => terminal.style("dim", line.replace(/^ */, "    "))),
    ...(cause ? escapeLines(cause).split("\n").map((line) => `  caused by ${line}`) : []),
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
