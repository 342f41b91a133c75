import { readRecentAttempts } from "../../store/task_lists_counts.ts";
import type { RescheduleOptions } from "../../task/record.ts";
import { toPlaceChange } from "../../records/reschedule.ts";
import type { Page, PageContext, Route } from "../context.ts";
import { formatFilter, parseFilter } from "../filter.ts";
import { type Html, markup, NOTHING } from "../html.ts";
import { lone } from "../layout.ts";
import { hidden } from "../parts/forms.ts";
import { amount, formatNumber, formatShare } from "../parts/numbers.ts";
import { table } from "../parts/tables.ts";
import { age, formatClock } from "../parts/times.ts";
import { readQuery, type TaskQuery } from "../task_query.ts";
import { answerJob } from "./bulk.ts";
import { type BulkName, isBulkName, QUESTIONS, statesFor } from "./bulk_actions.ts";
import { startJob } from "./bulk_job.ts";
import { countSelected, MAX_TASKS, type Selection } from "./bulk_selection.ts";
import { field, readPriority, readWhen } from "./new_fields.ts";
import { formatId } from "./tasks_filter.ts";

/** From how many tasks on their number must be typed. */
const TYPED = 1_000;
/** How many names a question lists. */
const NAMES = 20;

/** What a question is about. */
interface Asked {
  readonly name: BulkName;
  /** The filter that selects the tasks, as text. */
  readonly q: string;
  readonly query: TaskQuery;
  /** The filter of the list to go back to. */
  readonly back: string;
  /** The task whose page to go back to instead. */
  readonly task: string | undefined;
}

function askedIn(name: BulkName, fields: URLSearchParams, now: Date): Asked {
  const list = fields.getAll("q").join(" ").trim();
  const ids = fields.getAll("id");
  const q = ids.length > 0 ? formatFilter([{ key: "id", values: ids, not: false }]) : list;
  const query = readQuery(parseFilter(q), now);
  const [only, ...others] = query.conditions.ids ?? [];
  const task = fields.get("to") === "task" && only !== undefined && others.length === 0 ? String(only) : undefined;
  return {
    name,
    q,
    query: { ...query, states: statesFor(name, query.states) },
    back: fields.get("back") ?? list,
    task,
  };
}

async function ask(context: PageContext, name: BulkName): Promise<Page> {
  const fields = context.url.searchParams;
  const asked = askedIn(name, fields, context.now);
  if (context.viewer.readOnly) return notPossible(context, asked, "This dashboard is read-only for you.");
  if (fields.has("picked") && !fields.has("id")) return notPossible(context, asked, "No task is picked.");
  return await question(context, asked, {});
}

/** What is wrong with the fields of a question, by their names. */
type Problems = Readonly<Record<string, string | undefined>>;

async function question(context: PageContext, asked: Asked, problems: Problems): Promise<Page> {
  const { name, query } = asked;
  const [problem] = query.problems;
  if (problem) {
    const token = formatFilter([problem.token]);
    return notPossible(context, asked, `“${token}” in the filter cannot be applied: ${problem.message}.`);
  }
  const selection = await countSelected(context, query);
  if (selection.count === 0) return notPossible(context, asked, nothingToDo(name));
  const { verb } = QUESTIONS[name];
  const title = `${verb} ${selection.more ? "the first " : ""}${amount(selection.count, "task")}?`;
  const body =
    markup`<div class="lone"><section class="panel" aria-labelledby="ask-t"><form class="in" method="post" action="${
      context.href(`/tasks/${name}`)
    }">
<h1 id="ask-t">${title}</h1>
${await content(context, asked, { selection, problems })}
<div class="acts"><button type="submit" class="${
      name === "cancel" || name === "delete" ? "danger " : ""
    }primary">${verb} ${amount(selection.count, "task")}</button>${backLink(context, asked)}</div>
</form></section></div>`;
  const isWrong = Object.values(problems).some((each) => each !== undefined);
  return { title, current: "tasks", body, status: isWrong ? 422 : 200 };
}

function nothingToDo(name: BulkName): string {
  const words = {
    retry: "No task that matches has failed or was cancelled.",
    run: "No task that matches waits for its time.",
    reschedule: "No task that matches waits to run.",
    cancel: "No task that matches runs or waits to run.",
    delete: "No task matches.",
  };
  return words[name];
}

function notPossible(context: PageContext, asked: Asked, why: string): Page {
  const title = `${QUESTIONS[asked.name].verb}: nothing to do`;
  const body = lone(title, markup`<p>${why}</p>`, backLink(context, asked));
  return { title, current: "tasks", body, status: context.viewer.readOnly ? 403 : 200 };
}

function backLink(context: PageContext, { back, task }: Asked): Html {
  const path = task === undefined ? "/tasks" : `/tasks/${task}`;
  return markup`<a class="button" href="${context.href(path, { q: back || undefined })}" data-back>Back</a>`;
}

async function content(
  context: PageContext,
  { name, q, back, query, task }: Asked,
  { selection, problems }: { selection: Selection; problems: Problems },
): Promise<Html> {
  const { count, last, more } = selection;
  const tokens = parseFilter(q);
  const isPicked = tokens.length === 1 && tokens[0]!.key === "id";
  const filters = isPicked ? [] : tokens.length > 0 ? tokens.map((token) => formatFilter([token])) : ["every task"];
  return markup`${hidden({ q, back, last, count, to: task && "task" })}<p>${QUESTIONS[name].effect}</p>
${
    filters.length > 0 &&
    markup`<ul class="tokens" aria-label="Filters">${filters.map((text) => markup`<li class="tag">${text}</li>`)}</ul>`
  }
${namesTable(context, selection)}
${name === "retry" && await outlook(context, selection)}
${more && moreNote(more.down, count)}
<p class="small dim">Counted at ${
    formatClock(context.now)
  } UTC. Tasks that begin to match after that are left alone.</p>
${name === "reschedule" && changeFields(context, problems)}
${isTyped(name, { count, isPicked: query.conditions.ids !== undefined }) && typedField(count, problems.typed)}`;
}

/** Whether the number of tasks must be typed. */
function isTyped(name: BulkName, { count, isPicked }: { count: number; isPicked: boolean }): boolean {
  return count > TYPED || (name === "delete" && !(isPicked && count === 1));
}

function typedField(count: number, problem: string | undefined): Html {
  return markup`<div class="field"><label for="typed">Type <code>${count}</code> to go on</label>
<input id="typed" name="typed" data-word="${count}" inputmode="numeric" autocomplete="off" required${
    problem !== undefined && markup` aria-invalid="true" aria-describedby="typed-n"`
  }>${problem !== undefined && markup`<span class="small bad" id="typed-n">${problem}</span>`}</div>`;
}

function moreNote(down: number | null, count: number): Html {
  if (count >= MAX_TASKS) {
    return markup`<p class="hold small">One click changes at most ${formatNumber(MAX_TASKS)} tasks. More match.</p>`;
  }
  return markup`<p class="hold small">More may match: counting stopped after two seconds${
    down === null ? "" : `, at ${formatId(down)}`
  }. Narrow the filter, or repeat this.</p>`;
}

function namesTable({ now }: PageContext, { names }: Selection): Html {
  const rows = names.slice(0, NAMES).map(({ name, count, oldest, newest }) => [
    name,
    formatNumber(count),
    age(oldest, now),
    age(newest, now),
  ]);
  const others = names.slice(NAMES).reduce((sum, { count }) => sum + count, 0);
  const columns = ["Task", { head: "Tasks", class: "num" }, { head: "Oldest", class: "num slim" }, {
    head: "Newest",
    class: "num slim",
  }];
  return markup`${table({ label: "What matches", columns, rows })}${
    others > 0 &&
    markup`<p class="small dim">and ${amount(others, "task")} of ${amount(names.length - NAMES, "other name")}</p>`
  }`;
}

/** How the attempts of these names went in the last ten minutes. */
async function outlook(context: PageContext, { names }: Selection): Promise<Html> {
  const { ended, failed } = await readRecentAttempts(context.sql, names.map(({ name }) => name));
  if (ended === 0) return NOTHING;
  const whose = names.length === 1 ? "its" : "their";
  const again = failed / ended >= 0.2 ? ": they may fail again" : "";
  return markup`<p class="small${again ? " hold" : " dim"}">${formatShare(failed, ended)} of ${whose} ${
    amount(ended, "attempt")
  } failed in the last ten minutes${again}.</p>`;
}

function changeFields(context: PageContext, problems: Problems): Html {
  const value = (name: string) => context.form.get(name) ?? "";
  return markup`${
    field({
      name: "notBefore",
      label: "Not before",
      value: value("notBefore"),
      problem: problems.notBefore,
      placeholder: "as it is",
      hint: "now, 10m, or a time in UTC such as 2026-12-24 18:30",
    })
  }${
    field({ name: "queue", label: "Queue", value: value("queue"), problem: problems.queue, placeholder: "as it is" })
  }${
    field({
      name: "priority",
      label: "Priority",
      value: value("priority"),
      problem: problems.priority,
      placeholder: "as it is",
      isNumber: true,
    })
  }`;
}

async function act(context: PageContext, name: BulkName): Promise<Page | Response> {
  const { form, now } = context;
  const asked = askedIn(name, form, now);
  const [count, last] = [countIn(form, "count"), countIn(form, "last")];
  if (asked.query.problems.length > 0 || count === undefined || last === undefined) {
    return await question(context, asked, {});
  }
  const isPicked = asked.query.conditions.ids !== undefined;
  const typed = (form.get("typed") ?? "").replace(/[\s,.]/g, "");
  if (isTyped(name, { count, isPicked }) && typed !== String(count)) {
    return await question(context, asked, { typed: `Type the number of tasks, ${count}, to go on` });
  }
  const changes = name === "reschedule" ? changesIn(context) : undefined;
  if (changes && "problems" in changes) return await question(context, asked, changes.problems);
  const { query, back, task } = asked;
  // A deleted task has no page to go back to.
  const path = task === undefined || name === "delete" ? "/tasks" : `/tasks/${task}`;
  const order = { name, query, count, last, back: { path, q: back || undefined }, changes: changes?.changes };
  return await answerJob(context, startJob(context, order));
}

function countIn(form: URLSearchParams, name: string): number | undefined {
  const text = form.get(name) ?? "";
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** The changes that a form asks for, or what is wrong with it. */
function changesIn({ form, now }: PageContext): { changes: RescheduleOptions } | { problems: Problems } {
  const [when, priority] = [
    readWhen(form.get("notBefore")?.trim() ?? "", now),
    readPriority(form.get("priority")?.trim() ?? ""),
  ];
  const queue = form.get("queue")?.trim() || undefined;
  const problems: Record<string, string> = {};
  if (typeof when === "string") problems.notBefore = when;
  if (typeof priority === "string") problems.priority = priority;
  if (queue === undefined && when === undefined && priority === undefined) problems.notBefore = "Change one of these";
  if (typeof when === "string" || typeof priority === "string" || Object.keys(problems).length > 0) return { problems };
  const changes = { ...when, ...queue === undefined ? {} : { queue }, ...priority === undefined ? {} : { priority } };
  try {
    toPlaceChange(changes, "reschedule tasks");
  } catch (error) {
    return { problems: { queue: (error as Error).message } };
  }
  return { changes };
}

/** The routes of questions. */
export const questions: readonly Route[] = Object.keys(QUESTIONS).filter(isBulkName).flatMap((name): Route[] => [
  { method: "GET", path: `/tasks/${name}`, run: (context) => ask(context, name) },
  { method: "POST", path: `/tasks/${name}`, run: (context) => act(context, name) },
]);
