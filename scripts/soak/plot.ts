import { type Chart, drawChart, drawText, GAP, HEIGHT, LEFT, toText, WIDTH } from "../charts.ts";
import type { Evidence } from "./evidence.ts";
import type { Point } from "./numbers.ts";
import { FAULT_KINDS, FAULT_TITLES } from "./plan.ts";
import type { Sample } from "./probe.ts";
import { pointsOf } from "./verdicts.ts";

const MIB = 2 ** 20;
const TOP = 62;

/** Draws a run. */
export function plotRun(evidence: Evidence): string {
  const { samples, rows, faults, division, options } = evidence;
  const ofRows = (value: (row: typeof rows[number]) => number): Point[] =>
    rows.map((row) => [(row.from + row.to) / 120, value(row)]);
  const ofServer = (value: (server: NonNullable<Sample["server"]>) => number): Point[] =>
    samples.flatMap(({ at, server }) => server ? [[at / 60, value(server)] as const] : []);
  const memory = (name: string, what: "rss" | "heap") =>
    pointsOf(samples, name, what).map(([x, y]): Point => [x, y / MIB]);
  const processes = ["scheduler", ...Array.from({ length: options.consumers }, (_, i) => `consumer-${i + 1}`)];
  const places = ["task", "ready", "waiting", "claim_batch", "slot"];
  const charts: Chart[] = [
    {
      title: "From scheduling to the start, ms",
      logarithmic: true,
      series: [0, 1, 2].map((i) => ({
        name: ["p50", "p95", "p99"][i]!,
        points: ofRows((row) => row.latencies.start[i]!),
      })),
    },
    {
      title: "Tasks a second",
      series: [
        { name: "scheduled", points: ofRows(({ latencies, seconds }) => latencies.started / seconds) },
        { name: "ended", points: ofRows(({ latencies, seconds }) => latencies.ended / seconds) },
      ],
    },
    { title: "Memory (RSS), MiB", series: processes.map((name) => ({ name, points: memory(name, "rss") })) },
    { title: "Heap after collection, MiB", series: processes.map((name) => ({ name, points: memory(name, "heap") })) },
    {
      title: "Connections and locks",
      series: [
        {
          name: "connections",
          points: ofServer(({ connections }) => Object.values(connections).reduce((a, b) => a + b, 0)),
        },
        { name: "locks", points: ofServer(({ locks }) => locks) },
        { name: "listeners", points: ofServer(({ listeners }) => listeners) },
      ],
    },
    {
      title: "Tables with their indexes, MiB",
      series: places.map((name) => ({ name, points: ofServer(({ sizes }) => (sizes[name] ?? 0) / MIB) })),
    },
    {
      title: "Dead rows",
      series: places.map((name) => ({ name, points: ofServer(({ dead }) => dead[name] ?? 0) })),
    },
  ];
  const marks = faults.map(({ at, kind }) => ({ at: at / 60, kind }));
  const title =
    `${options.rate} tasks/s, ${options.consumers} consumers, ${faults.length} faults, seed ${options.seed}`;
  return plot(charts, { title, minutes: Math.max(...samples.map(({ at }) => at), division.period) / 60, marks });
}

/** Draws charts below one another, with a tick on top of each for every mark. */
export function plot(
  charts: readonly Chart[],
  { title, minutes, marks }: { title: string; minutes: number; marks: readonly { at: number; kind: string }[] },
): string {
  const height = TOP + charts.length * (HEIGHT + GAP);
  const kinds = FAULT_KINDS.filter((kind) => marks.some((mark) => mark.kind === kind));
  let right: number = LEFT;
  const legend = kinds.map((kind) => {
    const at = right;
    right += 22 + FAULT_TITLES[kind].length * 4.9;
    const tick = `x1="${toText(at)}" x2="${toText(at)}" y1="32" y2="42" stroke="${colourOf(kind)}"`;
    return `<line ${tick} stroke-width="3"/>${drawText(FAULT_TITLES[kind], at + 6, 41, { size: 9 })}`;
  });
  const coloured = marks.map(({ at, kind }) => ({ at, colour: colourOf(kind) }));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif">`,
    `<rect width="${WIDTH}" height="${height}" fill="white"/>`,
    drawText(title, LEFT, 20, { size: 14, bold: true }),
    ...legend,
    ...charts.flatMap((chart, i) =>
      drawChart(chart, { top: TOP + i * (HEIGHT + GAP), most: minutes, marks: coloured })
    ),
    `</svg>\n`,
  ].join("\n");
}

function colourOf(kind: string): string {
  const colours = ["#d00000", "#b58900", "#268bd2", "#6c71c4", "#2aa198", "#859900", "#cb4b16", "#333333", "#000000"];
  return colours[FAULT_KINDS.findIndex((one) => one === kind)] ?? "#999999";
}
