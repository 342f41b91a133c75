import { parseTime } from "../../database/times.ts";
import type { ErrorRow } from "../../store/rows.ts";
import type { TaskState } from "../../task/record.ts";
import { formatSeconds } from "../../times.ts";
import type { PageContext } from "../context.ts";
import { attr, type Html, markup, type Part } from "../html.ts";
import { panel } from "../parts/panels.ts";
import { moment } from "../parts/times.ts";

/** The most errors that a page shows. */
const SHOWN = 20;

/** The panel with the errors of a task, the newest first and open; false if it has none. */
export function errorsPanel(
  context: PageContext,
  { errors, state, aside }: { errors: readonly ErrorRow[]; state: TaskState; aside: Part },
): Html | false {
  if (errors.length === 0) return false;
  const shown = context.redact(errors.slice(-SHOWN), ["errors"]).toReversed();
  const left = errors.length - shown.length;
  const note = `${errors.length}, newest first${left > 0 ? `; the oldest ${left} are not shown` : ""}`;
  const all = shown.map((error, index) =>
    errorDetails(context, error, { isOpen: index === 0, isLast: index === 0 && state === "failed" })
  );
  return panel({ id: "errors", title: "Errors", note, aside }, all);
}

function errorDetails(
  context: PageContext,
  error: ErrorRow,
  { isOpen, isLast }: { isOpen: boolean; isLast: boolean },
): Html {
  const { name, message, attempt, at, code, statement } = error;
  const line = `${name}: ${message}`;
  return markup`<details${attr("open", isOpen)}><summary><b>Attempt ${attempt}</b><span class="what">${
    line.length > 300 ? `${line.slice(0, 300)}…` : line
  }</span><span class="dim small">${moment(parseTime(at), context.now)}</span></summary><div class="in">
<p class="small dim">${whereOf(error, isLast)}</p>
${code && markup`<p class="small">Code <code>${code}</code></p>`}${
    statement &&
    markup`<pre tabindex="0" role="region" aria-label="${`Statement of attempt ${attempt}`}">${statement}</pre>`
  }<pre class="trace" tabindex="0" role="region" aria-label="${`Stack of attempt ${attempt}`}">${
    traceOf(error)
  }</pre></div></details>
`;
}

/** How long the attempt ran, where, and what came after it. */
function whereOf({ seconds, host, pid, release, delay }: ErrorRow, isLast: boolean): string {
  const ran = typeof seconds === "number" ? `Ran ${formatSeconds(seconds)}` : "It ran";
  const on = host === undefined ? "" : ` on ${host}, process ${pid}${release ? `, release ${release}` : ""}`;
  const where = ran === "It ran" && on === "" ? undefined : ran + on;
  const next = delay !== undefined ? `again after ${formatSeconds(delay)}` : isLast ? "the last attempt" : undefined;
  return [where, next].filter((part) => part !== undefined).join(" · ");
}

/** The message and stack, with the lines of the application's own code in bold. */
export function traceOf({ name, message, stack, cause }: Omit<ErrorRow, "at" | "attempt">): Part[] {
  const heading = `${name}: ${message}`;
  // V8 begins a stack with the error's name and message.
  const frames = stack?.startsWith(heading) ? stack.slice(heading.length) : stack?.replace(/^.*(\n|$)/, "\n") ?? "";
  const lines = frames.split("\n").filter((line) => line.trim() !== "");
  return [
    heading,
    ...lines.map((line) => isOwnFrame(line) ? markup`\n<b>${line}</b>` : `\n${line}`),
    ...cause ? cause.split("\n").map((line) => `\ncaused by ${line}`) : [],
  ];
}

function isOwnFrame(line: string): boolean {
  return /^\s*at .*(file:|\/)/.test(line) && !/(node:|ext:|jsr:|npm:|node_modules|registry\.npmjs)/.test(line);
}
