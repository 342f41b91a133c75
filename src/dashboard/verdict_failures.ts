import type { ErrorGroup, FailedMinute } from "../store/queue_statistics_names.ts";
import { filterText } from "./filter.ts";
import { type Html, markup } from "./html.ts";
import { amount, formatNumber } from "./parts/numbers.ts";
import type { Entry, Link, Rule, Step } from "./verdict_entry.ts";
import type { Facts } from "./verdict_facts.ts";
import { FAILS, NEW, STRETCH } from "./verdict_thresholds.ts";

const MINUTE = 60_000;
/** The most characters of an error that an entry shows. */
const LONGEST = 200;

/** The attempts of a name, of all its queues together. */
export interface Attempts {
  readonly name: string;
  readonly failed: number;
  readonly all: number;
  readonly recent: { readonly failed: number; readonly all: number };
  /** Tasks that failed for good. */
  readonly lost: number;
}

/** Adds up the attempts of the last hour by name. */
export function attemptsOf({ names, failed }: Pick<Facts, "names" | "failed">): Attempts[] {
  return [...Map.groupBy(names, ({ funcName }) => funcName)].map(([name, queues]) => ({
    name,
    failed: queues.reduce((sum, { failed, retried }) => sum + failed + retried, 0),
    all: queues.reduce((sum, { completed, failed, retried }) => sum + completed + failed + retried, 0),
    recent: {
      failed: queues.reduce((sum, { recent }) => sum + recent.failed, 0),
      all: queues.reduce((sum, { recent }) => sum + recent.completed + recent.failed, 0),
    },
    lost: failed.find(({ funcName }) => funcName === name)?.tasks ?? 0,
  }));
}

/** `mail.send fails: 1,284 of 1,902 attempts in the last hour, 212 tasks for good` */
const fails: Rule = {
  find(facts, link) {
    return failing(facts).map(({ name, failed, all, lost, recent }): Entry => ({
      id: `fails:${name}`,
      rank: "loses",
      shape: "failed",
      sentence: markup`<b>${nameLink(name, link)} fails</b>: ${formatNumber(failed)} of ${
        amount(all, "attempt")
      } in the last hour${lost > 0 && `, ${amount(lost, "task")} for good`}`,
      evidence: messageOf(facts.groups.find(({ funcName }) => funcName === name)),
      since: failingSince(facts, { name, recent: recent.failed }),
      chart: { failuresOf: name },
      steps: stepsOf(link, { name, lost }),
    }));
  },
  more: [(count) => `${amount(count, "other name")} ${count === 1 ? "fails" : "fail"}`, "/tasks"],
};

function failing(facts: Facts): Attempts[] {
  return attemptsOf(facts)
    .filter(({ recent }) => recent.failed >= FAILS.attempts && recent.failed / recent.all >= FAILS.share)
    .sort((a, b) => b.lost - a.lost || b.failed - a.failed);
}

/** `mail.send fails: 12 tasks for good in the last hour`, where consumers count no attempts. */
const failsUncounted: Rule = {
  find({ failed, names }, link) {
    const counted = new Set(names.map(({ funcName }) => funcName));
    return failed.filter(({ funcName, tasks }) => tasks >= FAILS.attempts && !counted.has(funcName)).map((
      { funcName: name, tasks },
    ): Entry => ({
      id: `fails:${name}`,
      rank: "loses",
      shape: "failed",
      sentence: markup`<b>${nameLink(name, link)} fails</b>: ${amount(tasks, "task")} for good in the last hour`,
      evidence: "How many attempts it made is not kept",
      since: null,
      steps: stepsOf(link, { name, lost: tasks }),
    }));
  },
  more: fails.more,
};

/** `billing.charge fails in a new way: 1 task for good in the last hour` */
const failsAnew: Rule = {
  find(facts, link) {
    const known = new Set([...failing(facts).map(({ name }) => name), ...failedCrons(facts)]);
    const oldest = facts.now.getTime() - NEW * MINUTE;
    return facts.groups
      .filter(({ funcName, first, recent }) => first.getTime() > oldest && recent > 0 && !known.has(funcName))
      .sort((a, b) => b.recent - a.recent)
      .map((group): Entry => ({
        id: `new:${group.fingerprint}`,
        rank: "loses",
        shape: "failed",
        sentence: markup`<b>${nameLink(group.funcName, link)} fails in a new way</b>: ${
          amount(group.recent, "task")
        } for good in the last hour`,
        evidence: messageOf(group),
        since: group.first,
        chart: { failuresOf: group.funcName },
        steps: stepsOf(link, { name: group.funcName, lost: group.failed, group }),
      }));
  },
  more: [(count) => `${amount(count, "other new error")}`, "/tasks"],
};

/** The crons whose last run failed: they have entries of their own. */
function failedCrons({ crons }: Facts): string[] {
  return crons.filter(({ lastStatus }) => lastStatus === "failed").map(({ name }) => name);
}

/** An error as text; a connection with the role viewer reads no message. */
export function errorText({ name, message }: { name: string; message?: string | undefined }): string {
  return message ? `${name}: ${message}` : name;
}

/** An error as an entry shows it. */
export function messageOf(group: { name: string; message?: string | undefined } | undefined) {
  if (!group) return undefined;
  const text = errorText(group);
  return markup`<code>${text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text}</code>`;
}

/** The filter for the failed tasks of a name, or of a group of errors. */
export function failedFilter({ name, group }: { name: string; group?: ErrorGroup | undefined }): string {
  return filterText({ status: "failed", name, ...(group ? { error: `#${group.fingerprint}` } : {}) });
}

/** The name of a task, which leads to its tasks. */
export function nameLink(name: string, link: Link): Html {
  return markup`<a class="name" href="${link("/tasks", { q: filterText({ name }) })}"><bdi>${name}</bdi></a>`;
}

function stepsOf(link: Link, { name, lost, group }: { name: string; lost: number; group?: ErrorGroup }): Step[] {
  if (lost === 0) return [{ label: "See", href: link("/tasks", { q: filterText({ name }) }) }];
  const q = failedFilter({ name, group });
  return [
    { label: `Retry ${formatNumber(lost)}…`, href: link("/tasks/retry", { q }), asks: true },
    { label: "See", href: link("/tasks", { q }) },
  ];
}

/** Since when a name fails as it does now; null if the statistics do not show it. */
function failingSince(facts: Facts, { name, recent }: { name: string; recent: number }): Date | null {
  const least = Math.max(1, recent / 15 * STRETCH.share);
  const minutes = facts.failedMinutes.filter(({ funcName, failed }) => funcName === name && failed >= least);
  return startOf(minutes) ?? null;
}

function startOf(minutes: readonly FailedMinute[]): Date | undefined {
  let start = minutes.at(-1)?.at;
  for (const { at } of minutes.toReversed()) {
    if (start!.getTime() - at.getTime() > STRETCH.gap * MINUTE) break;
    start = at;
  }
  return start;
}

/** The rules about tasks that fail. */
export const FAILURE_RULES: readonly Rule[] = [fails, failsUncounted, failsAnew];
