import { readKnownTask } from "../../store/task_lists_new.ts";
import { readSuggestions } from "../../store/task_lists_counts.ts";
import { readTaskPage } from "../../store/task_lists_task.ts";
import { type Page, type PageContext, type Route, seeOther } from "../context.ts";
import { type Html, join, markup, NOTHING, type Part } from "../html.ts";
import { lone } from "../layout.ts";
import { hidden } from "../parts/forms.ts";
import { amount } from "../parts/numbers.ts";
import { editArguments, type EditedArguments } from "./new_arguments.ts";
import { field } from "./new_fields.ts";
import { type FieldName, type FieldProblems, FIELDS, type Fields, scheduleFrom } from "./new_task.ts";
import type { ShownTask } from "./task_facts.ts";

async function show(context: PageContext): Promise<Page> {
  if (context.viewer.readOnly) return readOnly(context);
  const from = await readFrom(context, context.url.searchParams.get("from"));
  if (from === "missing") return missing(context);
  const edited = from && await editArguments(context, from);
  const name = from?.func_name ?? context.url.searchParams.get("name") ?? "";
  const fields: Fields = {
    name,
    params: from ? edited?.json ?? "" : "[]",
    queue: from?.queue ?? "",
    notBefore: "",
    priority: String(from?.priority ?? ""),
    unique: "",
  };
  return await formPage(context, { fields, from, edited, problems: {} });
}

/** The task that is to be duplicated. */
async function readFrom(context: PageContext, id: string | null): Promise<ShownTask | undefined | "missing"> {
  if (id === null || id === "") return undefined;
  if (!/^\d{1,15}$/.test(id)) return "missing";
  return await readTaskPage(context.sql, Number(id)) ?? "missing";
}

function readOnly(context: PageContext): Page {
  const title = "You may look, but not schedule";
  const body = lone(title, markup`<p>This dashboard is read-only for you.</p>`, backLink(context));
  return { title, current: "tasks", body, status: 403 };
}

function missing(context: PageContext): Page {
  const title = "The task to duplicate is gone";
  const body = lone(title, markup`<p>Its record was deleted or pruned.</p>`, backLink(context));
  return { title, current: "tasks", body, status: 404 };
}

function backLink(context: PageContext): Html {
  return markup`<a class="button" href="${context.href("/tasks")}">Back</a>`;
}

/** What the form shows. */
interface FormState {
  readonly fields: Fields;
  readonly from: ShownTask | undefined;
  readonly edited: EditedArguments | undefined;
  readonly problems: FieldProblems;
}

async function formPage(context: PageContext, { fields, from, edited, problems }: FormState): Promise<Page> {
  const title = from ? `Duplicate ${from.func_name} #${from.id}` : "Schedule a task";
  const [{ names, queues }, known] = await Promise.all([
    readSuggestions(context.sql),
    fields.name === "" ? undefined : readKnownTask(context.sql, fields.name),
  ]);
  const consumers = known &&
    (known.consumers > 0
      ? `Known to ${amount(known.consumers, "live consumer")}, of ${known.queues.join(", ")}`
      : "No live consumer knows it: it waits until one does");
  const line = (name: FieldName, options: Omit<Parameters<typeof field>[0], "name" | "value" | "problem">) =>
    field({ name, value: fields[name], problem: problems[name], ...options });
  const body =
    markup`<div class="lone"><section class="panel" aria-labelledby="new-t"><form class="in" method="post" action="${
      context.href("/new")
    }"><h1 id="new-t">${title}</h1>
${hidden({ from: from?.id })}
${line("name", { label: "Task", list: "names", isRequired: true, hint: consumers })}
${datalist("names", names)}
${argumentsField(fields, { edited, problem: problems.params })}
${line("queue", { label: "Queue", list: "queues", placeholder: known?.queue ?? "that of its definition" })}
${datalist("queues", queues)}
${
      line("notBefore", {
        label: "Not before",
        placeholder: "now",
        hint: "now, 10m, or a time in UTC such as 2026-12-24 18:30",
      })
    }
${line("priority", { label: "Priority", placeholder: "0", isNumber: true, hint: "Higher priorities run first" })}
${
      line("unique", {
        label: "Unique key",
        placeholder: "none",
        hint: "An existing task with this name and key is kept instead, while it waits or runs",
      })
    }
${from && markup`<p class="small dim">${keptOptions(from)}</p>`}
<div class="acts"><button class="primary">Schedule</button>${backLink(context)}</div></form></section></div>`;
  return { title, current: "tasks", body, status: Object.keys(problems).length > 0 ? 422 : 200 };
}

function datalist(id: string, words: readonly string[]): Html {
  return markup`<datalist id="${id}">${words.map((word) => markup`<option value="${word}"></option>`)}</datalist>`;
}

/** The field for the arguments, with what JSON cannot carry. */
function argumentsField(
  { params }: Fields,
  { edited, problem }: { edited: EditedArguments | undefined; problem: string | undefined },
): Html {
  if (edited && edited.json === undefined) {
    return markup`<div class="field"><b>Arguments</b><span class="small hold">${edited.problem}</span></div>`;
  }
  const label = "Arguments, a list in JSON";
  const control = field({
    name: "params",
    label,
    value: params,
    problem,
    rows: Math.min(20, Math.max(4, params.split("\n").length)),
  });
  return markup`${control}${edited && notes(edited).map((note) => markup`<p class="small hold">${note}</p>`)}`;
}

function notes({ lost, hidden }: EditedArguments): Part[] {
  const list = join(lost.map((each) => markup`<code>${each}</code>`), ", ");
  return [
    ...lost.length === 0 ? [] : [
      markup`JSON does not have ${list}. Left as it is, the copy has the same values; once you edit it, they become what you see.`,
    ],
    ...hidden.length === 0 ? [] : [
      "Some parts are hidden. Left as it is, the copy has the same values; once you edit it, write others in their place.",
    ],
  ];
}

/** What a duplicate has of the other task beside the fields. */
function keptOptions({ tags, max_retries, timeout, concurrency_key, rate_key }: ShownTask): string {
  const parts = [
    max_retries === null ? undefined : amount(max_retries, "retry", "retries"),
    timeout === null ? undefined : "its timeout",
    tags.length === 0 ? undefined : `the tags ${tags.join(", ")}`,
    concurrency_key === null ? undefined : `the concurrency key ${concurrency_key}`,
    rate_key === null ? undefined : `the rate key ${rate_key}`,
  ].filter((part) => part !== undefined);
  return parts.length === 0 ? "It has the same options." : `It also has ${parts.join(", ")}.`;
}

async function schedule(context: PageContext): Promise<Page | Response> {
  const { form } = context;
  const from = await readFrom(context, form.get("from"));
  if (from === "missing") return missing(context);
  const entries = FIELDS.map((
    name,
  ) => [name, name === "params" ? form.get(name) ?? "" : (form.get(name) ?? "").replaceAll("\0", "").trim()]);
  const fields = Object.fromEntries(entries) as Fields;
  const outcome = await scheduleFrom(context, fields, from);
  if ("id" in outcome) {
    return seeOther(context.href(`/tasks/${outcome.id}`, { scheduled: outcome.inserted ? "new" : "kept" }));
  }
  const edited = from?.func_name === fields.name ? await editArguments(context, from) : undefined;
  return await formPage(context, { fields, from, edited, problems: outcome.problems });
}

/** Says what the form did that led to this page. */
export function scheduledFlash({ url }: PageContext): Html {
  const scheduled = url.searchParams.get("scheduled");
  if (scheduled === "new") return markup`<div class="tell ok-w" role="status"><p><b>Scheduled.</b></p></div>`;
  if (scheduled !== "kept") return NOTHING;
  return markup`<div class="tell hold-w" role="status"><p><b>Nothing was scheduled</b>: this task has the same unique key.</p></div>`;
}

/** The routes of the form that schedules. */
export const newTask: readonly Route[] = [
  { method: "GET", path: "/new", run: show },
  { method: "POST", path: "/new", run: schedule },
];
