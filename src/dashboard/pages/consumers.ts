import { deliversAlerts } from "../../store/alerts.ts";
import { type ConsumerRow, type LongTask, readConsumerRows, readLongest } from "../../store/consumer_overview.ts";
import { type ClaimedTasks, readClaimed } from "../../store/overview.ts";
import { readClaimedAsViewer, readLongestAsViewer } from "../../store/overview_viewer.ts";
import { readRuns } from "../../store/queue_statistics_names.ts";
import { formatSeconds } from "../../times.ts";
import type { Page, PageContext, Route } from "../context.ts";
import { type Html, join, markup, type Part } from "../html.ts";
import { gauge, places } from "../parts/charts.ts";
import { amount, formatBytes, formatNumber } from "../parts/numbers.ts";
import { empty, head, panel, tell } from "../parts/panels.ts";
import { status } from "../parts/status.ts";
import { table } from "../parts/tables.ts";
import { isSilent, runsLong, usualOf } from "../verdict_places.ts";
import { takenOf } from "../verdict_queues.ts";
import { queueHref } from "./queues.ts";
import { maySeeRecords } from "./tasks_overview.ts";

/** How many of the tasks that run longest are listed, and how many names and queues a row has. */
const [LONGEST, NAMES] = [10, 4];
const NONE = markup`<span class="dim">–</span>`;

/** All consumers. */
async function show(context: PageContext): Promise<Page> {
  const { sql } = context;
  const mayReadRecords = await maySeeRecords(context);
  const [consumers, claimed, longest, runs] = await Promise.all([
    readConsumerRows(sql),
    mayReadRecords ? readClaimed(sql) : readClaimedAsViewer(sql),
    mayReadRecords ? readLongest(sql) : readLongestAsViewer(sql),
    readRuns(sql),
  ]);
  const ordinary = consumers.filter((consumer) => !deliversAlerts(consumer));
  const live = ordinary.filter(({ live }) => live);
  const crashed = ordinary.length - live.length;
  const taken = live.reduce((sum, consumer) => sum + takenOf(claimed, consumer), 0);
  const summary = `${formatNumber(live.length)} live${crashed > 0 ? `, ${formatNumber(crashed)} crashed` : ""} · ${
    formatNumber(taken)
  } of ${amount(live.reduce((sum, { concurrency }) => sum + concurrency, 0), "place")} taken`;
  const body = markup`${head("Consumers", { beside: markup`<p class="dim small">${summary}</p>` })}
${releasesRemark(live)}
${consumersPanel(context, consumers, claimed)}
${longestPanel(context, longest, runs)}`;
  return { title: "Consumers", current: "consumers", body };
}

/** The release of a consumer's application, else the version of this package. */
function releaseOf({ release, version }: ConsumerRow): string {
  return release ?? version;
}

/** The release that most consumers run. */
function usualRelease(consumers: readonly ConsumerRow[]): string | undefined {
  const groups = [...Map.groupBy(consumers, releaseOf)];
  return groups.sort(([, a], [, b]) => b.length - a.length)[0]?.[0];
}

function releasesRemark(live: readonly ConsumerRow[]): Html | false {
  const groups = [...Map.groupBy(live, releaseOf)].sort(([, a], [, b]) => b.length - a.length);
  if (groups.length < 2) return false;
  const words = groups.slice(0, 5).map(([release, consumers]) =>
    `${release} in ${consumers.length === 1 ? consumers[0]!.host : amount(consumers.length, "consumer")}`
  );
  const count = groups.length === 2 ? "Two" : groups.length;
  return tell(
    "hold",
    markup`<b>${count} releases run side by side</b>: ${words.join(", ")}. Crons follow the one that started last`,
    {
      label: "Note",
    },
  );
}

function consumersPanel(
  context: PageContext,
  consumers: readonly ConsumerRow[],
  claimed: readonly ClaimedTasks[],
): Html {
  if (consumers.length === 0) {
    return panel({ label: "Consumers" }, empty("No consumer has registered. Start one: firefly consume"));
  }
  const usual = usualRelease(consumers.filter(({ live }) => live));
  const columns = [
    "Consumer",
    "State",
    "Queues",
    { head: "Running", class: "fit" },
    { head: "Answered", class: "num opt" },
    { head: "Up", class: "num opt dim" },
    { head: "Memory", class: "num mid dim" },
    { head: "Release", class: "opt" },
    { head: "What it runs", class: "mid dim" },
  ];
  const rows = consumers.map((consumer) => ({
    id: `consumer-${consumer.id}`,
    cells: consumerRow(context, consumer, { claimed, usual }),
  }));
  const [lease] = consumers.filter(({ live }) => live).map(({ lease }) => lease);
  const footer = lease !== undefined &&
    `A consumer renews its lease of ${
        formatSeconds(Math.round(lease))
      } each third of it. Without that it is silent after two ` +
      `thirds, and crashed at its end: then others take over its tasks.`;
  return panel(
    { label: "Consumers", ...(footer ? { footer: markup`<span>${footer}</span>` } : {}) },
    table({ label: "Consumers", columns, rows, live: "rows" }),
  );
}

function consumerRow(
  context: PageContext,
  consumer: ConsumerRow,
  { claimed, usual }: { claimed: readonly ClaimedTasks[]; usual: string | undefined },
): Part[] {
  const { id, name, host, pid, live, silent, started, memory } = consumer;
  const own = claimed.filter(({ consumerId }) => consumerId === id);
  const release = releaseOf(consumer);
  const up = (context.now.getTime() - started.getTime()) / 1000;
  const answered = `${formatSeconds(Math.max(0, Math.floor(silent) || silent))} ago`;
  return [
    name === null
      ? markup`<b>${host}</b> <span class="dim">${pid}</span>`
      : markup`<b>${name}</b> <span class="dim">${host} ${pid}</span>`,
    stateOf(consumer),
    queuesOf(context, consumer),
    live ? placesOf(claimed, consumer) : NONE,
    markup`<span class="${live ? isSilent(consumer) ? "hold" : "" : "bad"}">${answered}</span>`,
    live ? formatSeconds(Math.max(1, Math.floor(up))) : NONE,
    memory === null ? NONE : formatBytes(memory),
    release === usual || usual === undefined ? release : markup`<span class="hold">${release}</span>`,
    own.length > 0 ? tasksOf(own) : idleWords(consumer),
  ];
}

function placesOf(claimed: readonly ClaimedTasks[], consumer: ConsumerRow): Html {
  const { concurrency, wantedConcurrency } = consumer;
  const wanted = wantedConcurrency !== null && markup` <span class="hold">${wantedConcurrency} asked for</span>`;
  return markup`${places(takenOf(claimed, consumer), concurrency)}${wanted}`;
}

function idleWords(consumer: ConsumerRow): string {
  if (!consumer.live) return "nothing: its tasks are rescued";
  return deliversAlerts(consumer) ? "delivers the alerts of its process" : "nothing";
}

function stateOf(consumer: ConsumerRow): Html {
  if (!consumer.live) return status("failed", "Crashed");
  return isSilent(consumer) ? status("unknown", "Silent") : status("active", "Live");
}

function queuesOf(context: PageContext, { queues, allQueues }: ConsumerRow): Html {
  const links = queues.slice(0, NAMES).map((queue) => markup`<a href="${queueHref(context, queue)}">${queue}</a>`);
  const left = queues.length - links.length;
  return markup`${join(links, ", ")}${left > 0 && `, ${left} more`}${
    allQueues && markup` <span class="dim">(all)</span>`
  }`;
}

/** `mail.send ×19, mail.welcome ×1` */
function tasksOf(own: readonly ClaimedTasks[]): string {
  const names = [...Map.groupBy(own, ({ funcName }) => funcName)].map(([name, all]) =>
    [name, all.reduce((sum, { tasks }) => sum + tasks, 0)] as const
  ).sort(([, a], [, b]) => b - a);
  const shown = names.slice(0, NAMES).map(([name, tasks]) => `${name} ×${formatNumber(tasks)}`);
  return [...shown, ...(names.length > NAMES ? [`${names.length - NAMES} more names`] : [])].join(", ");
}

function longestPanel(
  context: PageContext,
  longest: readonly LongTask[],
  runs: ReadonlyMap<string, readonly number[]>,
): Html {
  const columns = [
    "Task",
    { head: "Id", class: "num opt dim" },
    { head: "For", class: "num" },
    { head: "p95", class: "num opt dim" },
    "Progress",
    { head: "On", class: "opt dim" },
  ];
  const rows = longest.slice(0, LONGEST).map(({ id, funcName, seconds, progress, host, pid }) => {
    const usual = usualOf(runs, funcName);
    const isLong = usual !== null && runsLong(seconds, usual);
    const percent = progress === null ? null : Math.round(Math.min(Math.max(progress, 0), 1) * 100);
    return {
      href: context.href(`/tasks/${id}`),
      cells: [
        markup`<a class="name" href="${context.href(`/tasks/${id}`)}">${funcName}</a>`,
        id,
        markup`<span class="${isLong ? "hold" : ""}">${formatSeconds(seconds)}</span>`,
        usual === null ? NONE : formatSeconds(usual),
        percent === null
          ? NONE
          : markup`<span class="of">${
            gauge(percent, 100, { label: `${percent} percent` })
          }<span>${percent}%</span></span>`,
        host === null ? "a consumer that crashed" : `${host}, ${pid}`,
      ],
    };
  });
  return panel(
    { id: "longest", live: "longest-now", title: "Running longest" },
    rows.length === 0 ? empty("Nothing runs now") : table({ label: "Tasks that run longest", columns, rows }),
  );
}

/** The routes of the consumers. */
export const consumers: readonly Route[] = [{ method: "GET", path: "/consumers", run: show }];
