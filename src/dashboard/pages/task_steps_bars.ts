import type { ListedStep } from "../../store/task_steps.ts";
import { type Html, markup, type Part } from "../html.ts";
import { path, round, svg } from "../parts/charts.ts";
import { formatClock, formatDay } from "../parts/times.ts";

/** How many retries of a step are drawn, and how far apart. */
const [TICKS, APART] = [8, 1.4];
/** From how many milliseconds on the ends of the scale are dates. */
const DAY = 86_400_000;

/** One scale for the bars of steps: from 0 to 100. */
export class StepScale {
  readonly #from: number;
  readonly #to: number;
  readonly #now: Date;

  /** @param options `isOpen`: the scale reaches to now, as one of the steps waits or another may begin. */
  constructor(steps: readonly ListedStep[], { now, isOpen }: { now: Date; isOpen: boolean }) {
    this.#now = now;
    const ends = steps.map(({ began, ended }) => (ended ?? (isOpen ? now : began)).getTime());
    this.#from = Math.min(...steps.map(({ began }) => began.getTime()));
    this.#to = Math.max(...ends, this.#from + 1);
  }

  /** The words at both ends. */
  get words(): readonly [string, string] {
    const isLong = this.#to - this.#from >= DAY;
    const word = (time: number) => {
      const date = new Date(time);
      return isLong || this.#now.getTime() - time >= DAY
        ? `${formatDay(date, this.#now)}, ${formatClock(date).slice(0, 5)}`
        : formatClock(date);
    };
    return [word(this.#from), this.#to === this.#now.getTime() ? "now" : word(this.#to)];
  }

  /**
   * Draws a step: a bar from its begin to its end, hatched if it was a wait, with a tick for each time that it failed.
   * A bar has a width that can be seen. Screen readers skip it, as words beside it say the same.
   */
  draw({ began, ended, kind, status, failures }: ListedStep): Html {
    const at = (time: number) => (time - this.#from) / (this.#to - this.#from) * 100;
    const x = Math.min(at(began.getTime()), 99);
    const width = Math.max(Math.min(at((ended ?? new Date(this.#to)).getTime()), 100) - x, 1);
    const isWait = status === "waiting" || kind === "sleep" || kind === "signal" || kind === "call";
    const color = status === "failed" ? "bad" : status === "waiting" ? "later" : "plot";
    const bar = isWait
      ? path(`wait w-${color}`, `M${round(x)} 8h${round(width)}`)
      : markup`<rect class="c-${kind === "compensation" && status !== "failed" ? "hold" : color}" x="${
        round(x)
      }" y="3" width="${round(width)}" height="10"/>`;
    const ticks: Part = failures > 0 && path(
      "l-bad tick",
      Array.from({ length: Math.min(failures, TICKS) }, (_, n) => `M${round(Math.min(x + 0.4 + n * APART, 99.8))} 0v16`)
        .join(""),
    );
    return svg([100, 16], [bar, ticks], "", "bar-line");
  }
}
