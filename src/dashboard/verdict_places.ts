import { didYouMean } from "../suggest.ts";
import { formatSeconds } from "../times.ts";
import type { ConsumerRow } from "../store/consumer_overview.ts";
import { filterText } from "./filter.ts";
import { type Html, markup } from "./html.ts";
import { countOf, percentile } from "./histogram.ts";
import { amount, formatNumber } from "./parts/numbers.ts";
import type { Entry, Link, Rule } from "./verdict_entry.ts";
import type { Facts } from "./verdict_facts.ts";
import { type QueueNow, serves, takenOf } from "./verdict_queues.ts";
import { BEHIND, LONG, SILENT } from "./verdict_thresholds.ts";

/** `No consumer serves webhooks: 2,310 tasks are due, the oldest for 12m 4s` */
const unserved: Rule = {
  find({ queues, lastServed }, link) {
    return queues.filter(({ state }) => state === "unserved").sort(byDue).map((queue): Entry => {
      const last = lastServed.get(queue.name);
      return {
        id: `unserved:${queue.name}`,
        rank: "stands",
        shape: "unknown",
        bad: true,
        sentence: markup`<b>No consumer serves ${queueLink(queue, link)}</b>: ${dueOf(queue)}`,
        evidence: last ? "Its last consumer has stopped or crashed" : "No consumer has served it within a day",
        since: last ?? queue.since,
        chart: { dueIn: queue.name },
        steps: [{ label: "See", href: queueHref(queue, link) }],
      };
    });
  },
  more: [
    (count) => `${amount(count, "other queue")} with due tasks ${count === 1 ? "has" : "have"} no consumer`,
    "/queues",
  ],
};

/** `reports is paused: 418 tasks are due` */
const paused: Rule = {
  find({ queues }, link) {
    return queues.filter(({ state, due }) => state === "paused" && due > 0).sort(byDue).map((queue): Entry => ({
      id: `paused:${queue.name}`,
      rank: "stands",
      shape: "paused",
      sentence: markup`<b>${queueLink(queue, link)} is paused</b>: ${dueOf(queue)}`,
      evidence: pauseWords(queue),
      since: queue.pausedSince,
      chart: { dueIn: queue.name },
      steps: [
        { label: "Resume", path: "/queues/resume", fields: { name: queue.name, back: "overview" } },
        { label: "See", href: queueHref(queue, link) },
      ],
    }));
  },
  more: [(count) => `${amount(count, "other queue")} with due tasks ${count === 1 ? "is" : "are"} paused`, "/queues"],
};

/** Says by whom and why a queue is paused. */
export function pauseWords({ pausedBy, pausedReason }: QueueNow): string {
  if (pausedReason !== null) {
    return `${pausedBy === null ? "It was paused" : `${pausedBy} paused it`}: “${pausedReason}”`;
  }
  return pausedBy === null ? "Consumers claim none of its tasks until it is resumed" : `${pausedBy} paused it`;
}

/** `No consumer knows pdf.rendr: 6 tasks wait in default` */
const unknown: Rule = {
  find({ unknown, consumers }, link) {
    return unknown.map(({ funcName, queue, tasks, id, since }): Entry => {
      const known = consumers.filter((consumer) => consumer.live && serves(consumer, queue)).flatMap(({ tasks }) =>
        tasks
      );
      const hint = didYouMean(funcName, known).replace(/^, d/, "D");
      return {
        id: `unknown:${queue}:${funcName}`,
        rank: "stands",
        shape: "unknown",
        sentence: markup`<b>No consumer knows <a class="name" href="${
          link("/tasks", { q: filterText({ place: "unknown", name: funcName }) })
        }"><bdi>${funcName}</bdi></a></b>: ${amount(tasks, "task")} ${tasks === 1 ? "waits" : "wait"} in ${queue}`,
        evidence: hint || "No live consumer of its queue defines a task of this name",
        since,
        steps: [{ label: "Why?", href: link(`/tasks/${id}`) }],
      };
    });
  },
  more: [(count) => `No consumer knows ${amount(count, "other name")}`, "/tasks"],
};

/** `worker-4, process 6021, has crashed: its 3 tasks are to be rescued` */
const crashed: Rule = {
  find({ consumers, claimed }, link) {
    const others = consumers.some(({ live }) => live);
    const rescue = others
      ? "Another consumer takes over its tasks within seconds"
      : "Start a consumer: it takes over its tasks";
    const heldBy = (id: string) => claimed.reduce((sum, each) => sum + (each.consumerId === id ? each.tasks : 0), 0);
    const held = (tasks: number) => tasks === 0 ? "no task" : amount(tasks, "task");
    const found = consumers.filter(({ live }) => !live).map((consumer): Entry => ({
      id: `crashed:${consumer.id}`,
      rank: "stands",
      shape: "failed",
      sentence: markup`<b>${consumerName(consumer)} has crashed</b>: it held ${held(heldBy(consumer.id))}`,
      evidence: rescue,
      since: consumer.leaseUntil,
      steps: [{ label: "See", href: link("/consumers") }],
    }));
    const left = claimed.filter(({ registered }) => !registered);
    if (left.length === 0) return found;
    const tasks = left.reduce((sum, { tasks }) => sum + tasks, 0);
    return [...found, {
      id: "crashed:removed",
      rank: "stands",
      shape: "failed",
      sentence: markup`<b>A consumer that crashed held ${amount(tasks, "task")}</b>`,
      evidence: rescue,
      since: new Date(Math.min(...left.map(({ since }) => since.getTime()))),
      steps: [{ label: "See", href: link("/consumers") }],
    }];
  },
  more: [(count) => `${amount(count, "other consumer")} crashed`, "/consumers"],
};

/** `mail falls behind: 624 tasks are due, the oldest for 2m` */
const behind: Rule = {
  find({ queues, claimed }, link) {
    return queues
      .filter(({ state, oldest, full }) => state === "active" && full && oldest !== null && oldest > BEHIND)
      .sort(byDue)
      .map((queue): Entry => ({
        id: `behind:${queue.name}`,
        rank: "slow",
        shape: "limited",
        sentence: markup`<b>${queueLink(queue, link)} falls behind</b>: ${dueOf(queue)}`,
        evidence: roomWords(queue, queue.consumers.reduce((sum, consumer) => sum + takenOf(claimed, consumer), 0)),
        since: queue.since,
        chart: { dueIn: queue.name },
        steps: [{ label: "See", href: queueHref(queue, link) }],
      }));
  },
  more: [(count) => `${amount(count, "other queue")} ${count === 1 ? "falls" : "fall"} behind`, "/queues"],
};

/** Says how full the consumers of a queue are. */
export function roomWords({ consumers, places, full }: QueueNow, taken: number): string {
  const who = consumers.length === 1 ? "Its consumer" : `Its ${consumers.length} consumers`;
  return full
    ? `${who} ${consumers.length === 1 ? "has" : "have"} no room: ${formatNumber(taken)} of ${
      amount(places, "place")
    } are taken`
    : `${who} ${consumers.length === 1 ? "runs" : "run"} ${formatNumber(taken)} of ${amount(places, "task")}`;
}

/** `media.transcode #1047702 has run for 12m 20s` */
const long: Rule = {
  find({ longest, runs }, link) {
    return longest.flatMap(({ id, funcName, seconds, claimed, host, pid }): Entry[] => {
      const usual = usualOf(runs, funcName);
      if (usual === null || !runsLong(seconds, usual)) return [];
      return [{
        id: `long:${id}`,
        rank: "slow",
        shape: "running",
        sentence: markup`<b><a class="name" href="${
          link(`/tasks/${id}`)
        }"><bdi>${funcName}</bdi></a> #${id} has run for ${formatSeconds(seconds)}</b>${
          host !== null && ` on ${host}, process ${pid}`
        }`,
        evidence: `95 of 100 attempts of the last hour took at most ${formatSeconds(usual)}`,
        since: claimed,
        steps: [{ label: "See", href: link(`/tasks/${id}`) }],
      }];
    });
  },
  more: [(count) => `${amount(count, "other task")} ${count === 1 ? "runs" : "run"} for long`, "/consumers"],
};

/** What 95 of 100 runs of a name took in the last hour, in seconds; null if there were too few. */
export function usualOf(runs: Facts["runs"], funcName: string): number | null {
  const histogram = runs.get(funcName) ?? [];
  return countOf(histogram) < LONG.attempts ? null : percentile(histogram, 0.95);
}

/** Whether a task has run for long, where its name usually takes `usual` seconds. */
export function runsLong(seconds: number, usual: number): boolean {
  return seconds > LONG.seconds && seconds > LONG.times * usual;
}

/** `media-2, process 4121, is silent` */
const silent: Rule = {
  find({ consumers }, link) {
    return consumers.filter(isSilent).map((consumer): Entry => ({
      id: `silent:${consumer.id}`,
      rank: "odd",
      shape: "unknown",
      sentence: markup`<b>${consumerName(consumer)} is silent</b>: it answered ${formatSeconds(consumer.silent)} ago`,
      evidence: "Others take over its tasks unless it renews its lease",
      since: consumer.seen,
      steps: [{ label: "See", href: link("/consumers") }],
    }));
  },
  more: [(count) => `${amount(count, "other consumer")} ${count === 1 ? "is" : "are"} silent`, "/consumers"],
};

/** Whether a live consumer should have renewed its lease by now. */
export function isSilent({ live, silent, lease }: ConsumerRow): boolean {
  return live && silent > SILENT * lease;
}

function byDue(a: QueueNow, b: QueueNow): number {
  return b.due - a.due;
}

function queueHref({ name }: QueueNow, link: Link): string {
  return link(`/queues/${encodeURIComponent(name)}`);
}

function queueLink(queue: QueueNow, link: Link): Html {
  return markup`<a class="name" href="${queueHref(queue, link)}"><bdi>${queue.name}</bdi></a>`;
}

function consumerName({ host, pid }: ConsumerRow): string {
  return `${host}, process ${pid},`;
}

/** `2,310 tasks are due, the oldest for 12m 4s` */
export function dueOf({ due, more, oldest }: QueueNow): string {
  const count = more ? `${formatNumber(due)}+ tasks are` : due === 1 ? "1 task is" : `${formatNumber(due)} tasks are`;
  return `${count} due${oldest === null ? "" : `, the oldest for ${formatSeconds(oldest)}`}`;
}

/** The rules about queues, names, consumers and what runs. */
export const PLACE_RULES: readonly Rule[] = [unserved, paused, unknown, crashed, behind, long, silent];
