/** A straight line through points, by least squares. */
export interface Line {
  /** How much the second number grows with the first. */
  readonly slope: number;
  /** The value that the line has in the middle of the points. */
  readonly mean: number;
  /** The standard deviation of the points from the line: what is noise. */
  readonly noise: number;
  /** How far apart the first numbers lie. */
  readonly span: number;
}

/** A number and what was measured at it. */
export type Point = readonly [x: number, y: number];

/** Fits a line; undefined for fewer than three points, or such as lie at one place. */
export function fitLine(points: readonly Point[]): Line | undefined {
  if (points.length < 3) return undefined;
  const xs = points.map(([x]) => x);
  const middle = average(xs);
  const mean = average(points.map(([, y]) => y));
  const spread = sum(xs.map((x) => (x - middle) ** 2));
  if (spread === 0) return undefined;
  const slope = sum(points.map(([x, y]) => (x - middle) * (y - mean))) / spread;
  const rest = sum(points.map(([x, y]) => (y - mean - slope * (x - middle)) ** 2));
  return { slope, mean, noise: Math.sqrt(rest / (points.length - 2)), span: Math.max(...xs) - Math.min(...xs) };
}

/** The points of the last two thirds of the time: the first one is for caches to fill and code to be compiled. */
export function lastTwoThirds(points: readonly Point[]): Point[] {
  return thirds(points).slice(1).flat();
}

/** The points in three parts of equal time. */
export function thirds(points: readonly Point[]): [Point[], Point[], Point[]] {
  const xs = points.map(([x]) => x);
  const [first, last] = [Math.min(...xs), Math.max(...xs)];
  const parts: [Point[], Point[], Point[]] = [[], [], []];
  for (const point of points) {
    parts[Math.min(2, Math.floor(3 * (point[0] - first) / (last - first || 1))) as 0 | 1 | 2].push(point);
  }
  return parts;
}

function average(values: readonly number[]): number {
  return sum(values) / values.length;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
