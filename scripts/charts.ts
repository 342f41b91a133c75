/** A line of a chart. */
export interface Series {
  readonly name: string;
  /** Numbers and what was measured at each. */
  readonly points: readonly (readonly [x: number, y: number])[];
}

/** One of the plots that stand below one another. */
export interface Chart {
  readonly title: string;
  readonly series: readonly Series[];
  /** Ten times as much is one step up. */
  readonly logarithmic?: boolean;
}

/** Where a chart stands. */
export interface Frame {
  readonly top: number;
  /** Its first number. @default 0 */
  readonly least?: number;
  /** Its last number. */
  readonly most: number;
  /** What happened at some of the numbers. */
  readonly marks?: readonly { readonly at: number; readonly colour: string }[];
}

/** The size of a chart with its labels, and what is left between two. */
export const [WIDTH, LEFT, RIGHT, HEIGHT, GAP] = [960, 64, 150, 120, 44] as const;

/** The colours of lines and bars. */
export const COLOURS = ["#1f5fa8", "#c8501e", "#2c7d3f", "#8a3fa0", "#7a6a00", "#555555"] as const;

/** Draws lines over whole numbers. */
export function drawChart(
  { title, series, logarithmic = false }: Chart,
  { top, least = 0, most, marks = [] }: Frame,
): string[] {
  const x = (at: number) => LEFT + (WIDTH - LEFT - RIGHT) * (at - least) / (most - least);
  const values = series.flatMap(({ points }) => points.map(([, y]) => y)).filter(Number.isFinite);
  const highest = Math.max(1, ...values);
  const ticks = logarithmic ? powersUpTo(highest) : stepsUpTo(highest);
  const [low, high] = [ticks[0]!, ticks.at(-1)!];
  const share = (value: number) =>
    logarithmic ? Math.log10(Math.max(value, low) / low) / Math.log10(high / low) : value / high;
  const y = (value: number) => top + 14 + HEIGHT * (1 - share(value));
  const every = Math.max(1, Math.ceil((most - least) / 15));
  const labels = Array.from({ length: Math.floor((most - least) / every) + 1 }, (_, i) => least + i * every);
  return [
    drawText(title, LEFT, top + 6, { size: 12, bold: true }),
    ...marks.map(({ at, colour }) =>
      `<line x1="${toText(x(at))}" x2="${toText(x(at))}" y1="${top + 14}" y2="${top + 14 + HEIGHT}" ` +
      `stroke="${colour}" stroke-opacity="0.35"/>`
    ),
    ...ticks.map((tick) =>
      `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${toText(y(tick))}" y2="${toText(y(tick))}" stroke="#ddd"/>` +
      drawText(toLabel(tick), LEFT - 6, y(tick) + 4, { anchor: "end" })
    ),
    ...labels.map((at) => drawText(`${at}`, x(at), top + HEIGHT + 27, { anchor: "middle", size: 10 })),
    ...series.flatMap(({ name, points }, i) => {
      const seen = points.filter(([, value]) => Number.isFinite(value));
      const path = seen.map(([at, value]) => `${toText(x(at))},${toText(y(value))}`).join(" ");
      const colour = COLOURS[i % COLOURS.length]!;
      return [
        `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="1.6"/>`,
        drawText(name, WIDTH - RIGHT + 12, top + 26 + i * 16, { fill: colour, bold: true }),
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

function toLabel(value: number): string {
  return value >= 1000 ? `${toText(value / 1000)}k` : toText(value);
}

/** A number with one place behind the point at most. */
export function toText(value: number): string {
  return String(Math.round(value * 10) / 10);
}

/** Draws a line of text. */
export function drawText(
  content: string,
  x: number,
  y: number,
  { size = 11, fill = "#222", anchor = "start", bold = false } = {},
): string {
  const weight = bold ? ` font-weight="bold"` : "";
  const escaped = content.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  const place = `x="${toText(x)}" y="${toText(y)}"`;
  return `<text ${place} font-size="${size}" fill="${fill}" text-anchor="${anchor}"${weight}>${escaped}</text>`;
}
