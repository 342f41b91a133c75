import { COLOURS, drawChart, drawText, GAP, HEIGHT, LEFT, RIGHT, toText, WIDTH } from "../charts.ts";
import { PEERS } from "./peers.ts";
import type { Metric, Results } from "./results.ts";
import type { Scenario } from "./scenarios.ts";
import { SECTIONS } from "./sections.ts";
import { summarize } from "./statistics.ts";
import { formatNumber, peersOf } from "./tables.ts";

/** Heights of a bar with its gap, and of what stands above and below the bars of a group. */
const [BAR, ABOVE, BELOW] = [16, 26, 18];
/** Where bars begin. */
const NAMES = 260;

/** Draws what was measured: bars for rates and latencies, lines for the rounds. */
export function plotResults(results: Results): string {
  const parts: string[] = [];
  let top = 10;
  for (const { scenario, title, compared } of SECTIONS) {
    const [first] = compared;
    const count = peersOf(results, scenario).length;
    if (!first || count === 0) continue;
    parts.push(...drawBars(results, { scenario, metric: first.metric, title: `${title}: ${first.title}`, top }));
    top += ABOVE + count * BAR + BELOW;
  }
  const rounds = peersOf(results, "rounds");
  if (rounds.length > 0) {
    const { steps } = results.run.sizes;
    const series = rounds.map(({ name }) => ({
      name,
      points: Array.from({ length: steps }, (_, i) => {
        const rate = summarize(results, { peer: name, scenario: "rounds", metric: "rate", step: i + 1 });
        return [i + 1, rate?.median ?? NaN] as const;
      }),
    }));
    const frame = { top: top + 10, least: 1, most: Math.max(2, steps) };
    parts.push(...drawChart({ title: "Tasks drained a second, by round", series }, frame));
    top += HEIGHT + GAP;
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${top}" font-family="sans-serif">`,
    `<rect width="${WIDTH}" height="${top}" fill="white"/>`,
    ...parts,
    `</svg>\n`,
  ].join("\n");
}

interface Bars {
  readonly scenario: Scenario;
  readonly metric: Metric;
  readonly title: string;
  readonly top: number;
}

/** Draws a bar for the median of each peer, and a line from its least to its most. */
function drawBars(results: Results, { scenario, metric, title, top }: Bars): string[] {
  const bars = peersOf(results, scenario).flatMap((peer) => {
    const summary = summarize(results, { peer: peer.name, scenario, metric });
    return summary ? [{ peer, ...summary }] : [];
  });
  const most = Math.max(...bars.map((bar) => bar.most));
  const x = (value: number) => NAMES + (WIDTH - NAMES - RIGHT / 2) * value / most;
  return [
    drawText(title, LEFT, top + 14, { size: 12, bold: true }),
    ...bars.flatMap(({ peer, median, least, most }, i) => {
      const [y, middle] = [top + ABOVE + i * BAR, top + ABOVE + i * BAR + BAR / 2];
      const colour = peer === PEERS[0] ? COLOURS[0] : "#9aa5b1";
      return [
        drawText(peer.title.replaceAll("`", ""), NAMES - 8, middle + 4, { anchor: "end" }),
        `<rect x="${NAMES}" y="${y + 2}" width="${toText(x(median) - NAMES)}" height="${BAR - 4}" fill="${colour}"/>`,
        `<line x1="${toText(x(least))}" x2="${toText(x(most))}" y1="${middle}" y2="${middle}" stroke="#222"/>`,
        drawText(formatNumber(median), x(most) + 6, middle + 4, { bold: peer === PEERS[0] }),
      ];
    }),
  ];
}
