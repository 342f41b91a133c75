import type { Flow } from "../../store/queue_statistics.ts";
import type { PageContext } from "../context.ts";
import { attr, type Html, markup, type Part } from "../html.ts";
import { barPath, chart, grid, path, round, WIDTH } from "../parts/charts.ts";
import { formatNumber } from "../parts/numbers.ts";
import { empty, panel } from "../parts/panels.ts";
import { type RangeName, RANGES, seriesWords, Steps, topOf } from "./overview_series.ts";

/** What a page says where consumers counted nothing. */
export const NOT_KEPT =
  "No statistics of this time are kept. Consumers write them every few seconds, unless the option " +
  "“statistics” is false.";

/** Bars over the width of a chart, however many there are. */
export function bars(name: string, values: readonly number[], { top, height }: { top: number; height: number }): Html {
  const scale = round(WIDTH / values.length * 1000) / 1000;
  return markup`<g${attr("transform", scale !== 1 && `scale(${scale} 1)`)}>${
    path(name, barPath(values, top, height))
  }</g>`;
}

/** Completed tasks and failed attempts over a span, each with a scale of its own: a few failures must show. */
export function throughput(context: PageContext, flows: readonly Flow[], range: RangeName): Html {
  const aside = markup`<span class="switch">${
    (Object.keys(RANGES) as RangeName[]).map((name) =>
      markup`<a href="${context.href("/", { range: name === "hour" ? undefined : name })}"${
        attr("aria-current", name === range && "true")
      }>${name[0]!.toUpperCase()}${name.slice(1)}</a>`
    )
  }</span>`;
  return panel(
    { id: "throughput", title: "Throughput", aside, live: "flow" },
    flows.length === 0 ? empty(NOT_KEPT) : drawn(),
  );

  function drawn(): Part {
    const { word, each, ...span } = RANGES[range];
    const steps = new Steps(context.now, span);
    const completed = steps.barsOf(flows, "completed");
    const failed = steps.barsOf(flows.map(({ at, failed, retried }) => ({ at, failed: failed + retried })), "failed");
    const [most, mostFailed] = [topOf(completed), topOf(failed)];
    return markup`<figure class="in" aria-labelledby="throughput">
${
      chart({
        above: `Completed ${each}`,
        top: formatNumber(most),
        body: [grid(1, 48), bars("c-plot", completed, { top: most, height: 96 })],
        label: `Completed ${each} over the last ${word}: ${seriesWords(completed, formatNumber)}`,
      })
    }
${
      chart({
        above: markup`<span class="bad">Attempts that failed, ${each}</span>`,
        top: formatNumber(mostFailed),
        body: [grid(1), bars("c-bad", failed, { top: mostFailed, height: 44 })],
        label: `Failed attempts ${each} over the last ${word}: ${seriesWords(failed, formatNumber)}`,
        low: true,
        axis: steps.axis(7),
      })
    }
</figure>`;
  }
}
