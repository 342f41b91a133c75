import { type DrawnTask, readDrawnTasks } from "../../store/task_graph.ts";
import { TASK_STATES, type TaskState } from "../../task/record.ts";
import { formatSeconds } from "../../times.ts";
import type { Page, PageContext, Params, Route } from "../context.ts";
import { type CriticalPath, findCriticalPath } from "../graph/critical_path.ts";
import { Graph } from "../graph/graph.ts";
import { type Grouped, groupTasks } from "../graph/groups.ts";
import { type Html, join, markup, type Part } from "../html.ts";
import { older } from "../parts/forms.ts";
import { amount, formatNumber } from "../parts/numbers.ts";
import { empty, head, liveAs, panel } from "../parts/panels.ts";
import { stateOf, STATES } from "../parts/status.ts";
import { table } from "../parts/tables.ts";
import { graphPicture, progressNote, tookOf } from "./graph_picture.ts";
import { missing } from "./task_missing.ts";
import { maySeeRecords, overviewTask } from "./tasks_overview.ts";

/** How many tasks a page lists, and how many links a row has. */
const [PAGE, LINKS] = [100, 3];
/** As many tasks of a graph are read at most. */
const MOST = 10_000;

async function show(context: PageContext, { id }: Params): Promise<Page> {
  if (!await maySeeRecords(context)) return await overviewTask(context, id!);
  const tasks = /^\d{1,15}$/.test(id!) ? await readDrawnTasks(context.sql, Number(id)) : [];
  const focus = tasks.find((task) => String(task.id) === id);
  if (!focus) return missing(context, id!);
  const graph = new Graph(tasks);
  const path = findCriticalPath(graph);
  const title = `Graph of ${focus.funcName} #${focus.id}`;
  const body = markup`${
    head(["Graph of ", focus.funcName, markup` <span class="dim">#${focus.id}</span>`], {
      crumb: markup`<a href="${context.href(`/tasks/${focus.id}`)}">${focus.funcName} #${focus.id}</a>`,
      beside: stateOf(focus.state),
    })
  }
${picturePanel(context, { graph, path, focus })}
${tasksPanel(context, { graph, path, focus })}`;
  return { title, current: "tasks", body };
}

/** What the parts of the page are made of. */
interface Shown {
  readonly graph: Graph;
  readonly path: CriticalPath | undefined;
  readonly focus: DrawnTask;
}

function picturePanel(context: PageContext, { graph, path, focus }: Shown): Html {
  const grouped = groupTasks({ graph, focus: focus.id, path });
  const picture = graphPicture(context, {
    graph,
    grouped,
    listOf: ({ funcName, state }) =>
      `${context.href(`/tasks/${focus.id}/graph`, { name: funcName, state })}#graph-tasks`,
  });
  return panel(
    { id: "graph", title: "Graph", note: noteOf(graph, grouped), aside: keyOf(graph, path) },
    markup`<div class="graph in" tabindex="0" role="region" aria-label="Graph, drawn; the table below says the same"${
      liveAs("graph-now")
    }>${picture}</div>`,
  );
}

function noteOf({ tasks }: Graph, { groups, left }: Grouped): string {
  const all = tasks.size >= MOST ? `the first ${formatNumber(MOST)} tasks` : amount(tasks.size, "task");
  const drawn = groups.length < tasks.size && left === 0 ? `, drawn as ${formatNumber(groups.length)}` : "";
  const far = left > 0 ? `; ${amount(left, "task")} further away ${left === 1 ? "is" : "are"} not drawn` : "";
  return `${all}${drawn}${far}`;
}

function keyOf({ edges }: Graph, path: CriticalPath | undefined): Part {
  const words = [
    edges.some(({ isCall }) => isCall) && markup`<span><i class="k-dash"></i>calls</span>`,
    path &&
    markup`<span><i class="k-bold"></i>critical path, ${formatSeconds(path.seconds)}</span>`,
  ].filter(Boolean);
  return words.length > 0 && markup`<span class="key small dim">${words}</span>`;
}

/** Says in a table what the picture shows. */
function tasksPanel(context: PageContext, { graph, path, focus }: Shown): Html {
  const { searchParams } = context.url;
  const [name, state] = [searchParams.get("name") ?? undefined, stateIn(searchParams)];
  const all = [...graph.tasks.values()]
    .filter((task) => (name === undefined || task.funcName === name) && (!state || task.state === state))
    .sort((a, b) => graph.layers.get(a.id)! - graph.layers.get(b.id)! || a.id - b.id);
  const from = 1 + all.findIndex(({ id }) => String(id) === searchParams.get("after"));
  const shown = all.slice(from, from + PAGE);
  const next = from + PAGE < all.length ? String(shown.at(-1)!.id) : undefined;
  const callees = Map.groupBy([...graph.tasks.values()], ({ calledBy }) => calledBy);
  const rows = shown.map((task) => ({
    id: `g${task.id}`,
    href: context.href(`/tasks/${task.id}`),
    cells: [
      markup`${nameLink(context, task, focus)}<span class="phone small dim">${progressNote(graph, task)}</span>`,
      stateOf(task.state),
      progressNote(graph, task) ?? markup`<span class="dim">–</span>`,
      taskLinks(context, graph, task.dependencies),
      taskLinks(context, graph, callees.get(task.id)?.map(({ id }) => id) ?? []),
      durationOf(context, task),
      path?.tasks.has(task.id) ? "yes" : markup`<span class="dim">–</span>`,
    ],
  }));
  const columns = [
    "Task",
    { head: "Status", class: "fit" },
    { head: "Waits for", class: "fit opt" },
    { head: "Depends on", class: "slim" },
    { head: "Calls", class: "mid" },
    { head: "Took", class: "num fit opt" },
    { head: "Critical", class: "fit mid" },
  ];
  const href = next === undefined
    ? undefined
    : `${context.href(`/tasks/${focus.id}/graph`, { name, state, after: next })}#graph-tasks`;
  const isFiltered = name !== undefined || state !== undefined;
  return panel(
    {
      id: "graph-tasks",
      title: "Its tasks",
      note: `${isFiltered ? `${filterWords(name, state)}: ` : ""}${
        amount(all.length, "task")
      }, in the order in which they can run`,
      aside: isFiltered &&
        markup`<a class="small" href="${context.href(`/tasks/${focus.id}/graph`)}#graph-tasks">All tasks</a>`,
      ...href === undefined ? {} : {
        footer: markup`<span>${formatNumber(from + 1)} to ${formatNumber(from + shown.length)}</span><span>${
          older(href, "Next →")
        }</span>`,
      },
    },
    rows.length === 0 ? empty("None of its tasks matches.") : table({
      label: "Tasks of the graph",
      columns,
      rows,
      live: "graph-rows",
    }),
  );
}

function stateIn(searchParams: URLSearchParams): TaskState | undefined {
  return TASK_STATES.find((state) => state === searchParams.get("state"));
}

function filterWords(name: string | undefined, state: TaskState | undefined): string {
  return [name, state && STATES[state][1].toLowerCase()].filter(Boolean).join(", ");
}

function nameLink(context: PageContext, { id, funcName }: DrawnTask, focus: DrawnTask): Html {
  const here = id === focus.id && markup` <span class="tag">this task</span>`;
  return markup`<a class="name" href="${
    context.href(`/tasks/${id}`)
  }">${funcName}</a> <span class="dim">#${id}</span>${here}`;
}

/** Links to tasks by their numbers; one without a record was deleted. */
function taskLinks(context: PageContext, { tasks }: Graph, ids: readonly number[]): Html {
  if (ids.length === 0) return markup`<span class="dim">–</span>`;
  const links = ids.slice(0, LINKS).map((id) =>
    tasks.has(id) ? markup`<a href="${context.href(`/tasks/${id}`)}">#${id}</a>` : markup`#${id}, deleted`
  );
  const left = ids.length - links.length;
  return markup`${join(links, " ")}${left > 0 && markup` <span class="dim">and ${formatNumber(left)} more</span>`}`;
}

function durationOf({ now }: PageContext, task: DrawnTask): Part {
  const seconds = tookOf(task, now);
  return seconds === undefined ? markup`<span class="dim">–</span>` : formatSeconds(seconds);
}

/** The routes of the graph of a task. */
export const graph: readonly Route[] = [{ method: "GET", path: "/tasks/:id/graph", run: show }];
