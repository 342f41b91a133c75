import { hourOf } from "./overview_series.ts";
import type { PageContext } from "../context.ts";
import { classes, type Html, markup, type Part } from "../html.ts";
import { spark, sparkLine } from "../parts/charts.ts";
import { action, linkButton } from "../parts/forms.ts";
import { formatClock, formatUtc, moment } from "../parts/times.ts";
import type { Entry, Step } from "../verdict_entry.ts";
import type { Facts } from "../verdict_facts.ts";
import type { QueueTotals } from "../../store/queue_statistics.ts";

/** What the charts of entries are drawn from. */
export interface AlertParts {
  readonly facts: Facts;
  readonly totals: readonly QueueTotals[];
}

/** The list of what needs attention: a row for each entry, with what shows it, since when, and what to do. */
export function alerts(context: PageContext, entries: readonly Entry[], parts: AlertParts): Html {
  const rows = entries.map((entry) =>
    markup`<li${classes(entry.shape, entry.bad && "bad")}><p>${entry.sentence}${
      entry.evidence && markup`<br><span class="why">${entry.evidence}</span>`
    }</p>${chartOf(entry, parts)}<span class="dim">${
      entry.since && markup`since ${minute(entry.since, context.now)}`
    }</span><div class="acts">${entry.steps.map((step) => button(context, step))}</div></li>\n`
  );
  return markup`<section class="panel" aria-label="What needs attention"><ul class="alerts first">
${rows}</ul></section>`;
}

/** The time of day to the minute, or a date: entries stand below one another. */
function minute(time: Date, now: Date): Html {
  if (now.getTime() - time.getTime() >= 86_400_000) return moment(time, now);
  return markup`<time datetime="${time.toISOString()}" title="${formatUtc(time)}">${
    formatClock(time).slice(0, 5)
  }</time>`;
}

function button(context: PageContext, step: Step): Html {
  if ("path" in step) {
    return action(context, step.label, { path: step.path, fields: step.fields, of: String(step.fields.name ?? "") });
  }
  return linkButton(context, step.label, { href: step.href, asks: step.asks ?? false });
}

function chartOf({ chart }: Entry, { facts, totals }: AlertParts): Part {
  const hour = hourOf(facts.now);
  if (chart && "failuresOf" in chart) {
    const failures = hour.barsOf(facts.failedMinutes.filter(({ funcName }) => funcName === chart.failuresOf), "failed");
    if (failures.some((count) => count > 0)) {
      return spark(failures, {
        label: `Failed attempts of ${chart.failuresOf} a minute, over the last hour`,
        color: "bad",
      });
    }
  }
  if (chart && "dueIn" in chart) {
    const due = totals.find(({ queue }) => queue === chart.dueIn)?.due;
    if (due) return sparkLine(hour.lineOf(due, "due"), { label: `Due tasks of ${chart.dueIn} over the last hour` });
  }
  return markup`<span></span>`;
}
