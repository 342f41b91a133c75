import { formatSeconds } from "../times.ts";
import { markup } from "./html.ts";
import type { Facts } from "./verdict_facts.ts";
import { CRON_RULES } from "./verdict_crons.ts";
import { type Entry, type Link, RANKS, type Rule } from "./verdict_entry.ts";
import { FAILURE_RULES } from "./verdict_failures.ts";
import { PLACE_RULES } from "./verdict_places.ts";
import { WAIT_RULES } from "./verdict_waits.ts";
import { MOST_OF_A_KIND } from "./verdict_thresholds.ts";

const RULES: readonly Rule[] = [...FAILURE_RULES, ...PLACE_RULES, ...CRON_RULES, ...WAIT_RULES];

/** Finds what needs attention, the worst first. */
export function judge(facts: Facts, link: Link): Entry[] {
  return RULES.flatMap((rule) => shorten(rule, rule.find(facts, link), link))
    .sort((a, b) => RANKS.indexOf(a.rank) - RANKS.indexOf(b.rank));
}

function shorten({ more: [sentence, path] }: Rule, entries: readonly Entry[], link: Link): Entry[] {
  if (entries.length <= MOST_OF_A_KIND) return [...entries];
  const shown = entries.slice(0, MOST_OF_A_KIND - 1);
  const [first] = entries.slice(shown.length);
  const { rank, shape, bad } = first!;
  return [...shown, {
    id: `more:${first!.id}`,
    rank,
    shape,
    ...(bad === undefined ? {} : { bad }),
    sentence: markup`<b>${sentence(entries.length - shown.length)}</b>`,
    evidence: "",
    since: null,
    steps: [{ label: "See", href: link(path) }],
  }];
}

/** The heading of the overview. */
export function headingOf(entries: readonly Entry[]): string {
  if (entries.length === 0) return "Nothing needs attention";
  return entries.length === 1 ? "1 thing needs attention" : `${entries.length} things need attention`;
}

/** Says in two sentences how a system is that needs no attention. */
export function quietWords(facts: Facts): [string, string] {
  const failed = facts.failed.reduce((sum, { tasks }) => sum + tasks, 0);
  const live = facts.consumers.filter((consumer) => consumer.live).length;
  const served = live > 0 ? "Every queue that has due tasks is served" : "No task is due, and no consumer runs";
  const failures = failed === 0
    ? "no task has failed for good in the last hour"
    : `${failed === 1 ? "1 task has" : `${failed} tasks have`} failed for good in the last hour`;
  const oldest = Math.max(...facts.queues.map(({ oldest }) => oldest ?? -1));
  return [
    live > 0 ? `${served}, and ${failures}.` : `${served}; ${failures}.`,
    oldest >= 0 ? `The oldest due task has waited ${formatSeconds(oldest)}.` : "No task is due.",
  ];
}
