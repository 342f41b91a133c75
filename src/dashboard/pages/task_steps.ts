import { type ListedStep, readStepPage, type StepPage } from "../../store/task_steps.ts";
import { formatAge, formatSeconds } from "../../times.ts";
import type { PageContext } from "../context.ts";
import { attr, type Html, join, markup, NOTHING, type Part } from "../html.ts";
import { linkButton } from "../parts/forms.ts";
import { amount, formatNumber } from "../parts/numbers.ts";
import { panel } from "../parts/panels.ts";
import { type Shape, status } from "../parts/status.ts";
import { type Row, table } from "../parts/tables.ts";
import { age, formatUtc } from "../parts/times.ts";
import type { ShownTask } from "./task_facts.ts";
import { StepScale } from "./task_steps_bars.ts";
import { errorLine } from "./tasks_table.ts";
import { showValue, toLine } from "./tasks_values.ts";

/** How many steps a page lists. */
const PAGE = 100;

/** The panel with the steps of a task, as bars on one scale and as a table; nothing if it has none. */
export async function stepsPanel(context: PageContext, task: ShownTask): Promise<Html> {
  const asked = context.url.searchParams.get("steps") ?? "";
  const last = /^\d{1,9}$/.test(asked) ? Math.max(1, Number(asked)) : null;
  const page = await readStepPage(context.sql, Number(task.id), { last, limit: PAGE });
  const { steps, from, total } = page;
  if (steps.length === 0) return NOTHING;
  const isOpen = task.completed === null && task.failed === null && task.cancelled === null;
  const isNewest = from + steps.length > total;
  const scale = new StepScale(steps, { now: context.now, isOpen: isOpen && isNewest });
  const rows = await Promise.all(
    steps.map((step, index) => rowOf(context, task, { step, place: from + index, scale })),
  );
  const [first, end] = scale.words;
  const axis = markup`<span class="ends" aria-hidden="true"><span>${first}</span><span>${end}</span></span>`;
  const columns = [
    { head: "No.", class: "num fit mid" },
    { head: "Step", class: "main" },
    { head: markup`<span class="skip">Time line</span>${axis}`, class: "bars opt" },
    { head: "Status", class: "fit opt" },
    { head: "Took", class: "num fit" },
    { head: "Version", class: "num fit mid" },
    { head: markup`<span class="skip">Actions</span>`, class: "num fit slim" },
  ];
  return panel(
    {
      id: "steps",
      title: "Steps",
      note: noteOf(page),
      aside: keyOf(steps),
      ...footerOf(context, task, page),
    },
    table({ label: "Steps, in the order in which they began", columns, rows, naming: 1, class: "steps-table" }),
  );
}

function noteOf({ total, failed, waiting, steps, from }: StepPage): string {
  const all = amount(total, "step");
  const some = steps.length < total ? `, ${formatNumber(from)} to ${formatNumber(from + steps.length - 1)}` : "";
  const bad = failed > 0 ? `; ${formatNumber(failed)} failed` : "";
  const open = waiting > 0 ? `; it waits for ${formatNumber(waiting)}` : "";
  return `${all}${some}${bad}${open}`;
}

function keyOf(steps: readonly ListedStep[]): Part {
  const words: [string, string, boolean][] = [
    ["c-plot", "runs", steps.some(({ kind, status }) => kind === "step" && status === "completed")],
    ["hatch", "waits", steps.some(({ kind, status }) => status === "waiting" || isWait(kind))],
    ["c-bad", "failed", steps.some(({ status }) => status === "failed")],
    ["c-hold", "compensates", steps.some(({ kind }) => kind === "compensation")],
    ["k-tick", "a failed try", steps.some(({ failures }) => failures > 0)],
  ];
  const shown = words.filter(([, , isShown]) => isShown);
  return shown.length > 1 &&
    markup`<span class="key small dim" aria-hidden="true">${
      shown.map(([name, word]) => markup`<span><i class="${name}"></i>${word}</span>`)
    }</span>`;
}

function isWait(kind: ListedStep["kind"]): boolean {
  return kind === "sleep" || kind === "signal" || kind === "call";
}

function footerOf(context: PageContext, { id }: ShownTask, { steps, from, total }: StepPage): { footer?: Html } {
  if (steps.length === total) return {};
  const q = context.url.searchParams.get("q") ?? undefined;
  const link = (last: number | undefined, label: string) =>
    markup`<a href="${context.href(`/tasks/${id}`, { q, steps: last })}#steps">${label}</a>`;
  const end = from + steps.length - 1;
  const next = end + PAGE < total ? end + PAGE : undefined;
  return {
    footer: markup`<span>${from > 1 && link(from - 1, "← Earlier steps")}</span><span>${
      end < total && link(next, "Later steps →")
    }</span>`,
  };
}

async function rowOf(
  context: PageContext,
  task: ShownTask,
  { step, place, scale }: { step: ListedStep; place: number; scale: StepScale },
): Promise<Row> {
  const { name, key, kind } = step;
  const href = context.href(`/tasks/${task.id}/step`, { name, key: key || undefined });
  const word = stepStatus(step);
  const bar = scale.draw(step);
  return {
    id: `step${place}`,
    cells: [
      markup`<span class="dim">${place}</span>`,
      markup`<a class="name" href="${href}">${name}</a>${keyMarkup(key)}${
        kind !== "step" && markup` <span class="tag">${kind}</span>`
      }<span class="phone">${word} ${bar}</span><span class="line">${await lineOf(context, task, step)}</span>`,
      bar,
      word,
      tookOf(step, context.now),
      step.version,
      stepActions(context, task, step),
    ],
  };
}

/** The longest key that is shown whole. Those of calls are hashes. */
const LONGEST_KEY = 40;

/** The key of a step, after a space; a long one is cut. */
export function keyMarkup(key: string): Html | false {
  if (key === "") return false;
  const shown = key.length > LONGEST_KEY ? `${key.slice(0, 12)}…` : key;
  return markup` <code${shown !== key && attr("title", key)}>${shown}</code>`;
}

/** The state of a step as a shape and a word. */
export function stepStatus({ status: state, kind, failures, due }: ListedStep): Html {
  if (state === "completed") return status("completed", "Completed");
  if (state === "failed") return status("failed", "Failed");
  if (kind === "compensation" && due === null) return status("running", "Under way");
  const [shape, word]: [Shape, string] = failures > 0 && kind !== "signal" && kind !== "call"
    ? ["later", "To retry"]
    : [
      "suspended",
      { sleep: "Sleeps", signal: "Waits", call: "Calls", step: "To retry", compensation: "To retry" }[kind],
    ];
  return status(shape, word);
}

/** How long a step took, or has waited. */
function tookOf({ began, ended }: ListedStep, now: Date): Part {
  const seconds = Math.max(0, (ended ?? now).getTime() - began.getTime()) / 1000;
  return ended ? formatSeconds(seconds) : markup`<span class="dim">${formatSeconds(seconds)}</span>`;
}

/** What can be done at a step. */
export function stepActions(context: PageContext, { id }: Pick<ShownTask, "id">, step: ListedStep): Html {
  const { name, key, kind, status: state } = step;
  const of = markup`<span class="skip"> ${name}${key !== "" && ` ${key}`}</span>`;
  return markup`<span class="acts">${
    kind === "signal" && state === "waiting" &&
    linkButton(context, markup`Signal…${of}`, { href: context.href(`/tasks/${id}/signal`, { name }), asks: true })
  }${
    kind !== "compensation" && linkButton(context, markup`Fork…${of}`, {
      href: context.href(`/tasks/${id}/fork`, { name, key: key || undefined }),
      asks: true,
    })
  }</span>`;
}

/** The last word about a step: its error, its result, or until when it waits. */
async function lineOf(context: PageContext, task: ShownTask, step: ListedStep): Promise<Part> {
  const { now } = context;
  const { failures, error, status: state, attempt } = step;
  const tries = failures > 0 &&
    `${amount(failures, "failed try", "failed tries")}${state === "completed" ? " before" : ""}`;
  const of = attempt > 1 && `attempt ${attempt}`;
  const told = [tries, of, waitWords(step, now), calleeLinks(context, step)].filter(Boolean);
  const bad = error &&
    markup`<span${state === "failed" ? markup` class="bad"` : ""}>${errorLine(context, error)}</span>`;
  const result = await resultLine(context, task, step);
  return join([...told, ...bad ? [bad] : [], ...result === "" ? [] : [result]], " · ");
}

/** `since 14:31, until Dec 6`, of a step that waits. */
export function waitWords({ status: state, kind, began, due }: ListedStep, now: Date): Part {
  if (state !== "waiting") return kind === "sleep" && due && markup`until ${formatUtc(due)}`;
  if (due === null) return markup`since ${age(began, now)}`;
  const end = kind === "sleep" ? "until" : kind === "signal" || kind === "call" ? "given up" : "again";
  return markup`since ${age(began, now)}, ${end} <time datetime="${due.toISOString()}" title="${formatUtc(due)}">${
    formatAge(due, now.getTime())
  }</time>`;
}

/** Links to the first tasks that a step called. */
export function calleeLinks({ href }: PageContext, { callees, calls }: ListedStep, most = 4): Part {
  if (calls === 0) return false;
  const links = callees.slice(0, most).map((id) => markup`<a href="${href(`/tasks/${id}`)}">#${id}</a>`);
  const left = calls - links.length;
  return markup`${amount(calls, "task")}: ${join(links, " ")}${left > 0 && ` and ${formatNumber(left)} more`}`;
}

async function resultLine(context: PageContext, { func_name, queue }: ShownTask, step: ListedStep): Promise<string> {
  const { returned, bytes, status: state } = step;
  if (state !== "completed" || bytes === 0) return "";
  if (returned === null) return `→ ${Math.round(bytes * 0.75 / 1000)} kB`;
  const shown = await showValue({ text: returned, funcName: func_name, queue, column: "step.returned" }, context);
  return "value" in shown && (shown.value === undefined || shown.value === null) ? "" : `→ ${toLine(shown)}`;
}
