import type { Span } from "../../store/queue_statistics.ts";
import { formatClock, formatDay } from "../parts/times.ts";

/** The spans that charts show. */
export const RANGES = {
  hour: { length: 3_600, step: 60, word: "hour", each: "a minute" },
  day: { length: 86_400, step: 900, word: "24 hours", each: "in 15 minutes" },
  week: { length: 7 * 86_400, step: 7_200, word: "7 days", each: "in 2 hours" },
} as const;

/** The name of a span. */
export type RangeName = keyof typeof RANGES;

/** Reads the name of a span from a URL. */
export function rangeOf(url: URL): RangeName {
  const name = url.searchParams.get("range") ?? "hour";
  return Object.hasOwn(RANGES, name) ? name as RangeName : "hour";
}

/** The steps of a span that ends now, oldest first: what charts draw values of. */
export class Steps {
  /** When the first step begins, in milliseconds. */
  readonly #first: number;
  /** How long a step is, in milliseconds. */
  readonly #step: number;
  /** How many there are. */
  readonly count: number;
  readonly #now: Date;

  constructor(now: Date, { length, step }: Span) {
    this.#now = now;
    this.#step = step * 1000;
    this.count = length / step;
    this.#first = Math.floor(now.getTime() / this.#step) * this.#step - (this.count - 1) * this.#step;
  }

  /** The place of a time; below 0 if it is before the span. */
  indexOf(at: Date): number {
    return Math.floor((at.getTime() - this.#first) / this.#step);
  }

  /** The values of `key`, a step each; 0 where there is none. Those of one step are added. */
  barsOf<K extends string>(rows: readonly ({ at: Date } & Record<K, number>)[], key: K): number[] {
    const values = new Array<number>(this.count).fill(0);
    for (const row of rows) {
      const index = this.indexOf(row.at);
      if (index >= 0 && index < this.count) values[index]! += row[key];
    }
    return values;
  }

  /** The values of `key`, a step each; null where there is none. */
  lineOf<K extends string>(rows: readonly ({ at: Date } & Record<K, number | null>)[], key: K): (number | null)[] {
    const values = new Array<number | null>(this.count).fill(null);
    for (const row of rows) {
      const index = this.indexOf(row.at);
      if (index >= 0 && index < this.count) values[index] = row[key];
    }
    return values;
  }

  /** The words below a chart: `words` times, the last of which is now. */
  axis(words: number): string[] {
    const length = this.#step * this.count;
    const isLong = length > 86_400_000;
    return Array.from({ length: words }, (_, index) => {
      if (index === words - 1) return "now";
      const time = new Date(this.#now.getTime() - length + length / (words - 1) * index);
      return isLong ? formatDay(time, this.#now) : formatClock(time).slice(0, 5);
    });
  }
}

/** The minutes of the last hour. */
export function hourOf(now: Date): Steps {
  return new Steps(now, RANGES.hour);
}

/** A round number that is not below any of the values, for the top of a chart. */
export function topOf(values: readonly (number | null)[]): number {
  const most = Math.max(1, ...values.map((value) => value ?? 0));
  const unit = 10 ** Math.floor(Math.log10(most));
  return [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].map((factor) => factor * unit).find((top) => top >= most)!;
}

/** Says how a series is: `410 now, between 310 and 470`. */
export function seriesWords(values: readonly (number | null)[], format: (value: number) => string): string {
  const known = values.filter((value) => value !== null);
  if (known.length === 0) return "not kept";
  const [least, most] = [Math.min(...known), Math.max(...known)];
  const now = format(known.at(-1)!);
  return least === most ? `${now} throughout` : `${now} now, between ${format(least)} and ${format(most)}`;
}
