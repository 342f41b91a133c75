import { inspect } from "node:util";
import { renderTable, type Table } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { COMPENSATE } from "../task/step_options.ts";
import type { StepRecord } from "../task/step_record.ts";
import { formatSeconds, formatTime } from "../times.ts";

/** How many steps the page of a task shows. */
const SHOWN = 20;
/** The color of each status. */
const STYLES = { waiting: "blue", completed: "green", failed: "red" } as const;
/** How many of the tasks that a step called are shown. */
const SHOWN_TASKS = 3;
/** The most characters to show of each string in a result. */
const MAX_TEXT = 200;

/** Prints the steps of a task as a table. */
export async function printSteps(steps: readonly StepRecord[], terminal: Terminal): Promise<void> {
  for (const line of renderTable(terminal, toTable(steps, terminal))) await terminal.print(line);
}

/** The last steps of a task as a part of its page; empty if it has none. */
export function renderSteps(
  steps: readonly StepRecord[],
  { id, terminal }: { readonly id: number; readonly terminal: Terminal },
): string {
  if (steps.length === 0) return "";
  const left = Math.max(0, steps.length - SHOWN);
  const rest = left === 0
    ? []
    : [terminal.style("dim", `  … ${left} earlier ${left === 1 ? "step" : "steps"}. All steps: firefly steps ${id}`)];
  const rows = renderTable(terminal, toTable(steps.slice(left), terminal)).map((line) => `  ${line}`);
  return ["", terminal.style("bold", "Steps"), ...rest, ...rows].join("\n");
}

/** A step under the names of its columns. */
export function toStepColumns(step: StepRecord, { redactor }: Pick<Terminal, "redactor">): Record<string, unknown> {
  const { name, key, kind, status, seq, version, attempt, failures, began, ended, due, callees, error } = step;
  const returned = readResult(step);
  return redactor.redact({
    name,
    key,
    kind,
    status,
    seq,
    version,
    attempt,
    failures,
    began,
    ended,
    due,
    callees,
    returned,
    error,
  }) as never;
}

function toTable(steps: readonly StepRecord[], terminal: Terminal): Table {
  return {
    header: ["step", "status", "attempt", "took", "ended", "result"],
    rows: steps.map((step) => {
      const { name, key, kind, status, attempt, ended } = step;
      return [
        key === "" || kind === "call" ? name : `${name} ${key}`, // the key of a call is a digest
        { text: status, style: STYLES[status] },
        String(attempt),
        timeOf(step),
        ended ? formatTime(ended) : "",
        describe(step, terminal),
      ];
    }),
    right: [2],
    optional: [4, 2],
  };
}

/** How long a step took, or has waited. Times are stored to the microsecond, and read to the millisecond. */
function timeOf({ kind, began, ended }: StepRecord): string {
  const seconds = ((ended?.getTime() ?? Date.now()) - began.getTime()) / 1000;
  if (seconds > 0) return formatSeconds(seconds);
  return kind === "step" || kind === "compensation" ? "< 1 ms" : ""; // it had no need to wait
}

/** The result of a step, or what it waits for. */
function describe(step: StepRecord, terminal: Terminal): string {
  const { kind, status, error, due, callees, failures } = step;
  const failure = error && `${error.name}: ${terminal.redactor.redactText(error.message, ["error", "message"])}`;
  const tasks = callees.length === 1 ? `task ${callees[0]}` : `tasks ${shorten(callees)}`;
  if (status !== "waiting") {
    const result = failure ?? (kind === "sleep" ? "" : show(step, terminal));
    const after = failures > 0 ? `after ${failures} ${failures === 1 ? "failure" : "failures"}` : "";
    return [result, kind === "call" ? `of ${tasks}` : after].filter(Boolean).join(" ");
  }
  if (kind === "call") return `waits for ${tasks}`;
  if (kind === "compensation" && step.name === COMPENSATE) return `the task compensates its steps after ${failure}`;
  if (kind === "signal") return `waits for the signal${due ? ` until ${formatTime(due)}` : ""}`;
  if (kind === "sleep") return due ? `sleeps until ${formatTime(due)}` : "sleeps for ever";
  const again = due ? `tried again at ${formatTime(due)}` : "tried again";
  return `${again}, after ${failures} ${failures === 1 ? "failure" : "failures"}${failure ? `: ${failure}` : ""}`;
}

/** The first ids of a list, and how many more there are. */
function shorten(ids: readonly number[]): string {
  const more = ids.length - SHOWN_TASKS;
  return `${ids.slice(0, SHOWN_TASKS).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

function show(step: StepRecord, { redactor }: Terminal): string {
  const returned = redactor.redact({ returned: readResult(step) }) as { returned: unknown };
  return inspect(returned.returned, { depth: 4, breakLength: Infinity, maxStringLength: MAX_TEXT });
}

/** A result that cannot be decoded is shown as its error. */
function readResult(step: StepRecord): unknown {
  try {
    return step.returned;
  } catch (error) {
    return { error: (error as Error).message };
  }
}
