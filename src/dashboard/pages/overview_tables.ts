import type { ErrorGroup } from "../../store/queue_statistics_names.ts";
import type { QueueTotals } from "../../store/queue_statistics.ts";
import { formatSeconds } from "../../times.ts";
import type { PageContext } from "../context.ts";
import { filterText } from "../filter.ts";
import { countOf, percentile } from "../histogram.ts";
import { type Html, markup, type Part } from "../html.ts";
import { spark, sparkLine } from "../parts/charts.ts";
import { linkButton } from "../parts/forms.ts";
import { formatCapped, formatNumber } from "../parts/numbers.ts";
import { empty, panel } from "../parts/panels.ts";
import { status } from "../parts/status.ts";
import { table } from "../parts/tables.ts";
import { age } from "../parts/times.ts";
import { type FailedTasks, MOST_FAILED } from "../../store/overview.ts";
import { errorText, failedFilter } from "../verdict_failures.ts";
import type { Facts } from "../verdict_facts.ts";
import type { QueueNow } from "../verdict_queues.ts";
import { runsLong, usualOf } from "../verdict_places.ts";
import { NOT_KEPT } from "./overview_charts.ts";
import { hourOf } from "./overview_series.ts";

/** How many rows the tables of the overview have. */
const ROWS = { queues: 12, errors: 8, names: 6 };
/** From how many seconds on a due task makes its queue's age stand out. */
const OLD = 60;

const NONE = markup`<span class="dim">–</span>`;

/** The queues that a page has room for: those with due tasks first. */
export function topQueues(queues: readonly QueueNow[], count = ROWS.queues): QueueNow[] {
  const [first, rest] = [queues.filter(({ due }) => due > 0), queues.filter(({ due }) => due === 0)];
  const chosen = [...first.sort((a, b) => b.due - a.due), ...rest].slice(0, count);
  return chosen.sort((a, b) => a.name < b.name ? -1 : 1);
}

/** The state of a queue. */
export function queueStatus({ state }: QueueNow): Html {
  if (state === "paused") return status("paused", "Paused");
  if (state === "unserved") return status("unknown", "No consumer", { bad: true });
  return state === "idle" ? status("blocked", "No consumer") : status("active", "Active");
}

/** The link to the page of a queue. */
export function queueName(context: PageContext, name: string): Html {
  return markup`<a class="name" href="${context.href(`/queues/${encodeURIComponent(name)}`)}">${name}</a>`;
}

/** A count of due or waiting tasks, with a plus where counting stopped. */
export function stock(count: number, more: boolean): string {
  return `${formatNumber(count)}${more ? "+" : ""}`;
}

/** For how long the oldest due task of a queue has been due. */
export function oldest({ oldest }: QueueNow): Part {
  if (oldest === null) return NONE;
  return oldest > OLD ? markup`<span class="hold">${formatSeconds(oldest)}</span>` : formatSeconds(oldest);
}

/** How many tasks were due in a queue, over the last hour; nothing if no consumer counted. */
export function dueLine(context: PageContext, name: string, totals: readonly QueueTotals[]): Part {
  const due = totals.find(({ queue }) => queue === name)?.due;
  return due && sparkLine(hourOf(context.now).lineOf(due, "due"), { label: `Due tasks of ${name} over the last hour` });
}

/** The queues, in short. */
export function queuesPanel(context: PageContext, facts: Facts, totals: readonly QueueTotals[]): Html {
  const shown = topQueues(facts.queues);
  const rows = shown.map((queue) => [
    queueName(context, queue.name),
    dueLine(context, queue.name, totals),
    stock(queue.due, queue.more),
    oldest(queue),
    queue.state === "active"
      ? markup`${formatNumber(queue.running)}<span class="dim"> of ${formatNumber(queue.places)}</span>`
      : queueStatus(queue),
  ]);
  const columns = [
    "Queue",
    { head: "Due, last hour", class: "slim" },
    { head: "Due", class: "num" },
    { head: "Oldest", class: "num" },
    { head: "Running", class: "num" },
  ];
  const left = facts.queues.length - shown.length;
  return panel(
    {
      id: "queues",
      live: "queues-now",
      title: markup`<a class="name" href="${context.href("/queues")}">Queues</a>`,
      note: formatNumber(facts.queues.length),
      ...(left > 0 ? { footer: markup`<a href="${context.href("/queues")}">${formatNumber(left)} more</a>` } : {}),
    },
    rows.length === 0 ? empty("There are no queues yet") : table({ label: "Queues", columns, rows, class: "near" }),
  );
}

/** The errors of the last 24 hours: those that are alike make one row. */
export function failuresPanel(context: PageContext, facts: Facts, { kept }: { kept: boolean }): Html {
  const columns = [
    { head: "Task and error", class: "main" },
    { head: "Last hour", class: "opt" },
    { head: "Attempts", class: "num" },
    { head: "For good", class: "num" },
    { head: "First", class: "num opt dim" },
    { head: "Last", class: "num opt dim" },
    { head: markup`<span class="skip">Actions</span>`, class: "num fit opt" },
  ];
  const rows = facts.groups.length > 0
    ? facts.groups.slice(0, ROWS.errors).map((group) => errorRow(context, facts, group))
    : facts.failed.slice(0, ROWS.errors).map((failed) => failedRow(context, failed));
  const none = kept ? "No attempt has failed in the last 24 hours, as far as consumers have counted" : NOT_KEPT;
  return panel(
    { id: "fails", live: "fails-now", title: "What fails", note: "errors that are alike, of the last 24 hours" },
    rows.length === 0 ? empty(none) : table({ label: "Errors of the last 24 hours", columns, rows, class: "near" }),
  );
}

/** A name whose tasks failed for good within the last hour, where consumers count no errors. */
function failedRow(context: PageContext, { funcName, tasks }: FailedTasks): Part[] {
  const q = failedFilter({ name: funcName });
  return [
    markup`<a class="name" href="${context.href("/tasks", { q })}">${funcName}</a>
<span class="line">Its errors are not kept beside its tasks</span>`,
    false,
    NONE,
    markup`<a class="bad" href="${context.href("/tasks", { q })}">${formatNumber(tasks)}</a>`,
    NONE,
    NONE,
    retryButton(context, funcName, q),
  ];
}

function retryButton(context: PageContext, name: string, q: string): Html {
  const href = context.href("/tasks/retry", { q });
  return linkButton(context, markup`Retry…<span class="skip"> ${name}</span>`, { href, asks: true });
}

function errorRow(context: PageContext, facts: Facts, group: ErrorGroup): Part[] {
  const { funcName, attempts, failed, first, last } = group;
  const error = errorText(group);
  const q = failedFilter({ name: funcName, group });
  const minutes = hourOf(context.now).barsOf(
    facts.failedMinutes.filter((each) => each.funcName === funcName),
    "failed",
  );
  return [
    markup`<a class="name" href="${context.href("/tasks", { q: filterText({ name: funcName }) })}">${funcName}</a>
<span class="line" title="${error}">${error}</span>`,
    minutes.some((count) => count > 0) &&
    spark(minutes, { label: `Failures of ${funcName} a minute, over the last hour`, color: "bad" }),
    formatNumber(attempts),
    failed === 0
      ? markup`<span class="dim">0</span>`
      : markup`<a class="bad" href="${context.href("/tasks", { q })}">${formatCapped(failed, MOST_FAILED)}</a>`,
    age(first, context.now),
    age(last, context.now),
    failed > 0 && retryButton(context, funcName, q),
  ];
}

/** The names whose attempts took longest in the last hour. */
export function slowestPanel(context: PageContext, { runs, longest }: Facts): Html {
  const names = [...runs].map(([name, histogram]) => ({
    name,
    attempts: countOf(histogram),
    median: percentile(histogram, 0.5)!,
    p95: percentile(histogram, 0.95)!,
  })).sort((a, b) => b.p95 - a.p95).slice(0, ROWS.names);
  const columns = [
    "Task",
    { head: "Attempts", class: "num slim dim" },
    { head: "Median", class: "num" },
    { head: "p95", class: "num" },
    { head: "Longest now", class: "num" },
  ];
  const rows = names.map(({ name, attempts, median, p95 }) => {
    const now = longest.find(({ funcName }) => funcName === name);
    const long = now && runsLong(now.seconds, usualOf(runs, name) ?? Infinity);
    return [
      markup`<a class="name" href="${context.href("/tasks", { q: filterText({ name }) })}">${name}</a>`,
      formatNumber(attempts),
      formatSeconds(median),
      formatSeconds(p95),
      now
        ? markup`<a${long ? markup` class="hold"` : ""} href="${context.href(`/tasks/${now.id}`)}">${
          formatSeconds(now.seconds)
        }</a>`
        : NONE,
    ];
  });
  return panel(
    { id: "slowest", live: "slowest-now", title: "Slowest", note: "last hour" },
    rows.length === 0
      ? empty("No attempt of the last hour was counted")
      : table({ label: "Slowest tasks of the last hour", columns, rows }),
  );
}
