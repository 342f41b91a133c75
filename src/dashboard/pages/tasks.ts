import { findTags, readSuggestions } from "../../store/task_lists_counts.ts";
import { readErrorGroups } from "../../store/task_lists_failed.ts";
import { type Page, type PageContext, type Route, seeOther } from "../context.ts";
import { formatFilter, parseFilter, resolveWords, type Token } from "../filter.ts";
import { type Html, join, markup, NOTHING, type Part } from "../html.ts";
import { guard } from "../parts/failures.ts";
import { hidden, linkButton, older } from "../parts/forms.ts";
import { amount, formatNumber } from "../parts/numbers.ts";
import { empty, head, panel } from "../parts/panels.ts";
import { age } from "../parts/times.ts";
import { readQuery, type TaskQuery } from "../task_query.ts";
import { actionsFor, flashOf, QUESTIONS } from "./bulk_actions.ts";
import { filterForm, formatId, tabOf, tabs } from "./tasks_filter.ts";
import { maySeeRecords, overviewList } from "./tasks_overview.ts";
import { readTaskPage, type TaskPage } from "./tasks_list.ts";
import { taskTable } from "./tasks_table.ts";

/** The text of the filter in the address: what stands in the field is added to what was there. */
export function filterIn(url: URL): string {
  return url.searchParams.getAll("q").join(" ").trim();
}

async function show(context: PageContext): Promise<Page | Response> {
  const text = filterIn(context.url);
  if (/^#?\d{1,16}$/.test(text)) return seeOther(context.href(`/tasks/${text.replace("#", "")}`));
  if (!await maySeeRecords(context)) return await overviewList(context, text);
  const known = await readSuggestions(context.sql);
  const tokens = parseFilter(text);
  const words = tokens.filter(({ key }) => key === "").flatMap(({ values }) => values);
  const tags = words.length > 0 ? await findTags(context.sql, words) : [];
  const resolved = resolveWords(tokens, { ...known, tags });
  const q = formatFilter(resolved) || undefined;
  if (q !== (context.url.searchParams.get("q")?.trim() || undefined)) return seeOther(context.href("/tasks", { q }));
  const query = readQuery(resolved, context.now);
  const title = titleOf(query);
  const [tabRow, list, labels] = await Promise.all([
    guard(context, () => tabs(context, resolved, query)),
    guard(context, () => listOf(context, query, { q, title })),
    labelsOf(context, resolved),
  ]);
  const beside = markup`<div class="acts">${
    (query.states?.includes("suspended") || query.conditions.waits) &&
    linkButton(context, "What they wait for", { href: context.href("/waits") })
  }${!context.viewer.readOnly && linkButton(context, "Schedule a task…", { href: context.href("/new") })}</div>`;
  const body = markup`${flashOf(context)}${head(title, { beside })}
${panel({ label: "Tasks" }, [tabRow, filterForm(context, resolved, { query, known, labels }), list])}`;
  return { title, current: "tasks", body };
}

/** The title of a list: `Failed tasks`. */
export function titleOf(query: TaskQuery): string {
  const tab = tabOf(query);
  return tab?.status ? `${tab.title} tasks` : "Tasks";
}

/** Names the kinds of errors that the filter has by their number. */
async function labelsOf(context: PageContext, tokens: readonly Token[]): Promise<Map<string, string>> {
  const numbered = tokens.filter(({ key, values }) => key === "error" && /^#-?\d{1,19}$/.test(values[0]!));
  if (numbered.length === 0) return new Map();
  const groups = await readErrorGroups(context.sql, numbered.map(({ values }) => values[0]!.slice(1)));
  return new Map(numbered.flatMap((token) => {
    const group = groups.find(({ fingerprint }) => `#${fingerprint}` === token.values[0]);
    const text = group && context.redactText(`${group.name}: ${group.message}`, ["errors", "0", "message"]);
    return text ? [[formatFilter([token]), text.slice(0, 120)] as const] : [];
  }));
}

async function listOf(
  context: PageContext,
  query: TaskQuery,
  { q, title }: { q: string | undefined; title: string },
): Promise<Html> {
  let page: TaskPage;
  try {
    page = await readTaskPage(context, query, { after: context.url.searchParams.get("after") });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return markup`${empty("This address leads to no place in the list.")}
<footer><a href="${context.href("/tasks", { q })}">To its beginning</a></footer>`;
  }
  const { rows, next, lookedTo } = page;
  const orders = `${title}, ${orderOf(query)}`;
  const time = tabOf(query)?.time ?? "Changed";
  const list = rows.length > 0
    ? await taskTable(context, rows, { label: orders, time, q })
    : empty(lookedTo ? "No task of those looked at matches." : q ? "No task matches." : "There is no task yet.");
  const href = next === null ? undefined : context.href("/tasks", { q, after: next });
  const footer = markup`<footer><span>${rows.length > 0 && `${amount(rows.length, "task")}, ${orderOf(query)}`}${
    lookedTo && lookedMessage(context, lookedTo)
  }</span><span>${older(href, lookedTo ? "Look further back →" : "Older →")}</span></footer>`;
  if (context.viewer.readOnly || rows.length === 0) return markup`${list}${footer}`;
  return markup`<form method="get" action="${context.href("/tasks")}">${hidden({ q, picked: 1 })}${list}
${pickedBar(context, query)}</form>
${allThatMatch(context, { query, q })}${footer}`;
}

function lookedMessage(context: PageContext, { id, created, looked }: NonNullable<TaskPage["lookedTo"]>): Part {
  const down = id === null ? "" : `, down to ${formatId(id)}`;
  return markup`${" "}Looked at ${formatNumber(looked)} records${down}${created && [", ", age(created, context.now)]}.`;
}

/** In which order a list is. */
function orderOf({ states, conditions }: TaskQuery): string {
  const are = (...among: string[]) =>
    states !== null && states.length > 0 && states.every((each) => among.includes(each));
  if (conditions.waits || are("suspended")) return "those that wait longest first";
  if (are("ready")) return "in the order in which they are claimed";
  if (are("running")) return "those that run longest first";
  if (are("delayed", "retrying")) return "those whose time comes first first";
  if (
    are("delayed", "retrying", "limited", "dependent", "suspended", "unknown") ||
    are("completed", "failed", "cancelled") ||
    states === null
  ) {
    return "newest first";
  }
  return "by status";
}

/** The bar for the tasks that are picked. */
function pickedBar(context: PageContext, query: TaskQuery): Html {
  const buttons = actionsFor(query.states).map((name) => {
    const { verb, tone } = QUESTIONS[name];
    return markup`<button formaction="${context.href(`/tasks/${name}`)}"${tone && markup` class="${tone}"`}${
      name === "retry" && markup` data-key="r"`
    } data-ask>${verb}…</button>`;
  });
  return markup`<div class="bulk"><b data-picked>Those that are picked</b><div class="acts">${buttons}</div></div>`;
}

/** Links to the questions about all tasks that match. */
function allThatMatch(context: PageContext, { query, q }: { query: TaskQuery; q: string | undefined }): Html {
  if (query.problems.length > 0) return NOTHING;
  const links = actionsFor(query.states).filter((name) => name !== "retry" || query.states !== null).map((name) =>
    markup`<a href="${context.href(`/tasks/${name}`, { q: q ?? "" })}" data-ask>${QUESTIONS[name].verb}…</a>`
  );
  return markup`<p class="in small">All that match: ${join(links, " · ")}</p>`;
}

/** The routes of the list. */
export const tasks: readonly Route[] = [{ method: "GET", path: "/tasks", run: show }];
