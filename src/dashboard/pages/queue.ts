import {
  type PlacedTasks,
  type QueueSettingsRow,
  readLimitUse,
  readPlacedTasks,
  readQueueSettings,
  readRetention,
} from "../../store/overview_queue.ts";
import { type Flow, readDelays, readFlows } from "../../store/queue_statistics.ts";
import { type NameTotals, readNameTotals, readRuns } from "../../store/queue_statistics_names.ts";
import { formatSeconds } from "../../times.ts";
import type { Page, PageContext, Params, Route } from "../context.ts";
import { filterText } from "../filter.ts";
import { percentile } from "../histogram.ts";
import { type Html, join, markup, type Part } from "../html.ts";
import { linkButton } from "../parts/forms.ts";
import { amount, formatNumber } from "../parts/numbers.ts";
import { empty, facts as factList, head, panel, tell, type Tile, tiles } from "../parts/panels.ts";
import { table } from "../parts/tables.ts";
import { age } from "../parts/times.ts";
import { type QueueFacts, readQueueFacts } from "../verdict_facts.ts";
import { dueOf, pauseWords, roomWords } from "../verdict_places.ts";
import { type QueueNow, takenOf } from "../verdict_queues.ts";
import { NOT_KEPT } from "./overview_charts.ts";
import { RANGES } from "./overview_series.ts";
import { queueStatus, stock } from "./overview_tables.ts";
import { queueCharts } from "./queue_charts.ts";
import { limitsTable } from "./queue_limits.ts";
import { pauseButton } from "./queues.ts";
import { maySeeRecords } from "./tasks_overview.ts";

/** One queue. */
async function show(context: PageContext, { name }: Params): Promise<Page> {
  const { sql, now } = context;
  const mayReadRecords = await maySeeRecords(context);
  const span = { ...RANGES.hour, queue: name! };
  const [facts, flows, delays, placed, names, runs, limits, [settings], retention] = await Promise.all([
    readQueueFacts({ sql, now, mayReadRecords }),
    readFlows(sql, span),
    readDelays(sql, span),
    readPlacedTasks(sql, name!),
    readNameTotals(sql, name!),
    readRuns(sql, name!),
    mayReadRecords ? readLimitUse(sql, name!) : undefined,
    readQueueSettings(sql, name!),
    mayReadRecords ? readRetention(sql) : undefined,
  ]);
  const queue = facts.queues.find((queue) => queue.name === name);
  if (!queue) return unknownQueue(context, name!);
  const body = markup`${heading(context, queue)}
${remark(context, queue, facts)}
${tiles(numbers(context, queue, { flows, facts }))}
${flows.length > 0 ? queueCharts(context, { name: queue.name, flows, delays }) : tell("run", NOT_KEPT)}
<div class="cols two-one">
${tasksPanel(context, queue, { placed, names, runs, facts })}
<div class="stack">
${
    panel(
      { id: "limits", live: "limits-now", title: "Limits" },
      limitsTable(context, limits, "No task of this queue waits for a limit"),
    )
  }
${settingsPanel(context, queue, { settings, retention })}
</div></div>`;
  return { title: `Queue ${queue.name}`, current: "queues", body };
}

function unknownQueue(context: PageContext, name: string): Page {
  const body = markup`${head(name, { crumb: crumb(context) })}
${panel({ label: "Queue" }, empty("No task, consumer or setting has this queue now."))}`;
  return { title: `Queue ${name}`, current: "queues", body, status: 404 };
}

function crumb({ href }: PageContext): Html {
  return markup`<a href="${href("/queues")}">Queues</a>`;
}

function heading(context: PageContext, queue: QueueNow): Html {
  const q = filterText({ queue: queue.name });
  const buttons = [
    pauseButton(context, queue, "queue"),
    linkButton(context, "Tasks", { href: context.href("/tasks", { q }) }),
  ];
  return head(queue.name, {
    crumb: crumb(context),
    beside: markup`${queueStatus(queue)}<div class="acts">${buttons}</div>`,
  });
}

/** Says what keeps its tasks, if something does. */
function remark(context: PageContext, queue: QueueNow, { claimed }: QueueFacts): Html | false {
  const q = filterText({ queue: queue.name, place: "due" });
  const aside = linkButton(context, "See what is due", { href: context.href("/tasks", { q }) });
  if (queue.state === "unserved") {
    return tell("bad", markup`<b>No live consumer serves it</b>: ${dueOf(queue)}`, { aside, label: "Why" });
  }
  if (queue.state === "paused") {
    const since = queue.pausedSince && markup`, since ${age(queue.pausedSince, context.now)}`;
    return tell(
      "hold",
      markup`<b>It is paused</b>${since}: ${queue.due > 0 ? dueOf(queue) : "no task is due"}<br>
<span class="small">${pauseWords(queue)}</span>`,
      { label: "Why" },
    );
  }
  if (!queue.full || queue.due === 0) return false;
  const taken = queue.consumers.reduce((sum, consumer) => sum + takenOf(claimed, consumer), 0);
  return tell("hold", markup`<b>${roomWords(queue, taken)}</b>, and ${dueOf(queue)}`, { aside, label: "Why" });
}

function numbers(
  { href }: PageContext,
  queue: QueueNow,
  { flows, facts }: { flows: readonly Flow[]; facts: QueueFacts },
): Tile[] {
  const { name } = queue;
  const kept = flows.length > 0;
  const limited = facts.waiting.reduce((sum, { queue, reason, tasks }) => {
    return sum + (queue === name && (reason === "concurrency" || reason === "rate") ? tasks : 0);
  }, 0);
  const sum = (key: "completed" | "failed" | "retried") => flows.reduce((sum, flow) => sum + flow[key], 0);
  const done = sum("completed") + sum("failed");
  const tasks = (conditions: Parameters<typeof filterText>[0]) =>
    href("/tasks", { q: filterText({ ...conditions, queue: name }) });
  return [
    {
      label: "Due now",
      href: tasks({ place: "due" }),
      value: stock(queue.due, queue.more),
      note: queue.oldest === null ? "none waits to be claimed" : `oldest ${formatSeconds(queue.oldest)}`,
    },
    {
      label: "Running",
      href: tasks({ status: "running" }),
      value: formatNumber(queue.running),
      tone: queue.full ? "hold" : undefined,
      note: queue.places > 0 ? `of ${amount(queue.places, "place")}` : "no consumer serves it",
    },
    {
      label: "Waiting",
      href: tasks({ status: "waiting" }),
      value: stock(queue.waiting, queue.moreWaiting),
      note: `${formatNumber(limited)} of them for a limit`,
    },
    {
      label: "Done, last hour",
      href: tasks({ status: "completed" }),
      value: kept ? formatNumber(done) : "–",
      note: kept ? `${formatNumber(Math.round(done / 60))} a minute` : "not kept",
    },
    {
      label: "Failed for good",
      href: tasks({ status: "failed" }),
      value: kept ? formatNumber(sum("failed")) : "–",
      tone: sum("failed") > 0 ? "bad" : undefined,
      note: kept ? `of ${amount(sum("failed") + sum("retried"), "failed attempt")}` : "not kept",
    },
    trend(flows),
  ];
}

/** How the number of its tasks changes: what comes is what is done and what more there is. */
function trend(flows: readonly Flow[]): Tile {
  const known = flows.filter(({ due }) => due !== null);
  const [first, last] = [known.at(0), known.at(-1)];
  const minutes = first && last ? (last.at.getTime() - first.at.getTime()) / 60_000 : 0;
  if (!first || !last || minutes < 1) return { label: "Trend", value: "–", note: "not kept" };
  const stocks = ({ due, waiting, running }: Flow) => (due ?? 0) + (waiting ?? 0) + (running ?? 0);
  const within = known.slice(1);
  const done = Math.round(within.reduce((sum, { completed, failed }) => sum + completed + failed, 0) / minutes);
  const more = Math.round((stocks(last) - stocks(first)) / minutes);
  return {
    label: "Trend",
    value: `${more > 0 ? "+" : ""}${formatNumber(more)}`.replace("-", "−"),
    tone: more > 0 ? "hold" : undefined,
    note: `a minute: ${formatNumber(Math.max(0, done + more))} come, ${formatNumber(done)} done`,
  };
}

interface ByName {
  readonly placed: readonly PlacedTasks[];
  readonly names: readonly NameTotals[];
  readonly runs: ReadonlyMap<string, readonly number[]>;
  readonly facts: QueueFacts;
}

function tasksPanel(context: PageContext, queue: QueueNow, { placed, names, runs, facts }: ByName): Html {
  const running = (name: string) =>
    facts.claimed.reduce(
      (sum, each) => sum + (each.queue === queue.name && each.funcName === name ? each.tasks : 0),
      0,
    );
  const claimed = facts.claimed.filter((each) => each.queue === queue.name).map(({ funcName }) => funcName);
  const all = [
    ...new Set([...placed.map(({ funcName }) => funcName), ...claimed, ...names.map(({ funcName }) => funcName)]),
  ];
  const time = (name: string, share: number): Part => {
    const seconds = percentile(runs.get(name) ?? [], share);
    return seconds === null ? "–" : formatSeconds(seconds);
  };
  const rows = all.slice(0, 100).map((name) => {
    const place = placed.find(({ funcName }) => funcName === name);
    const total = names.find(({ funcName }) => funcName === name);
    const failed = total ? total.failed + total.retried : 0;
    return [
      markup`<a class="name" href="${
        context.href("/tasks", { q: filterText({ queue: queue.name, name }) })
      }">${name}</a>`,
      formatNumber(place?.due ?? 0),
      formatNumber(place?.waiting ?? 0),
      formatNumber(running(name)),
      total ? formatNumber(total.completed + total.failed) : "–",
      time(name, 0.5),
      time(name, 0.95),
      markup`<span class="${failed > 0 ? "bad" : "dim"}">${formatNumber(failed)}</span>`,
    ];
  });
  const columns = [
    "Task",
    { head: "Due", class: "num" },
    { head: "Waiting", class: "num opt" },
    { head: "Running", class: "num" },
    { head: "Done, hour", class: "num opt" },
    { head: "Median", class: "num opt" },
    { head: "p95", class: "num opt" },
    { head: "Failed", class: "num" },
  ];
  return panel(
    { id: "names", live: "names-now", title: "Its tasks", note: amount(all.length, "name") },
    rows.length === 0
      ? empty("It has no tasks now")
      : table({ label: `Tasks of ${queue.name} by name`, columns, rows }),
  );
}

interface Settings {
  readonly settings: QueueSettingsRow | undefined;
  readonly retention: { readonly completed: number; readonly failed: number } | undefined;
}

function settingsPanel({ href }: PageContext, { consumers }: QueueNow, { settings, retention }: Settings): Html {
  const completed = settings?.retainCompleted ?? retention?.completed;
  const failed = settings?.retainFailed ?? retention?.failed;
  const kept = (seconds = NaN) => {
    return seconds === Infinity ? "for ever" : seconds >= 0 ? formatSeconds(seconds) : "as its consumers decide";
  };
  const links = consumers.slice(0, 20).map(({ host, pid }) =>
    markup`<a href="${href("/consumers")}">${host}, ${pid}</a>`
  );
  const left = consumers.length - links.length;
  return panel(
    { id: "settings", title: "Settings" },
    factList([
      ["Kept", `completed ${kept(completed)}, failed ${kept(failed)}, unless a task decides`],
      ["Notify", settings?.notify ?? "asleep"],
      [
        "Consumers",
        links.length === 0 ? "none is live" : markup`${join(links, " · ")}${left > 0 && ` and ${left} more`}`,
      ],
    ]),
  );
}

/** The routes of one queue. */
export const queue: readonly Route[] = [{ method: "GET", path: "/queues/:name", run: show }];
