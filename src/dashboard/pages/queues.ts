import { readLimitUse, readWaitingTimes, type WaitingTimes } from "../../store/overview_queue.ts";
import { MOST_WAITING } from "../../store/overview.ts";
import { type QueueTotals, readQueueTotals } from "../../store/queue_statistics.ts";
import { formatSeconds } from "../../times.ts";
import { type Page, type PageContext, type Route, seeOther } from "../context.ts";
import { filterText } from "../filter.ts";
import { percentile } from "../histogram.ts";
import { type Html, markup, type Part } from "../html.ts";
import { places } from "../parts/charts.ts";
import { action } from "../parts/forms.ts";
import { amount, formatCapped, formatNumber } from "../parts/numbers.ts";
import { empty, head, panel } from "../parts/panels.ts";
import { status } from "../parts/status.ts";
import { table } from "../parts/tables.ts";
import { age } from "../parts/times.ts";
import { type QueueFacts, readQueueFacts } from "../verdict_facts.ts";
import { type QueueNow, waitingFor } from "../verdict_queues.ts";
import { limitsTable } from "./queue_limits.ts";
import { maySeeRecords } from "./tasks_overview.ts";
import { dueLine, oldest, queueName, queueStatus, stock, topQueues } from "./overview_tables.ts";

/** How many queues a page lists. */
const MOST_QUEUES = 200;
/** From how many failed attempts an hour on their number stands out. */
const MANY = 100;

/** All queues. */
async function show(context: PageContext): Promise<Page> {
  const mayReadRecords = await maySeeRecords(context);
  const facts = await readQueueFacts({ ...context, mayReadRecords });
  const shown = topQueues(facts.queues, MOST_QUEUES);
  const names = shown.map(({ name }) => name);
  const [totals, limits, times] = await Promise.all([
    readQueueTotals(context.sql, names),
    mayReadRecords ? readLimitUse(context.sql) : undefined,
    readWaitingTimes(context.sql, names),
  ]);
  const live = facts.consumers.filter((consumer) => consumer.live);
  const limited = waitingFor(facts.waiting, "concurrency") + waitingFor(facts.waiting, "rate");
  const summary = `${amount(facts.queues.length, "queue")} · ${
    amount(live.reduce((sum, { concurrency }) => sum + concurrency, 0), "place")
  } in ${amount(live.length, "live consumer")}`;
  const body = markup`${head("Queues", { beside: markup`<p class="dim small">${summary}</p>` })}
${queuesTable(context, shown, totals)}
<p class="dim small">Consumers claim nothing from a paused queue; what runs goes on to its end. Consumers share their places among the queues that they serve.</p>
<div class="cols even">
${
    panel(
      {
        id: "limits",
        title: "Limits that tasks wait for",
        note: `${formatCapped(limited, MOST_WAITING)} tasks wait for one`,
      },
      limitsTable(context, limits, "No task waits for a limit"),
    )
  }
${waitingPanel(context, facts, times)}
</div>`;
  return { title: "Queues", current: "queues", body };
}

function queuesTable(context: PageContext, shown: readonly QueueNow[], totals: readonly QueueTotals[]): Html {
  if (shown.length === 0) return panel({ label: "Queues" }, empty("There are no queues yet"));
  const columns = [
    "Queue",
    { head: "State", class: "opt" },
    { head: explained("Due", "Tasks whose time has come and that no limit keeps"), class: "num" },
    { head: explained("Oldest", "For how long the oldest due task has been due"), class: "num" },
    {
      head: explained(
        "Waiting",
        "Tasks that wait for their time, a limit, other tasks or a signal, or for a consumer that knows them",
      ),
      class: "num mid dim",
    },
    {
      head: explained("Running", "Running tasks, of the places that its live consumers have for all their queues"),
      class: "opt fit",
    },
    { head: "Due, last hour", class: "mid fit" },
    { head: "Done a minute", class: "num mid" },
    { head: "Delay p95", class: "num mid dim" },
    { head: "Failed, hour", class: "num" },
    { head: markup`<span class="skip">Actions</span>`, class: "num fit opt" },
  ];
  const rows = shown.map((queue) => ({
    cells: queueRow(context, queue, totals),
    href: queueHref(context, queue.name),
  }));
  return panel({ label: "Queues" }, table({ label: "Queues", columns, rows, live: "rows" }));
}

function explained(word: string, title: string): Html {
  return markup`<abbr title="${title}">${word}</abbr>`;
}

function queueRow(context: PageContext, queue: QueueNow, totals: readonly QueueTotals[]): Part[] {
  const { name, state, running, consumers } = queue;
  const own = totals.find((each) => each.queue === name);
  const failed = own ? own.failed + own.retried : undefined;
  const delay = own ? percentile(own.wait, 0.95) : null;
  return [
    markup`${queueName(context, name)}${
      state === "active" ? "" : markup`<span class="phone small">${queueStatus(queue)}</span>`
    }`,
    queueStatus(queue),
    stock(queue.due, queue.more),
    oldest(queue),
    stock(queue.waiting, queue.moreWaiting),
    queue.places > 0
      ? markup`${places(running, queue.places)}<span class="skip">, ${amount(consumers.length, "consumer")}</span>`
      : markup`<span class="dim">–</span>`,
    dueLine(context, name, totals),
    own ? formatNumber(Math.round((own.completed + own.failed) / 60)) : markup`<span class="dim">–</span>`,
    delay === null ? "–" : formatSeconds(delay),
    failed === undefined ? "–" : markup`<span class="${failed > MANY ? "bad" : "dim"}">${formatNumber(failed)}</span>`,
    pauseButton(context, queue, "queues"),
  ];
}

/** The button that pauses or resumes a queue; another click undoes it, so it asks nothing. */
export function pauseButton(context: PageContext, { name, paused }: QueueNow, back: "queues" | "queue"): Html {
  const path = paused ? "/queues/resume" : "/queues/pause";
  return action(context, paused ? "Resume" : "Pause", { path, fields: { name, back }, of: name });
}

function waitingPanel(context: PageContext, { waiting, queues }: QueueFacts, times: WaitingTimes): Html {
  const time = (at: Date | null) => age(at, context.now);
  const reasons = [
    ["Its time", "later", "time"],
    ["A limit of concurrency", "limited", "concurrency"],
    ["A limit of rate", "limited", "rate"],
    ["Other tasks", "later", "dependencies"],
    ["What their handlers wait for", "suspended", "suspended"],
    ["A consumer that knows it", "unknown", "unknown"],
  ] as const;
  const places = {
    time: "time",
    concurrency: "limit",
    rate: "limit",
    dependencies: "dependent",
    suspended: "suspended",
    unknown: "unknown",
  };
  const rows = reasons.map(([words, shape, reason]) => [
    markup`<a href="${context.href("/tasks", { q: filterText({ place: places[reason] }) })}">${
      status(shape, words)
    }</a>`,
    formatCapped(waitingFor(waiting, reason), MOST_WAITING),
    time(reason === "time" ? times.first : null),
    time(reason === "time" ? times.last : null),
  ]);
  const columns = ["For", { head: "Tasks", class: "num" }, { head: "Next", class: "num dim" }, {
    head: "Last",
    class: "num opt dim",
  }];
  const all = queues.reduce((sum, queue) => sum + queue.waiting, 0);
  return panel(
    {
      id: "waits",
      live: "waits-now",
      title: "What waits",
      note: stock(all, queues.some(({ moreWaiting }) => moreWaiting)),
    },
    table({ label: "Waiting tasks by reason", columns, rows }),
  );
}

/** The address of the page of a queue. */
export function queueHref({ href }: PageContext, name: string): string {
  return href(`/queues/${encodeURIComponent(name)}`);
}

async function pause(context: PageContext): Promise<Response> {
  const name = context.form.get("name") ?? "";
  const by = context.viewer.user;
  await context.firefly.pause(name, by === undefined ? {} : { by });
  return seeOther(backTo(context, name));
}

async function resume(context: PageContext): Promise<Response> {
  const name = context.form.get("name") ?? "";
  await context.firefly.resume(name);
  return seeOther(backTo(context, name));
}

/** Where the button stood. */
function backTo(context: PageContext, name: string): string {
  const back = context.form.get("back");
  if (back === "overview") return context.href("/");
  return back === "queue" ? queueHref(context, name) : context.href("/queues");
}

/** The routes of the list of queues, and of pause and resume. */
export const queues: readonly Route[] = [
  { method: "GET", path: "/queues", run: show },
  { method: "POST", path: "/queues/pause", run: pause },
  { method: "POST", path: "/queues/resume", run: resume },
];
