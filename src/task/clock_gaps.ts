/** A time that clocks skip when they go forward. */
export interface ClockGap {
  /** When the clocks go forward, in milliseconds. */
  readonly at: number;
  /** The first time that the clocks do not show, as if it were UTC, in milliseconds. */
  readonly from: number;
  /** The time that the clocks show instead, as if it were UTC, in milliseconds. */
  readonly to: number;
}

const [SECOND, DAY] = [1000, 86_400_000];

/** Finds the times that the clocks of a time zone skip. */
export class ClockGaps {
  readonly #format: Intl.DateTimeFormat;

  constructor(timezone: string) {
    this.#format = new Intl.DateTimeFormat("en-US", {
      timeZone: timezone,
      calendar: "iso8601",
      numberingSystem: "latn",
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
  }

  /** Yields the gaps that begin after `from` and before or at `to`, earliest first. */
  *after(from: number, to: number): Generator<ClockGap> {
    let [start, offset] = [from, this.#offsetAt(from)];
    while (start < to) {
      const end = Math.min(start + DAY, to);
      const later = this.#offsetAt(end);
      if (later > offset) yield this.#find(start, end, offset);
      [start, offset] = [end, later];
    }
  }

  /** Yields the gaps that begin after `from` and before or at `to`, latest first. */
  *before(from: number, to: number): Generator<ClockGap> {
    let [end, offset] = [to, this.#offsetAt(to)];
    while (end > from) {
      const start = Math.max(end - DAY, from);
      const earlier = this.#offsetAt(start);
      if (earlier < offset) yield this.#find(start, end, earlier);
      [end, offset] = [start, earlier];
    }
  }

  /** Finds the change between two times, to the second. */
  #find(start: number, end: number, offset: number): ClockGap {
    let [low, high] = [Math.floor(start / SECOND), Math.ceil(end / SECOND)];
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (this.#offsetAt(middle * SECOND) === offset) low = middle;
      else high = middle;
    }
    const at = high * SECOND;
    return { at, from: at + offset, to: at + this.#offsetAt(at) };
  }

  /** By how much the clocks are ahead of UTC, in milliseconds. */
  #offsetAt(time: number): number {
    const second = Math.floor(time / SECOND) * SECOND;
    const parts = Object.fromEntries(
      this.#format.formatToParts(second).map(({ type, value }) => [type, Number(value)]),
    );
    const { year, month, day, hour, minute, second: seconds } = parts as Record<string, number>;
    return Date.UTC(year!, month! - 1, day!, hour!, minute!, seconds!) - second;
  }
}
