import type { Firefly } from "../../firefly/firefly.ts";
import { listOverview, mayReadRecords, type OverviewTask, readOverviewRange } from "../../store/task_lists_overview.ts";
import { formatSeconds } from "../../times.ts";
import type { Page, PageContext } from "../context.ts";
import { formatFilter, parseFilter } from "../filter.ts";
import { type Html, markup } from "../html.ts";
import { older } from "../parts/forms.ts";
import { formatNumber } from "../parts/numbers.ts";
import { empty, facts, head, panel, tell } from "../parts/panels.ts";
import { stateOf } from "../parts/status.ts";
import { table } from "../parts/tables.ts";
import { age, formatUtc } from "../parts/times.ts";
import { readQuery } from "../task_query.ts";
import { missing } from "./task_missing.ts";
import { filterForm, tabLinks } from "./tasks_filter.ts";

/*
 * The pages for a connection with the role viewer, which may read neither arguments, results, messages of errors nor
 * keys: they show what `task_overview` has.
 */

/** How many tasks a page shows, and how many it looks at: each takes up to 20 µs. */
const [PAGE, LOOKED] = [50, 3_000];

const known = new WeakMap<Firefly, Promise<boolean>>();

/** Whether the connection may read records. It is asked once. */
export async function maySeeRecords({ firefly, sql }: PageContext): Promise<boolean> {
  const may = known.get(firefly) ?? mayReadRecords(sql);
  known.set(firefly, may);
  may.catch(() => known.delete(firefly));
  return await may;
}

/** The conditions that `task_overview` can apply. */
const CONDITIONS = ["ids", "queues", "names"];

/** A list of tasks by `task_overview`. */
export async function overviewList(context: PageContext, q: string | undefined): Promise<Page> {
  const tokens = parseFilter(q ?? "");
  const query = readQuery(tokens, context.now);
  const { states, conditions } = query;
  const isPossible = Object.keys(conditions).every((name) => CONDITIONS.includes(name));
  const body = markup`${head("Tasks")}
${note()}
${
    panel({ label: "Tasks" }, [
      tabLinks(context, tokens, { query, counts: {} }),
      filterForm(context, tokens, { query, known: { names: [], queues: [] }, labels: new Map() }),
      isPossible
        ? await list(context, {
          filter: {
            states,
            ids: conditions.ids ?? null,
            queues: conditions.queues ?? null,
            names: conditions.names ?? null,
          },
          q: formatFilter(tokens) || undefined,
        })
        : empty("The database's role lets this dashboard filter by status, queue, name and id alone."),
    ])
  }`;
  return { title: "Tasks", current: "tasks", body };
}

function note(): Html {
  return tell(
    "hold",
    "The dashboard's connection has the role viewer: arguments, results and messages of errors are not shown.",
  );
}

async function list(
  context: PageContext,
  { filter, q }: { filter: Parameters<typeof listOverview>[1]; q: string | undefined },
): Promise<Html> {
  const range = await readOverviewRange(context.sql);
  const after = context.url.searchParams.get("after") ?? "";
  const below = Math.min(range.below, /^\d{1,15}$/.test(after) ? Number(after) : Infinity);
  const from = filter.ids ? range.from : Math.max(range.from, below - LOOKED);
  const rows = await listOverview(context.sql, filter, { from, below, limit: PAGE });
  const next = rows.length === PAGE ? rows.at(-1)!.id : from > range.from ? String(from) : undefined;
  const lines = rows.map((task) => ({
    href: context.href(`/tasks/${task.id}`, { q }),
    cells: [
      task.id,
      markup`<a class="name" href="${
        context.href(`/tasks/${task.id}`, { q })
      }">${task.func_name}</a><span class="phone">${stateOf(task.state)}</span><span class="line">${task.error}</span>`,
      task.queue,
      stateOf(task.state),
      age(changedAt(task), context.now),
    ],
  }));
  const columns = [
    { head: "Id", class: "num fit opt" },
    { head: "Task", class: "main" },
    { head: "Queue", class: "fit mid" },
    { head: "Status", class: "fit opt" },
    { head: "Changed", class: "num fit" },
  ];
  const content = rows.length === 0
    ? empty("No task of those looked at matches.")
    : table({ label: "Tasks, newest first", columns, rows: lines, naming: 1 });
  const looked = rows.length < PAGE && next !== undefined && ` Looked down to #${formatNumber(from)}.`;
  const href = next === undefined ? undefined : context.href("/tasks", { q, after: next });
  return markup`${content}<footer><span>Newest first.${looked}</span><span>${older(href)}</span></footer>`;
}

function changedAt({ completed, failed, cancelled, started, created }: OverviewTask): Date {
  return completed ?? failed ?? cancelled ?? started ?? created;
}

/** The page of one task by `task_overview`. */
export async function overviewTask(context: PageContext, id: string): Promise<Page> {
  const filter = { ids: [Number(id)], states: null, queues: null, names: null };
  const isId = /^\d{1,15}$/.test(id);
  const [task] = isId
    ? await listOverview(context.sql, filter, { from: Number(id), below: Number(id) + 1, limit: 1 })
    : [];
  if (!task) return missing(context, id);
  const title = `${task.func_name} #${task.id}`;
  const heading = head([task.func_name, markup` <span class="dim">#${task.id}</span>`], {
    beside: stateOf(task.state),
  });
  const body = markup`${heading}
${note()}
${panel({ id: "facts", title: "Facts" }, factsOf(context, task))}`;
  return { title, current: "tasks", body };
}

function factsOf({ now }: PageContext, task: OverviewTask): Html {
  const { attempted_by: by, started, completed } = task;
  const when = (time: Date | null) => time === null ? undefined : [formatUtc(time), ", ", age(time, now)];
  const took = started && completed && formatSeconds(Math.max(0, completed.getTime() - started.getTime()) / 1000);
  return facts([
    ["Queue", task.queue],
    ["Attempt", task.attempt],
    ["Priority", task.priority],
    ["Tags", task.tags.length === 0 ? undefined : task.tags.join(", ")],
    ["Error", task.error ?? undefined],
    ["Consumer", by === null ? undefined : `${by.host}, ${by.pid}`],
    ["Progress", task.progress === null ? undefined : `${Math.round(task.progress * 100)}%`],
    ["Created", when(task.created)],
    ["Not before", task.not_before > task.created ? when(task.not_before) : undefined],
    ["Started", when(started)],
    ["Completed", when(completed)],
    ["Took", took ?? undefined],
    ["Failed", when(task.failed)],
    ["Cancelled", when(task.cancelled)],
  ]);
}
