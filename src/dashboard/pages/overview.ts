import { MOST_FAILED, MOST_WAITING, readTraces, type WaitingTasks } from "../../store/overview.ts";
import { type Bucket, type Flow, readDelays, readFlows, readQueueTotals } from "../../store/queue_statistics.ts";
import { formatSeconds } from "../../times.ts";
import type { Page, PageContext, Route } from "../context.ts";
import { filterText } from "../filter.ts";
import { type Html, markup } from "../html.ts";
import { spark, sparkLine } from "../parts/charts.ts";
import { guard } from "../parts/failures.ts";
import { search } from "../parts/forms.ts";
import { amount, formatCapped, formatNumber, formatShare } from "../parts/numbers.ts";
import { head, liveAs, tell, type Tile, tiles } from "../parts/panels.ts";
import { age } from "../parts/times.ts";
import { headingOf, judge, quietWords } from "../verdict.ts";
import { attemptsOf } from "../verdict_failures.ts";
import { type Facts, readFacts } from "../verdict_facts.ts";
import { takenOf, waitingFor } from "../verdict_queues.ts";
import { maySeeRecords } from "./tasks_overview.ts";
import { waitsPanel } from "./waits.ts";
import { alerts } from "./overview_alerts.ts";
import { throughput } from "./overview_charts.ts";
import { delayOf } from "./overview_delay.ts";
import { emptyPage } from "./overview_empty.ts";
import { hourOf, rangeOf, RANGES } from "./overview_series.ts";
import { failuresPanel, queuesPanel, slowestPanel, stock, topQueues } from "./overview_tables.ts";

/** The overview: what needs attention, then numbers. */
async function show(context: PageContext): Promise<Page> {
  const { sql, now } = context;
  const { used, lastFailed } = await readTraces(sql);
  if (!used) return await emptyPage(context);
  const mayReadRecords = await maySeeRecords(context);
  const range = rangeOf(context.url);
  const [read, flows, delays] = await Promise.all([
    readFacts({ sql, now, mayReadRecords }),
    readFlows(sql, RANGES.hour),
    readDelays(sql, RANGES.hour),
  ]);
  const facts = redactFacts(context, read);
  const drawn = await guard(context, async () => {
    return throughput(context, range === "hour" ? flows : await readFlows(sql, RANGES[range]), range);
  });
  const totals = await readQueueTotals(sql, topQueues(facts.queues).map(({ name }) => name));
  const entries = judge(facts, context.href);
  const title = headingOf(entries);
  const body = markup`${head(title, { beside: search(context) })}
<div${liveAs("verdict")}>${
    entries.length > 0 ? alerts(context, entries, { facts, totals }) : quiet(context, facts, lastFailed)
  }</div>
${tiles(numbers(context, facts, { flows, delays }))}
<div class="cols two-one">
${drawn}
${queuesPanel(context, facts, totals)}
</div>
<div class="cols two-one">
${failuresPanel(context, facts, { kept: flows.length > 0 })}
${slowestPanel(context, facts)}
</div>
<div${liveAs("waits-now")}>${waitsPanel(context, facts.waits)}</div>`;
  return { title, current: "overview", body };
}

/** Hides what the errors of tasks may hold. */
function redactFacts({ redact }: PageContext, facts: Facts): Facts {
  const hide = <E extends { name: string; message?: string }>({ name, message }: E) =>
    redact(message === undefined ? { name } : { name, message }, ["errors", "0"]);
  return {
    ...facts,
    groups: facts.groups.map((group) => ({ ...group, ...hide(group) })),
    crons: facts.crons.map((cron) => cron.error ? { ...cron, error: hide(cron.error) } : cron),
  };
}

function quiet({ now }: PageContext, facts: Facts, lastFailed: Date | null): Html {
  const [state, oldest] = quietWords(facts);
  return tell("ok", markup`<b>${state}</b> ${oldest}`, {
    label: "State",
    aside: markup`<span class="small">${
      lastFailed ? markup`a task failed last ${age(lastFailed, now)}` : "no task has failed for good"
    }</span>`,
  });
}

interface Past {
  readonly flows: readonly Flow[];
  readonly delays: readonly Bucket[];
}

function numbers(context: PageContext, facts: Facts, past: Past): Tile[] {
  return [...present(context, facts, past), ...lastHour(context, facts, past)];
}

/** The tiles of now. */
function present({ href, now }: PageContext, { queues, waiting, consumers, claimed }: Facts, { flows }: Past): Tile[] {
  const hour = hourOf(now);
  const due = queues.reduce((sum, queue) => sum + queue.due, 0);
  const [first] = queues.filter(({ oldest }) => oldest !== null).sort((a, b) => b.oldest! - a.oldest!);
  const live = consumers.filter((consumer) => consumer.live);
  const places = live.reduce((sum, { concurrency }) => sum + concurrency, 0);
  const running = live.reduce((sum, consumer) => sum + takenOf(claimed, consumer), 0);
  const limited = waitingFor(waiting, "concurrency") + waitingFor(waiting, "rate");
  const waits = queues.reduce((sum, queue) => sum + queue.waiting, 0);
  return [
    {
      label: "Due now",
      href: href("/tasks", { q: filterText({ place: "due" }) }),
      value: stock(due, queues.some(({ more }) => more)),
      note: first ? `oldest ${formatSeconds(first.oldest!)}, in ${first.name}` : "none waits to be claimed",
      chart: flows.length > 0 && sparkLine(hour.lineOf(flows, "due"), { label: "" }),
    },
    {
      label: "Running",
      href: href("/tasks", { q: filterText({ status: "running" }) }),
      value: formatNumber(running),
      note: places > 0 ? `of ${amount(places, "place")}, ${formatShare(running, places)}` : "no consumer runs",
      chart: flows.length > 0 && sparkLine(hour.lineOf(flows, "running"), { label: "", max: Math.max(places, 1) }),
    },
    {
      label: "Waiting",
      href: href("/tasks", { q: filterText({ status: "waiting" }) }),
      value: stock(waits, queues.some(({ moreWaiting }) => moreWaiting)),
      note: waitingWords(waiting, limited),
      chart: flows.length > 0 && sparkLine(hour.lineOf(flows, "waiting"), { label: "" }),
    },
  ];
}

/** What the waiting tasks wait for beside their time. */
function waitingWords(waiting: readonly WaitingTasks[], limited: number): string {
  const counts = [
    [limited, "for a limit"],
    [waitingFor(waiting, "dependencies"), "for others"],
    [waitingFor(waiting, "suspended"), "suspended"],
  ] as const;
  const words = counts.filter(([count]) => count > 0)
    .map(([count, words]) => `${formatCapped(count, MOST_WAITING)} ${words}`);
  return words.length === 0 ? "0 of them for a limit" : words.join(", ");
}

/** The tiles of the last hour. */
function lastHour({ href, now }: PageContext, facts: Facts, { flows, delays }: Past): Tile[] {
  const hour = hourOf(now);
  const completed = flows.reduce((sum, flow) => sum + flow.completed, 0);
  const failures = hour.barsOf(flows.map(({ at, failed, retried }) => ({ at, failed: failed + retried })), "failed");
  const attempts = attemptsOf(facts);
  const failed = attempts.reduce((sum, { failed }) => sum + failed, 0);
  const all = attempts.reduce((sum, { all }) => sum + all, 0);
  const lost = facts.failed.reduce((sum, { tasks }) => sum + tasks, 0);
  const kept = flows.length > 0;
  const { median, p95, line } = delayOf(delays, hour);
  return [
    {
      label: "Completed, last hour",
      href: href("/tasks", { q: filterText({ status: "completed" }) }),
      value: kept ? formatNumber(completed) : "–",
      note: kept ? `${formatNumber(Math.round(completed / 60))} a minute` : "not kept",
      chart: kept && spark(hour.barsOf(flows, "completed"), { label: "" }),
    },
    {
      label: "Failed for good, last hour",
      href: href("/tasks", { q: filterText({ status: "failed" }) }),
      value: formatCapped(lost, MOST_FAILED),
      tone: lost > 0 ? "bad" : undefined,
      note: kept
        ? `of ${amount(failed, "failed attempt")}, ${formatShare(failed, all)}`
        : "failed attempts are not kept",
      chart: kept && spark(failures, { label: "", color: "bad" }),
    },
    {
      label: "Delay before a start, p95",
      href: href("/queues"),
      value: p95 === null ? "–" : formatSeconds(p95),
      note: median === null ? kept ? "nothing has started" : "not kept" : `median ${formatSeconds(median)}`,
      chart: p95 !== null && sparkLine(line, { label: "" }),
    },
  ];
}

/** The routes of the overview. */
export const overview: readonly Route[] = [{ method: "GET", path: "/", run: show }];
