import type { Bucket, Flow } from "../../store/queue_statistics.ts";
import { formatSeconds } from "../../times.ts";
import type { PageContext } from "../context.ts";
import { type Html, markup } from "../html.ts";
import { areaPath, barPath, chart, grid, linePath, path, round } from "../parts/charts.ts";
import { formatNumber } from "../parts/numbers.ts";
import { empty, panel } from "../parts/panels.ts";
import { delayOf } from "./overview_delay.ts";
import { hourOf, seriesWords, topOf } from "./overview_series.ts";

/** What the charts of a queue are drawn from. */
export interface QueueHour {
  readonly name: string;
  readonly flows: readonly Flow[];
  readonly delays: readonly Bucket[];
}

const HEIGHT = 96;

/** The last hour of a queue: what was due, how long tasks waited for their start, and what was done. */
export function queueCharts(context: PageContext, hour: QueueHour): Html {
  return markup`<div class="cols three">
${dueChart(context, hour)}
${delayChart(context, hour)}
${doneChart(context, hour)}
</div>`;
}

function dueChart({ now }: PageContext, { name, flows }: QueueHour): Html {
  const hour = hourOf(now);
  const due = hour.lineOf(flows, "due");
  const top = topOf(due);
  const body = chart({
    above: "Tasks",
    top: formatNumber(top),
    body: [grid(1, 48), path("fill", areaPath(due, top, HEIGHT)), path("l-plot", linePath(due, top, HEIGHT))],
    label: `Due tasks of ${name} over the last hour: ${seriesWords(due, (value) => formatNumber(Math.round(value)))}`,
    axis: hour.axis(3),
  });
  return panel({ id: "due-hour", live: "due-now", title: "Due" }, markup`<figure class="in">${body}</figure>`);
}

function delayChart({ now }: PageContext, { name, delays }: QueueHour): Html {
  const hour = hourOf(now);
  const { line, medians } = delayOf(delays, hour);
  if (delays.length === 0) {
    return panel(
      { id: "delay-hour", live: "delay-now", title: "Delay before a start" },
      empty("Nothing started in the last hour"),
    );
  }
  const top = Math.max(0.001, ...line.map((value) => value ?? 0)) * 1.1;
  const body = chart({
    above:
      markup`<span class="key"><span><i class="k-line"></i>median</span><span><i class="k-dash"></i>p95</span></span>`,
    top: formatSeconds(top),
    body: [grid(1, 48), path("l-dim", linePath(line, top, HEIGHT)), path("l-plot", linePath(medians, top, HEIGHT))],
    label: `Delay of tasks of ${name} before their start: median ${seriesWords(medians, formatSeconds)}; p95 ${
      seriesWords(line, formatSeconds)
    }`,
    axis: hour.axis(3),
  });
  return panel(
    { id: "delay-hour", live: "delay-now", title: "Delay before a start" },
    markup`<figure class="in">${body}</figure>`,
  );
}

function doneChart({ now }: PageContext, { name, flows }: QueueHour): Html {
  const hour = hourOf(now);
  const done = hour.barsOf(flows, "completed");
  const failed = hour.barsOf(flows.map(({ at, failed, retried }) => ({ at, failed: failed + retried })), "failed");
  const top = topOf(done.map((count, index) => count + failed[index]!));
  const body = chart({
    above:
      markup`<span class="key"><span><i class="c-plot"></i>done</span><span><i class="c-bad"></i>failed</span></span>`,
    top: formatNumber(top),
    body: [grid(1, 48), path("c-plot", barPath(done, top, HEIGHT)), path("c-bad", stackedPath(done, failed, top))],
    label: `Tasks of ${name} done a minute: ${seriesWords(done, formatNumber)}; failed attempts a minute: ${
      seriesWords(failed, formatNumber)
    }`,
    axis: hour.axis(3),
  });
  return panel(
    { id: "done-hour", live: "done-now", title: "Done and failed" },
    markup`<figure class="in">${body}</figure>`,
  );
}

/** The path of bars that stand on others. */
function stackedPath(below: readonly number[], values: readonly number[], top: number): string {
  return values.map((value, index) => {
    if (value <= 0) return "";
    const start = round(HEIGHT - below[index]! / top * HEIGHT - (below[index]! > 0 ? 1 : 0));
    const length = round(Math.max(value / top * HEIGHT, 1));
    return `M${round(index + 0.11)} ${start}v${-length}h.78v${length}z`;
  }).join("");
}
