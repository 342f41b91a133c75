import { attr, classes, type Html, markup, type Part } from "../html.ts";

/*
 * Charts are SVG without text, so that they may be stretched; words are HTML around them. A series is one path. Bars are
 * one unit wide; lines and areas run from 0 to 60, whatever the number of their values.
 */

/** The width in which lines are drawn. */
export const WIDTH = 60;

/** A picture of `width` by `height` units, stretched to its box. Without a label, screen readers skip it. */
export function svg([width, height]: readonly [number, number], body: Part, label: string, name?: string): Html {
  const role = label ? [attr("role", "img"), attr("aria-label", label)] : attr("aria-hidden", "true");
  const box = attr("viewBox", `0 0 ${width} ${height}`);
  return markup`<svg${box} preserveAspectRatio="none"${classes(name)}${role}>${body}</svg>`;
}

/** The path of bars, one unit wide each, in a height of `height`; every value above 0 can be seen. */
export function barPath(values: readonly number[], max: number, height: number): string {
  const gap = 0.22;
  return values.map((value, index) => {
    if (!(value > 0)) return "";
    const length = Math.max(Math.min(value / max, 1) * height, height * 0.02);
    return `M${round(index + gap / 2)} ${height}V${round(height - length)}h${1 - gap}V${height}z`;
  }).join("");
}

/** The path of a line. A value that is null interrupts it. */
export function linePath(values: readonly (number | null)[], max: number, height: number): string {
  const step = WIDTH / Math.max(1, values.length - 1);
  return values.map((value, index) => {
    if (value === null) return "";
    const isFirst = index === 0 || values[index - 1] === null;
    return `${isFirst ? "M" : "L"}${round(index * step)} ${round(height - Math.min(value / max, 1) * height)}`;
  }).join("");
}

/** The path of the area below a line; a value that is null counts as 0. */
export function areaPath(values: readonly (number | null)[], max: number, height: number): string {
  return `${linePath(values.map((value) => value ?? 0), max, height)}L${WIDTH} ${height}L0 ${height}z`;
}

/** Lines across a chart. */
export function grid(...heights: number[]): Html {
  return markup`${heights.map((y) => path("l-grid", `M0 ${y}H${WIDTH}`))}`;
}

/** A path in one of the colors of the style sheet: `c-` fills, `l-` draws a line. */
export function path(name: string, d: string): Html {
  return markup`<path class="${name}" d="${d}"/>`;
}

/** What a small chart shows: its words, its color and the value at its top. */
export interface SparkOptions {
  readonly label: string;
  readonly color?: "plot" | "bad";
  readonly max?: number;
}

/** Small bars, for what happens in a minute. */
export function spark(
  values: readonly number[],
  { label, color = "plot", max = Math.max(...values, 1) }: SparkOptions,
): Html {
  return svg([values.length, 22], path(`c-${color}`, barPath(values, max, 22)), label, "spark");
}

/** A small line, for what there is at a time. */
export function sparkLine(
  values: readonly (number | null)[],
  { label, color = "plot", max = Math.max(...values.map((value) => value ?? 0), 1) * 1.05 }: SparkOptions,
): Html {
  const paths = [path("fill", areaPath(values, max, 22)), path(`l-${color}`, linePath(values, max, 22))];
  return svg([WIDTH, 22], paths, label, "spark");
}

/** A bar that is filled in part. */
export function gauge(part: number, whole: number, { label, color = "run" }: { label: string; color?: Color }): Html {
  const width = whole > 0 ? round(Math.min(part / whole, 1) * 100) : 0;
  const rects =
    markup`<rect class="c-sunk" width="100" height="8"/><rect class="c-${color}" width="${width}" height="8"/>`;
  return svg([100, 8], rects, label);
}

/** The places for tasks of a queue or a consumer: a gauge with its numbers. */
export function places(running: number, concurrency: number): Html {
  const color = running >= concurrency ? "hold" : "run";
  const bar = gauge(running, concurrency, { label: `${running} of ${concurrency} places taken`, color });
  return markup`<span class="of">${bar}<span>${running} <span class="dim">of ${concurrency}</span></span></span>`;
}

/** The colors of shapes in charts. */
export type Color = "plot" | "bad" | "run" | "ok" | "hold" | "later" | "idle" | "sunk";

/** A line of lanes: a name, a picture 100 units wide and 16 high, and a remark. */
export interface Lane {
  readonly name: Part;
  readonly body: Part;
  readonly label: string;
  readonly note: Part;
}

/** Lanes below one another on one axis, whose words stand above. */
export function lanes(axis: readonly string[], all: readonly Lane[]): Html {
  const words = axis.map((word) => markup`<span>${word}</span>`);
  const each = all.map(({ name, body, label, note }) =>
    markup`<li><span>${name}</span>${svg([100, 16], body, label)}<span class="note">${note}</span></li>\n`
  );
  return markup`<ol class="lanes">
<li class="axis" aria-hidden="true"><span></span><div>${words}</div><span></span></li>
${each}</ol>`;
}

/** A chart of the width of its panel: what stands above it, a picture 60 units wide, and the words of its axis. */
export interface ChartOptions {
  readonly above: Part;
  /** The value at its top. */
  readonly top: string;
  readonly body: Part;
  readonly label: string;
  readonly low?: boolean;
  readonly axis?: readonly string[];
}

/** A chart with its words. It belongs into a `<figure class="in">`. */
export function chart({ above, top, body, label, low = false, axis }: ChartOptions): Html {
  const words = axis && markup`<p class="x">${axis.map((word) => markup`<span>${word}</span>`)}</p>`;
  return markup`<div${classes("chart", low && "low")}><p class="y"><span>${above}</span><span>${top}</span></p>
${svg([WIDTH, low ? 44 : 96], body, label)}${words}</div>`;
}

/** At most two decimals: a path of 60 bars is 1.3 KB. */
export function round(number: number): number {
  return Number(number.toFixed(2));
}
