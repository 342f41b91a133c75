import { readTaskPage } from "../../store/task_lists_task.ts";
import { readWholeStep, type WholeStep } from "../../store/task_steps.ts";
import { formatSeconds } from "../../times.ts";
import type { Page, PageContext, Params, Route } from "../context.ts";
import { type Html, markup, NOTHING } from "../html.ts";
import { lone } from "../layout.ts";
import { amount, formatNumber } from "../parts/numbers.ts";
import { facts, head, liveAs, panel } from "../parts/panels.ts";
import { age, formatUtc } from "../parts/times.ts";
import { traceOf } from "./task_errors.ts";
import type { ShownTask } from "./task_facts.ts";
import { missing } from "./task_missing.ts";
import { calleeLinks, keyMarkup, stepActions, stepStatus, waitWords } from "./task_steps.ts";
import { valueMarkup } from "./task_value.ts";
import { maySeeRecords, overviewTask } from "./tasks_overview.ts";
import { showValue } from "./tasks_values.ts";

/** Results that are longer are not shown: about 1 MB, in the wire format. */
const MAX_VALUE = 1_400_000;

/** Which step of a task an address or a form names. */
export function stepIn(fields: URLSearchParams): { name: string; key: string } {
  const text = (name: string) => (fields.get(name) ?? "").replaceAll("\0", "");
  return { name: text("name"), key: text("key") };
}

/** One step of a task, with all of its result or error. */
async function show(context: PageContext, { id }: Params): Promise<Page> {
  if (!await maySeeRecords(context)) return await overviewTask(context, id!);
  const task = /^\d{1,15}$/.test(id!) ? await readTaskPage(context.sql, Number(id)) : undefined;
  if (!task) return missing(context, id!);
  const step = await readWholeStep(context.sql, Number(id), stepIn(context.url.searchParams));
  if (!step) return noStep(context, task);
  const title = `${step.name} of ${task.func_name} #${task.id}`;
  const body = markup`${
    head([step.name, keyMarkup(step.key)], {
      crumb: markup`<a href="${context.href(`/tasks/${task.id}`)}#steps">${task.func_name} #${task.id}</a>`,
      beside: [
        markup`<span${liveAs("status")}>${stepStatus(step)}</span>`,
        markup`<div class="acts"${liveAs("actions")}>${stepActions(context, task, step)}</div>`,
      ],
    })
  }
<div class="cols two-one">
<div class="stack"${liveAs("step-result")}>${errorPanel(context, step)}${await resultPanel(context, task, step)}</div>
<div class="stack"${liveAs("step-facts")}>${factsPanel(context, step)}</div>
</div>`;
  return { title, current: "tasks", body };
}

function noStep(context: PageContext, { id, func_name }: ShownTask): Page {
  const title = "There is no such step";
  const body = lone(
    title,
    markup`<p>Task ${id}, ${func_name}, has no step of this name and key, or it has not ended yet.</p>`,
    markup`<a class="button" href="${context.href(`/tasks/${id}`)}">To the task</a>`,
  );
  return { title, current: "tasks", body, status: 404 };
}

function factsPanel(context: PageContext, step: WholeStep): Html {
  const { now } = context;
  const { kind, key, version, attempt, failures, began, ended, due, before } = step;
  const when = (time: Date) => [formatUtc(time), ", ", age(time, now)];
  const took = Math.max(0, (ended ?? now).getTime() - began.getTime()) / 1000;
  return panel(
    { id: "facts", title: "Facts" },
    facts([
      ["Kind", kind],
      ["Key", key === "" ? undefined : markup`<code>${key}</code>`],
      ["Began", when(began)],
      ["Ended", ended ? when(ended) : undefined],
      [ended ? "Took" : "Waits for", formatSeconds(took)],
      ["Waits", ended ? undefined : waitWords(step, now)],
      ["Due", due ? when(due) : undefined],
      ["Failed tries", failures > 0 ? formatNumber(failures) : undefined],
      ["Attempt", attempt],
      ["Version", version],
      ["Calls", calleeLinks(context, step, 100) || undefined],
      ["Before it", amount(before, "step")],
    ]),
  );
}

function errorPanel(context: PageContext, { error, status }: WholeStep): Html {
  if (!error) return NOTHING;
  const shown = context.redact(error, ["errors", "0"]);
  return panel(
    { id: "error", title: "Error", note: status === "waiting" ? "of the last try" : undefined },
    markup`<div class="in">${
      shown.code && markup`<p class="small">Code <code>${shown.code}</code></p>`
    }<pre class="trace" tabindex="0" role="region" aria-label="Stack">${traceOf(shown)}</pre></div>`,
  );
}

async function resultPanel(context: PageContext, { func_name, queue }: ShownTask, step: WholeStep): Promise<Html> {
  const { returned, bytes, status } = step;
  if (status !== "completed") return NOTHING;
  const title = step.kind === "signal" ? "Payload" : "Result";
  if (returned === null) return panel({ id: "result", title }, markup`<p class="in dim">None.</p>`);
  const note = `${formatNumber(Math.floor(bytes * 0.75))} bytes`;
  if (bytes > MAX_VALUE) {
    return panel(
      { id: "result", title, note },
      markup`<p class="in dim">Too long for a page: firefly steps prints it.</p>`,
    );
  }
  const shown = await showValue({ text: returned, funcName: func_name, queue, column: "step.returned" }, context);
  return panel(
    { id: "result", title, note },
    "problem" in shown
      ? markup`<p class="in hold">${shown.problem}</p>`
      : markup`<div class="in"><pre class="json" tabindex="0" role="region" aria-label="${title} in JSON">${
        valueMarkup(shown.value)
      }</pre></div>`,
  );
}

/** The routes of one step. */
export const step: readonly Route[] = [{ method: "GET", path: "/tasks/:id/step", run: show }];
