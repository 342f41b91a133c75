import { EXACT_COUNT } from "../../store/task_lists_counts.ts";
import { countFailed, countPlaces, estimateTotals } from "../../store/task_lists_counts.ts";
import type { Firefly } from "../../firefly/firefly.ts";
import type { TaskState } from "../../task/record.ts";
import type { PageContext } from "../context.ts";
import { formatFilter, type KnownWords, type Token, withoutKeys } from "../filter.ts";
import { attr, type Html, markup, type Part } from "../html.ts";
import { hidden } from "../parts/forms.ts";
import { formatCapped, formatNumber, formatRough } from "../parts/numbers.ts";
import type { TaskQuery } from "../task_query.ts";

/** A list of tasks in some of the states. */
interface Tab {
  readonly title: string;
  /** The value of `status:`; null for all tasks. */
  readonly status: string | null;
  readonly states: readonly TaskState[] | null;
  /** What its column of times is. */
  readonly time: string;
}

/** The lists, in the order of a task's life. */
const TABS: readonly Tab[] = [
  { title: "All", status: null, states: null, time: "Changed" },
  { title: "Due", status: "due", states: ["ready"], time: "Due" },
  {
    title: "Waiting",
    status: "waiting",
    states: ["delayed", "retrying", "limited", "dependent", "suspended", "unknown"],
    time: "Created",
  },
  { title: "Running", status: "running", states: ["running"], time: "Started" },
  { title: "Completed", status: "completed", states: ["completed"], time: "Completed" },
  { title: "Failed", status: "failed", states: ["failed"], time: "Failed" },
  { title: "Cancelled", status: "cancelled", states: ["cancelled"], time: "Cancelled" },
];

/** The list that a query is, if it is one of them. */
export function tabOf({ states }: TaskQuery): Tab | undefined {
  return TABS.find((tab) =>
    tab.states === null || states === null
      ? tab.states === states
      : tab.states.length === states.length && tab.states.every((state) => states.includes(state))
  );
}

/** The lists, with the number of tasks of each where it can be known quickly. */
export async function tabs(context: PageContext, tokens: readonly Token[], query: TaskQuery): Promise<Html> {
  const others = withoutKeys(tokens, "status", "place");
  return tabLinks(context, tokens, { query, counts: await countTabs(context, others, query) });
}

/** The lists, each with its number if there is one. */
export function tabLinks(
  context: PageContext,
  tokens: readonly Token[],
  { query, counts }: { query: TaskQuery; counts: Readonly<Record<string, string>> },
): Html {
  const others = withoutKeys(tokens, "status", "place");
  const current = tabOf(query);
  const links = TABS.map((tab) => {
    const own = tab.status === null ? [] : [{ key: "status", values: [tab.status], not: false }];
    const count = tab.status === null ? counts.all : counts[tab.status];
    const href = context.href("/tasks", { q: formatFilter([...own, ...others]) || undefined });
    return markup`<a href="${href}"${attr("aria-current", tab === current && "page")}>${tab.title}${
      count !== undefined && markup` <small>${count}</small>`
    }</a>`;
  });
  return markup`<nav class="tabs" aria-label="Status">${links}</nav>`;
}

/** The numbers of the lists as text. A filter that the small tables cannot apply leaves them out. */
async function countTabs(
  context: PageContext,
  others: readonly Token[],
  { conditions }: TaskQuery,
): Promise<Readonly<Record<string, string>>> {
  if (others.some(({ key, not }) => not || (key !== "queue" && key !== "name"))) return {};
  const { queues = null, names = null } = conditions;
  const [places, failed, totals] = await Promise.all([
    countPlaces(context.sql, { queues, names }),
    countFailed(context.sql, { queues, names }),
    others.length === 0 ? totalsOf(context) : undefined,
  ]);
  const exact = Object.entries({ ...places, failed }).map(([name, count]) => [name, formatCapped(count, EXACT_COUNT)]);
  return {
    ...Object.fromEntries(exact),
    ...totals && totals.all >= 0 ? { all: formatRough(totals.all) } : {},
    ...totals && totals.completed > 0 ? { completed: `about ${formatRough(totals.completed)}` } : {},
  };
}

/** How long the totals are kept, in milliseconds: a week of statistics takes 40 ms to add up. */
const KEPT = 60_000;
const kept = new WeakMap<Firefly, { at: number; totals: ReturnType<typeof estimateTotals> }>();

async function totalsOf({ firefly, sql }: PageContext): Promise<{ all: number; completed: number }> {
  const before = kept.get(firefly);
  if (before && performance.now() - before.at < KEPT) return await before.totals;
  const totals = estimateTotals(sql);
  kept.set(firefly, { at: performance.now(), totals });
  totals.catch(() => kept.delete(firefly));
  return await totals;
}

/** The field for a filter, and what is filtered by: each token with a link that takes it away. */
export function filterForm(
  context: PageContext,
  tokens: readonly Token[],
  { query, known, labels }: { query: TaskQuery; known: KnownWords; labels: ReadonlyMap<string, string> },
): Html {
  const words = [
    ...known.names.map((name) => formatFilter([{ key: "name", values: [name], not: false }])),
    ...known.queues.map((queue) => `queue:${queue}`),
  ];
  const problems = new Map(query.problems.map(({ token, message }) => [token, message]));
  const isList = (key: string) => key === "status" || key === "place";
  const shown = tokens.filter((token) => !isList(token.key) || tabOf(query) === undefined || problems.has(token));
  const chips = shown.map((token) =>
    chip(context, token, { tokens, problem: problems.get(token), label: labels.get(formatFilter([token])) })
  );
  return markup`<form class="filter" role="search" action="${context.href("/tasks")}">
${tokens.length > 0 && hidden({ q: formatFilter(tokens) })}<label class="skip" for="q">Filter</label>
<input type="search" id="q" name="q" list="words" placeholder="queue: name: tag: error: from: to: args: or an id" autocomplete="off" spellcheck="false">
<datalist id="words">${words.map((word) => markup`<option value="${word}"></option>`)}</datalist>
<button>${tokens.length > 0 ? "Add" : "Filter"}</button>
${chips.length > 0 && markup`<ul class="tokens" aria-label="Filters">${chips}</ul>`}</form>
${
    query.problems.map(({ token, message }) =>
      markup`<p class="in small hold">“${formatFilter([token])}” is not applied: ${message}</p>`
    )
  }`;
}

function chip(
  context: PageContext,
  token: Token,
  { tokens, problem, label }: { tokens: readonly Token[]; problem: string | undefined; label: string | undefined },
): Html {
  const rest = formatFilter(tokens.filter((other) => other !== token));
  const key = `${token.not ? "not " : ""}${token.key || "word"}:`;
  const value: Part = label ?? token.values.join(", ");
  return markup`<li class="token"><span${attr("title", problem)}><span class="${problem ? "hold" : "dim"}">${
    problem ? "unknown " : ""
  }${key}</span> ${value}</span><a href="${
    context.href("/tasks", { q: rest || undefined })
  }" aria-label="${`Without ${key} ${label ?? token.values.join(", ")}`}">✕</a></li>`;
}

/** A number of ids, for people: `#846,120`. */
export function formatId(id: number): string {
  return `#${formatNumber(id)}`;
}
