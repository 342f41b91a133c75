import { inspect } from "node:util";
import { renderTable, type Table } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import type { StepRecord } from "../task/record.ts";
import { formatSeconds, formatTime } from "../times.ts";

/** How many steps the page of a task shows. */
const SHOWN = 20;
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
  const { name, key, status, seq, version, attempt, began, ended, error } = step;
  const returned = readResult(step);
  return redactor.redact({ name, key, status, seq, version, attempt, began, ended, returned, error }) as never;
}

function toTable(steps: readonly StepRecord[], terminal: Terminal): Table {
  return {
    header: ["step", "status", "attempt", "took", "ended", "result"],
    rows: steps.map((step) => {
      const { name, key, status, attempt, began, ended, error } = step;
      const seconds = Math.max(0, ended.getTime() - began.getTime()) / 1000;
      return [
        key === "" ? name : `${name} ${key}`,
        { text: status, style: status === "completed" ? "green" as const : "red" as const },
        String(attempt),
        formatSeconds(seconds),
        formatTime(ended),
        error
          ? `${error.name}: ${terminal.redactor.redactText(error.message, ["error", "message"])}`
          : show(step, terminal),
      ];
    }),
    right: [2],
    optional: [4, 2],
  };
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
