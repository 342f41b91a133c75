import { parseTime } from "../../database/times.ts";
import { formatAge, formatSeconds } from "../../times.ts";
import type { ListedTask } from "../../store/task_lists.ts";
import type { PageContext } from "../context.ts";
import { type Html, markup, NOTHING, type Part } from "../html.ts";
import { gauge } from "../parts/charts.ts";
import { stateOf, status } from "../parts/status.ts";
import { type Row, table } from "../parts/tables.ts";
import { age } from "../parts/times.ts";
import { showValue, toLine } from "./tasks_values.ts";

/** The table of a list, each row with a box to pick it by unless the viewer may only look. */
export async function taskTable(
  context: PageContext,
  rows: readonly ListedTask[],
  { label, time, q }: { label: string; time: string; q: string | undefined },
): Promise<Html> {
  const isPicked = !context.viewer.readOnly;
  const lines = await Promise.all(rows.map((row) => rowOf(context, row, { q, isPicked })));
  const all = markup`<label><input type="checkbox" aria-label="All on this page" data-script hidden></label>`;
  return table({
    label,
    live: "list",
    naming: isPicked ? 2 : 1,
    columns: [
      ...isPicked ? [{ head: all, class: "sel" }] : [],
      { head: "Id", class: "num fit opt" },
      { head: "Task", class: "main" },
      { head: "Queue", class: "fit mid" },
      { head: "Status", class: "fit opt" },
      { head: "Attempt", class: "num fit opt" },
      { head: "Took", class: "num fit opt" },
      { head: time, class: "num fit" },
    ],
    rows: lines,
  });
}

async function rowOf(
  context: PageContext,
  row: ListedTask,
  { q, isPicked }: { q: string | undefined; isPicked: boolean },
): Promise<Row> {
  const href = context.href(`/tasks/${row.id}`, { q });
  const word = statusOf(row, context.now);
  const box = markup`<label><input type="checkbox" name="id" value="${row.id}" aria-label="Task ${row.id}"></label>`;
  const took = tookOf(row, context.now);
  return {
    id: `t${row.id}`,
    href,
    cells: [
      ...isPicked ? [box] : [],
      markup`<span class="dim">${row.id}</span>`,
      markup`<a class="name" href="${href}">${row.func_name}</a> <span class="dim small opt">${await argumentsOf(
        context,
        row,
      )}</span><span class="phone">${word}</span><span class="line">${await lineOf(context, row)}</span>`,
      markup`<a class="dim" href="${context.href(`/queues/${row.queue}`)}">${row.queue}</a>`,
      word,
      row.started === null && row.state !== "running" ? dash() : attemptOf(row),
      took === undefined ? dash() : formatSeconds(took),
      age(timeOf(row), context.now),
    ],
  };
}

function dash(): Html {
  return markup`<span class="dim">–</span>`;
}

/** The status of a task, which says what it waits for. */
export function statusOf(
  { state, paused, served, not_before }: Pick<ListedTask, "state" | "paused" | "served" | "not_before">,
  now: Date,
): Html {
  const isOpen = state === "ready" || state === "delayed" || state === "retrying" || state === "limited";
  if (isOpen && paused) return status("paused", "Queue paused");
  if (state === "ready" && !served) return status("unknown", "No consumer", { bad: true });
  if (state === "delayed") return stateOf(state, capitalize(formatAge(not_before, now.getTime())));
  if (state === "retrying") return stateOf(state, `Again ${formatAge(not_before, now.getTime())}`);
  return stateOf(state);
}

function capitalize(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** The number of the current, next or last attempt, of as many as there may be. */
export function attemptOf(
  { attempt, retry_attempts, max_retries, state, error }:
    & Pick<
      ListedTask,
      "attempt" | "retry_attempts" | "max_retries" | "state"
    >
    & { readonly error: { readonly attempt: number } | null },
): string {
  const shown = state === "failed" && error ? Math.min(attempt, error.attempt) : attempt;
  return max_retries === null ? String(shown) : `${shown} of ${Math.max(shown, max_retries + shown - retry_attempts)}`;
}

/** When the task ended, started, was due or was scheduled: what happened to it last. */
function timeOf({ state, created, not_before, started, completed, failed, cancelled }: ListedTask): Date {
  if (state === "completed" || state === "failed" || state === "cancelled") {
    return completed ?? failed ?? cancelled ?? created;
  }
  if (state === "running") return started ?? created;
  return state === "ready" ? not_before : created;
}

/** For how many seconds the last attempt ran, or the current one has run. */
function tookOf({ state, started, completed, failed, cancelled, error }: ListedTask, now: Date): number | undefined {
  if (state === "failed" && error?.seconds !== undefined && error.seconds !== null) return error.seconds;
  if (started === null) return undefined;
  const end = state === "running" ? now : completed ?? failed ?? cancelled;
  return end === null ? undefined : Math.max(0, end.getTime() - started.getTime()) / 1000;
}

/** The arguments in a line, without the parts that are hidden. */
async function argumentsOf(
  context: PageContext,
  { params, params_bytes, func_name, queue }: ListedTask,
): Promise<string> {
  if (params === null) return `${Math.round(params_bytes * 0.75 / 1000)} kB of arguments`;
  return toLine(await showValue({ text: params, funcName: func_name, queue, column: "params" }, context));
}

/** The last word about a task: its error, progress or result, or what it waits for. */
async function lineOf(context: PageContext, row: ListedTask): Promise<Part> {
  const { state, error, progress, returned, paused, served, queue } = row;
  if (state === "running") return progress === null ? NOTHING : progressLine(context, row);
  if (state === "completed") {
    if (returned === null) return NOTHING;
    const value = await showValue({ text: returned, funcName: row.func_name, queue, column: "returned" }, context);
    return "value" in value && (value.value === undefined || value.value === null) ? NOTHING : `→ ${toLine(value)}`;
  }
  if (error && (state === "failed" || state === "retrying" || state === "cancelled")) {
    return errorLine(context, error);
  }
  if (paused) {
    const seconds = row.paused_since ? (context.now.getTime() - row.paused_since.getTime()) / 1000 : undefined;
    return `${queue} ${
      seconds === undefined ? "is paused" : `has been paused for ${formatSeconds(Math.max(0, seconds))}`
    }`;
  }
  if (state === "ready" && !served) return `no live consumer serves ${queue}`;
  if (state === "unknown") return `no live consumer of ${queue} knows it`;
  if (state === "limited") {
    const isRate = row.reason === "rate" || row.concurrency_key === null;
    return isRate ? `rate key ${row.rate_key}` : `concurrency key ${row.concurrency_key}`;
  }
  if (state === "dependent") return "other tasks must end first";
  if (state === "suspended") return row.wait && waitLine(row.wait, row.waits, context.now);
  if (state === "unplaced") return "an edit by hand left it nowhere: a consumer will put it back";
  return NOTHING;
}

/** What a suspended task waits for: `signal approved, since 3h, given up in 6d, and 2 more`. */
function waitLine({ kind, name, began, due }: NonNullable<ListedTask["wait"]>, waits: number, now: Date): string {
  const since = formatSeconds(Math.max(0, now.getTime() - parseTime(began).getTime()) / 1000);
  const end = due === null ? "" : `, ${WAIT_ENDS[kind] ?? "again"} ${formatAge(parseTime(due), now.getTime())}`;
  return `${kind} ${name}, for ${since}${end}${waits > 1 ? `, and ${waits - 1} more` : ""}`;
}

/** How a wait with an end in time ends. */
const WAIT_ENDS: Readonly<Record<string, string>> = { sleep: "until", signal: "given up", call: "given up" };

/** The name and message of an error, without what is hidden. */
export function errorLine(context: PageContext, error: { readonly name: string; readonly message: string }): string {
  const shown = context.redact({ name: error.name, message: error.message }, ["errors", "0"]);
  return `${shown.name}: ${shown.message}`;
}

function progressLine(context: PageContext, { progress, progress_note }: ListedTask): Html {
  const percent = Math.round(progress! * 100);
  const note = progress_note === null ? "" : context.redactText(progress_note, ["progress", "note"]);
  return markup`<span class="of">${
    gauge(percent, 100, { label: `${percent} percent` })
  }<span>${percent}% ${note}</span></span>`;
}
