import type { Evidence } from "./evidence.ts";
import type { Point } from "./numbers.ts";
import { FAULT_KINDS, FAULT_TITLES } from "./plan.ts";
import type { Sample } from "./probe.ts";
import { pointsOf } from "./verdicts.ts";

/** One line of a panel. */
export interface Series {
  readonly name: string;
  /** By minutes. */
  readonly points: readonly Point[];
}

/** One of the plots that stand below one another. */
export interface Panel {
  readonly title: string;
  readonly series: readonly Series[];
  /** Ten times as much is one step up. */
  readonly logarithmic?: boolean;
}

const MIB = 2 ** 20;
const COLOURS = ["#1f5fa8", "#c8501e", "#2c7d3f", "#8a3fa0", "#7a6a00", "#555555"];
const [WIDTH, LEFT, RIGHT, HEIGHT, GAP, TOP] = [960, 64, 150, 120, 44, 62];

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
  const places = ["task", "ready", "waiting", "lease", "slot"];
  const panels: Panel[] = [
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
  return plot(panels, { title, minutes: Math.max(...samples.map(({ at }) => at), division.period) / 60, marks });
}

/** Draws panels below one another, with a tick on top of each for every mark. */
export function plot(
  panels: readonly Panel[],
  { title, minutes, marks }: { title: string; minutes: number; marks: readonly { at: number; kind: string }[] },
): string {
  const height = TOP + panels.length * (HEIGHT + GAP);
  const x = (minute: number) => LEFT + (WIDTH - LEFT - RIGHT) * minute / minutes;
  const kinds = FAULT_KINDS.filter((kind) => marks.some((mark) => mark.kind === kind));
  let right: number = LEFT;
  const legend = kinds.map((kind) => {
    const at = right;
    right += 22 + FAULT_TITLES[kind].length * 4.9;
    const tick = `x1="${fixed(at)}" x2="${fixed(at)}" y1="32" y2="42" stroke="${colourOf(kind)}"`;
    return `<line ${tick} stroke-width="3"/>${text(FAULT_TITLES[kind], at + 6, 41, { size: 9 })}`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif">`,
    `<rect width="${WIDTH}" height="${height}" fill="white"/>`,
    text(title, LEFT, 20, { size: 14, bold: true }),
    ...legend,
    ...panels.flatMap((panel, i) => drawPanel(panel, { top: TOP + i * (HEIGHT + GAP), x, minutes, marks })),
    `</svg>\n`,
  ].join("\n");
}

interface Frame {
  readonly top: number;
  readonly x: (minute: number) => number;
  readonly minutes: number;
  readonly marks: readonly { at: number; kind: string }[];
}

function drawPanel({ title, series, logarithmic = false }: Panel, { top, x, minutes, marks }: Frame): string[] {
  const values = series.flatMap(({ points }) => points.map(([, y]) => y)).filter(Number.isFinite);
  const most = Math.max(1, ...values);
  const ticks = logarithmic ? powersUpTo(most) : stepsUpTo(most);
  const [low, high] = [ticks[0]!, ticks.at(-1)!];
  const share = (value: number) =>
    logarithmic ? Math.log10(Math.max(value, low) / low) / Math.log10(high / low) : value / high;
  const y = (value: number) => top + 14 + HEIGHT * (1 - share(value));
  const every = Math.max(1, Math.ceil(minutes / 15));
  const hours = Array.from({ length: Math.floor(minutes / every) + 1 }, (_, i) => i * every);
  return [
    text(title, LEFT, top + 6, { size: 12, bold: true }),
    ...marks.map(({ at, kind }) =>
      `<line x1="${fixed(x(at))}" x2="${fixed(x(at))}" y1="${top + 14}" y2="${top + 14 + HEIGHT}" ` +
      `stroke="${colourOf(kind)}" stroke-opacity="0.35"/>`
    ),
    ...ticks.map((tick) =>
      `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${fixed(y(tick))}" y2="${fixed(y(tick))}" stroke="#ddd"/>` +
      text(label(tick), LEFT - 6, y(tick) + 4, { anchor: "end" })
    ),
    ...hours.map((minute) => text(`${minute}`, x(minute), top + HEIGHT + 27, { anchor: "middle", size: 10 })),
    ...series.flatMap(({ name, points }, i) => {
      const seen = points.filter(([, value]) => Number.isFinite(value));
      const path = seen.map(([minute, value]) => `${fixed(x(minute))},${fixed(y(value))}`).join(" ");
      const colour = COLOURS[i % COLOURS.length]!;
      return [
        `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="1.6"/>`,
        text(name, WIDTH - RIGHT + 12, top + 26 + i * 16, { fill: colour, bold: true }),
      ];
    }),
  ];
}

function powersUpTo(most: number): number[] {
  const ticks = [1];
  while (ticks.at(-1)! < most || ticks.length < 2) ticks.push(ticks.at(-1)! * 10);
  return ticks;
}

function stepsUpTo(most: number): number[] {
  const power = 10 ** Math.floor(Math.log10(most / 4));
  const step = [1, 2, 5, 10].map((n) => n * power).find((size) => size * 5 >= most)!;
  return Array.from({ length: Math.ceil(most / step) + 1 }, (_, i) => i * step);
}

function colourOf(kind: string): string {
  const colours = ["#d00000", "#b58900", "#268bd2", "#6c71c4", "#2aa198", "#859900", "#cb4b16", "#333333", "#000000"];
  return colours[FAULT_KINDS.findIndex((one) => one === kind)] ?? "#999999";
}

function label(value: number): string {
  return value >= 1000 ? `${fixed(value / 1000)}k` : fixed(value);
}

function fixed(value: number): string {
  return String(Math.round(value * 10) / 10);
}

function text(
  content: string,
  x: number,
  y: number,
  { size = 11, fill = "#222", anchor = "start", bold = false } = {},
): string {
  const weight = bold ? ` font-weight="bold"` : "";
  const escaped = content.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return `<text x="${fixed(x)}" y="${
    fixed(y)
  }" font-size="${size}" fill="${fill}" text-anchor="${anchor}"${weight}>${escaped}</text>`;
}
