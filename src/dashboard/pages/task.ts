import { FireflyError } from "../../errors.ts";
import { explainTask } from "../../store/explain.ts";
import { readAlike } from "../../store/task_lists_failed.ts";
import { readTaskPage } from "../../store/task_lists_task.ts";
import { readWaitingSteps } from "../../store/task_steps.ts";
import { type Page, type PageContext, type Params, type Route, seeOther } from "../context.ts";
import { filterText, parseFilter } from "../filter.ts";
import { type Html, markup, NOTHING, type Part } from "../html.ts";
import { gauge } from "../parts/charts.ts";
import { describeFailure, failureBox, guard } from "../parts/failures.ts";
import { action, linkButton } from "../parts/forms.ts";
import { formatCapped, formatNumber } from "../parts/numbers.ts";
import { head, liveAs, panel } from "../parts/panels.ts";
import { readQuery } from "../task_query.ts";
import { flashOf, flashQuery, QUESTIONS } from "./bulk_actions.ts";
import { forkedFlash } from "./fork.ts";
import { scheduledFlash } from "./new.ts";
import { errorsPanel } from "./task_errors.ts";
import { factsPanel, type ShownTask } from "./task_facts.ts";
import { logPanel } from "./task_log.ts";
import { missing } from "./task_missing.ts";
import { neighborsOf } from "./task_neighbors.ts";
import { signalFlash } from "./signal.ts";
import { percentileNote } from "./task_percentile.ts";
import { relatedPanel } from "./task_related.ts";
import { stepsPanel } from "./task_steps.ts";
import { timeline } from "./task_timeline.ts";
import { argumentsMarkup, valueMarkup } from "./task_value.ts";
import { type Alike, allReasons, why } from "./task_why.ts";
import { titleOf } from "./tasks.ts";
import { maySeeRecords, overviewTask } from "./tasks_overview.ts";
import { statusOf } from "./tasks_table.ts";
import { showValue } from "./tasks_values.ts";

async function show(context: PageContext, { id }: Params, failure: Html = NOTHING): Promise<Page> {
  if (!await maySeeRecords(context)) return await overviewTask(context, id!);
  const task = /^\d{1,15}$/.test(id!) ? await readTaskPage(context.sql, Number(id)) : undefined;
  if (!task) return missing(context, id!);
  const alike = task.state === "failed" ? await readAlike(context.sql, Number(id)) : undefined;
  const same = alike && alike.others > 0 &&
    markup`<a class="small" href="${
      context.href("/tasks", { q: filterText({ status: "failed", error: `#${alike.fingerprint}` }) })
    }">Same error: ${formatCapped(alike.others + 1, 10_000)}</a>`;
  const title = `${task.func_name} #${task.id}`;
  const body = markup`${failure}${flashOf(context)}${scheduledFlash(context)}${forkedFlash(context)}${
    signalFlash(context)
  }${
    head([task.func_name, markup` <span class="dim">#${task.id}</span>`], {
      crumb: await guard(context, () => crumb(context, task)),
      beside: [
        markup`<span${liveAs("status")}>${statusOf(task, context.now)}</span>`,
        markup`<div class="acts"${liveAs("actions")}>${actions(context, task)}</div>`,
      ],
    })
  }
<div class="stack"${liveAs("why")}>${await guard(context, () => whyOf(context, task, alike))}
${timeline(task, context.now)}</div>
<div${liveAs("steps-now")}>${await guard(context, () => stepsPanel(context, task))}</div>
<div class="cols two-one">
<div class="stack">
${errorsPanel(context, { ...task, aside: same })}
${await argumentsPanel(context, task)}
<div${liveAs("log-lines")}>${await guard(context, () => logPanel(context, Number(task.id)))}</div>
</div>
<div class="stack">
<div${liveAs("related-now")}>${await guard(context, () => relatedPanel(context, Number(task.id)))}</div>
${factsPanel(context, task)}
${await resultPanel(context, task)}
${sqlPanel(context, task)}
</div></div>`;
  return { title, current: "tasks", body };
}

/** The way back to the list, and the tasks beside it there. */
async function crumb(context: PageContext, { id }: ShownTask): Promise<Html> {
  const q = context.url.searchParams.get("q") ?? "";
  const query = readQuery(parseFilter(q), context.now);
  const list = markup`<a href="${context.href("/tasks", { q: q || undefined })}">${titleOf(query)}</a>`;
  if (!context.url.searchParams.has("q")) return list;
  const { older, newer } = await neighborsOf(context, query, Number(id));
  const link = (to: number, label: string) => markup` · <a href="${context.href(`/tasks/${to}`, { q })}">${label}</a>`;
  return markup`${list}${newer !== null && link(newer, "← newer")}${older !== null && link(older, "older →")}`;
}

/** The actions that fit the state of a task. */
function actions(context: PageContext, { id, state }: ShownTask): Html {
  if (context.viewer.readOnly) return NOTHING;
  const q = context.url.searchParams.get("q") ?? undefined;
  const ask = (name: "reschedule" | "cancel" | "delete", label: string, options = {}) =>
    linkButton(context, label, { href: context.href(`/tasks/${name}`, { id, q, to: "task" }), asks: true, ...options });
  const isWaiting = QUESTIONS.reschedule.states.includes(state);
  return markup`${
    QUESTIONS.retry.states.includes(state) &&
    action(context, "Retry", { path: `/tasks/${id}/retry`, fields: { q }, class: "primary", key: "r" })
  }${
    QUESTIONS.run.states.includes(state) &&
    action(context, "Run now", { path: `/tasks/${id}/run`, fields: { q }, class: "primary" })
  }${isWaiting && ask("reschedule", "Reschedule…")}${
    linkButton(context, "Duplicate…", { href: context.href("/new", { from: id }) })
  }${
    QUESTIONS.cancel.states.includes(state)
      ? ask("cancel", "Cancel…", { class: "danger" })
      : ask("delete", "Delete…", { class: "danger" })
  }`;
}

/** How many of the things that a handler waits for stand above its task. */
const WAITS = 8;

async function whyOf(context: PageContext, task: ShownTask, alike: Alike | undefined): Promise<Html> {
  const explanation = await explainTask(context.sql, Number(task.id));
  if (!explanation) return NOTHING;
  const isRunning = task.state === "running";
  const waits = task.state === "suspended" ? await readWaitingSteps(context.sql, Number(task.id), WAITS) : [];
  const aside: Part = isRunning ? await percentileNote(context, task) : NOTHING;
  const reasons = explanation.status === "created" && allReasons(context, explanation);
  return markup`${
    why(context, explanation, {
      alike,
      usedUp: usedUp(task),
      seen: task.seen,
      progress: isRunning && progressOf(context, task),
      aside,
      waits,
    })
  }
${reasons}`;
}

/** How many attempts a task had that failed for good with the last of them; undefined for one that is never retried. */
function usedUp({ state, errors, max_retries, retry_attempts }: ShownTask): number | undefined {
  const isUsedUp = state === "failed" && max_retries !== null && max_retries > 0 && retry_attempts >= max_retries;
  return isUsedUp ? errors.at(-1)?.attempt : undefined;
}

function progressOf(context: PageContext, { progress, progress_note }: ShownTask): Html {
  if (progress === null) return NOTHING;
  const percent = Math.round(progress * 100);
  const note = progress_note === null ? "" : ` · ${context.redactText(progress_note, ["progress", "note"])}`;
  return markup`<div class="meter">${
    gauge(percent, 100, { label: `${percent} percent done` })
  }<b id="progress">${percent}%${note}</b></div>`;
}

/** Arguments and results that are longer are not shown: about 1 MB, in the wire format. */
const MAX_VALUE = 1_400_000;

async function argumentsPanel(context: PageContext, { params, func_name, queue }: ShownTask): Promise<Html> {
  const bytes = Math.floor(params.length * 0.75);
  if (params.length > MAX_VALUE) return longValue("Arguments", bytes);
  const shown = await showValue({ text: params, funcName: func_name, queue, column: "params" }, context);
  if ("problem" in shown) {
    return panel({ id: "arguments", title: "Arguments" }, markup`<p class="in hold">${shown.problem}</p>`);
  }
  const count = Array.isArray(shown.value) ? `${shown.value.length}, ` : "";
  return panel(
    {
      id: "arguments",
      title: "Arguments",
      note: `${count}${formatNumber(bytes)} bytes`,
      aside: markup`<button type="button" class="small" data-copy="args" hidden>Copy</button>`,
    },
    markup`<div class="in"><pre class="json" id="args" tabindex="0" role="region" aria-label="Arguments in JSON">${
      argumentsMarkup(shown.value)
    }</pre></div>`,
  );
}

async function resultPanel(context: PageContext, { returned, state, func_name, queue }: ShownTask): Promise<Html> {
  if (state !== "completed") {
    const words: Partial<Record<typeof state, string>> = {
      failed: "None: a task that failed returns nothing.",
      cancelled: "None: a task that was cancelled returns nothing.",
    };
    return words[state]
      ? panel({ id: "result", title: "Result" }, markup`<p class="in dim">${words[state]}</p>`)
      : NOTHING;
  }
  if (returned === null) return panel({ id: "result", title: "Result" }, markup`<p class="in dim">None.</p>`);
  if (returned.length > MAX_VALUE) return longValue("Result", Math.floor(returned.length * 0.75));
  const shown = await showValue({ text: returned, funcName: func_name, queue, column: "returned" }, context);
  const body = "problem" in shown
    ? markup`<p class="in hold">${shown.problem}</p>`
    : markup`<div class="in"><pre class="json" tabindex="0" role="region" aria-label="Result in JSON">${
      valueMarkup(shown.value)
    }</pre></div>`;
  return panel(
    { id: "result", title: "Result", note: `${formatNumber(Math.floor(returned.length * 0.75))} bytes` },
    body,
  );
}

function longValue(title: string, bytes: number): Html {
  const size = `${Math.round(bytes / 1000)} kB`;
  return panel(
    { id: title.toLowerCase(), title, note: size },
    markup`<p class="in dim">Too long for a page: firefly show prints it.</p>`,
  );
}

function sqlPanel({ firefly }: PageContext, { id }: ShownTask): Html {
  return panel(
    { id: "sql", title: "In SQL" },
    markup`<div class="in"><pre tabindex="0" role="region" aria-label="SQL">SELECT * FROM ${firefly.schema}.task_json
WHERE id = ${id};</pre></div>`,
  );
}

/** Does something with one task that another click undoes, and shows it again. */
function act(name: "retry" | "run"): Route["run"] {
  return async (context, params) => {
    const id = Number(params.id);
    const q = context.form.get("q") || undefined;
    if (!/^\d{1,15}$/.test(params.id!)) return missing(context, params.id!);
    try {
      const record = await context.firefly.tasks.find(id);
      if (!record) return missing(context, params.id!);
      if (name === "retry") await record.retry();
      else if (!await record.run()) {
        const why = (await context.firefly.tasks.explain(id)).summary;
        throw new FireflyError(`Cannot make task ${id} due now: ${why}`);
      }
    } catch (error) {
      if (!(error instanceof FireflyError)) throw error;
      const failure = describeFailure(error);
      return { ...await show(context, params, failureBox(failure)), status: failure.status };
    }
    return seeOther(context.href(`/tasks/${id}`, { q, ...flashQuery(name, { done: 1, left: 0 }) }));
  };
}

/** The routes of one task. */
export const task: readonly Route[] = [
  { method: "GET", path: "/tasks/:id", run: show },
  { method: "POST", path: "/tasks/:id/retry", run: act("retry") },
  { method: "POST", path: "/tasks/:id/run", run: act("run") },
];
