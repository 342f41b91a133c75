import type { ErrorRow } from "../../store/rows.ts";
import { parseTime } from "../../database/times.ts";
import { formatSeconds } from "../../times.ts";
import type { TaskState } from "../../task/record.ts";
import { type Html, markup, NOTHING } from "../html.ts";
import { type Color, type Lane, lanes, path, round } from "../parts/charts.ts";
import { panel } from "../parts/panels.ts";
import { formatClock } from "../parts/times.ts";

/** The most attempts that a timeline shows. */
const SHOWN = 12;

/** What a timeline is made of. */
export interface Timed {
  readonly state: TaskState;
  readonly created: Date;
  readonly not_before: Date;
  readonly started: Date | null;
  readonly completed: Date | null;
  readonly failed: Date | null;
  readonly cancelled: Date | null;
  readonly attempt: number;
  readonly errors: readonly ErrorRow[];
}

/** One attempt: from when to when it ran, in milliseconds; `from` is unknown where it crashed its consumer. */
interface Attempt {
  readonly number: number;
  readonly from: number | undefined;
  readonly to: number;
  readonly color: Color;
}

/** A stretch of time that a lane draws. */
interface Span {
  readonly from: number;
  readonly to: number;
  readonly color: Color;
}

/** The attempts of a task, oldest first, with the one that runs. */
function attemptsOf(task: Timed, now: Date): Attempt[] {
  const failed = task.errors.map(({ attempt, at, seconds }): Attempt => {
    const to = parseTime(at).getTime();
    return {
      number: attempt,
      from: typeof seconds === "number" ? to - seconds * 1000 : undefined,
      to,
      color: "bad",
    };
  });
  const last = (end: Date, color: Color): Attempt => ({
    number: task.attempt,
    from: task.started!.getTime(),
    to: Math.max(end.getTime(), task.started!.getTime()),
    color,
  });
  if (task.started && task.state === "running") return [...failed, last(now, "run")];
  if (task.started && task.state === "completed" && task.completed) return [...failed, last(task.completed, "ok")];
  return failed;
}

/** The panel with the attempts of a task and the waits between them; nothing before the first attempt. */
export function timeline(task: Timed, now: Date): Html {
  const attempts = attemptsOf(task, now);
  if (attempts.length === 0) return NOTHING;
  const shown = attempts.slice(-SHOWN);
  const before = attempts.at(-SHOWN - 1);
  const begin = before?.to ?? task.created.getTime();
  const isLater = (task.state === "retrying" || task.state === "ready") && task.not_before.getTime() > shown.at(-1)!.to;
  const stretches = shown.map((attempt, index) =>
    spansOf(attempt, shown[index - 1]?.to ?? begin, index === 0 && !before)
  );
  if (isLater) stretches.at(-1)!.push({ from: shown.at(-1)!.to, to: task.not_before.getTime(), color: "later" });
  const scale = scaleOf(stretches.flat());
  const rows = shown.map((attempt, index): Lane => {
    const note = noteOf(attempt, shown[index - 1]?.to ?? begin, {
      isFirst: index === 0 && !before,
      now,
      isLast: task.state === "failed" && index === shown.length - 1,
    });
    return { name: `Attempt ${attempt.number}`, body: stretches[index]!.map((span) => scale(span)), label: "", note };
  });
  const end = Math.max(...stretches.flat().map(({ to }) => to));
  const axis = [formatClock(new Date(begin)), task.state === "running" ? "now" : formatClock(new Date(end))];
  return panel({
    id: "timeline",
    title: "Timeline",
    note: summaryOf(attempts, task, { end, left: attempts.length - shown.length }),
    aside:
      markup`<span class="key small dim"><span><i class="c-idle"></i>waits</span><span><i class="c-later"></i>backs off</span>${
        colorsOf(shown).map(([color, word]) => markup`<span><i class="c-${color}"></i>${word}</span>`)
      }</span>`,
  }, lanes(axis, rows));
}

function colorsOf(attempts: readonly Attempt[]): [Color, string][] {
  const words: [Color, string][] = [["bad", "runs, fails"], ["ok", "runs, completes"], ["run", "runs"]];
  return words.filter(([color]) => attempts.some((attempt) => attempt.color === color));
}

function summaryOf(attempts: readonly Attempt[], task: Timed, { end, left }: { end: number; left: number }): string {
  const whole = Math.max(0, end - task.created.getTime()) / 1000;
  const ran = attempts.reduce((sum, { from, to }) => sum + (from === undefined ? 0 : to - from), 0) / 1000;
  const until = task.completed
    ? "to completed"
    : task.failed
    ? "to failed"
    : task.state === "running"
    ? "until now"
    : "so far";
  const earlier = left > 0 ? `; ${left} earlier attempts are not shown` : "";
  return `${formatSeconds(whole)} from created ${until}, of which it ran ${
    formatSeconds(ran)
  }; long waits are drawn shorter${earlier}`;
}

/** The wait before an attempt, and the attempt itself. */
function spansOf({ from, to, color }: Attempt, before: number, isFirst: boolean): Span[] {
  const start = Math.min(Math.max(from ?? to, before), to);
  return [{ from: before, to: start, color: isFirst ? "idle" : "later" }, { from: start, to, color }];
}

function noteOf(
  { from, to, color }: Attempt,
  before: number,
  { isFirst, isLast, now }: { isFirst: boolean; isLast: boolean; now: Date },
): string {
  const wait = Math.max(0, (from ?? to) - before) / 1000;
  const ran = from === undefined ? `ended ${formatClock(new Date(to))}` : `ran ${formatSeconds((to - from) / 1000)}`;
  const first = isFirst ? `waited ${formatSeconds(wait)}, ` : `${formatSeconds(wait)} later, `;
  if (color === "run") return `${first}runs for ${formatSeconds((now.getTime() - from!) / 1000)}`;
  return `${first}${ran}${isLast ? ", the last" : ""}`;
}

/**
 * Makes a function that draws spans between 0 and 100: by the root of their length, so that attempts of milliseconds can
 * be seen beside waits of hours. A wait that is drawn shorter than it was, beside the others, has a break.
 */
function scaleOf(spans: readonly Span[]): (span: Span) => Html {
  const weight = ({ from, to }: Span) => Math.sqrt(Math.max(0, to - from)) + 1;
  const all = spans.reduce((sum, span) => sum + weight(span), 0);
  const length = spans.reduce((sum, { from, to }) => sum + to - from, 0) || 1;
  const least = Math.min(1.2, 60 / spans.length);
  const widths = spans.map((span) => Math.max(least, weight(span) / all * 100));
  const factor = 100 / widths.reduce((sum, width) => sum + width, 0);
  let at = 0;
  const places = new Map(spans.map((span, index) => {
    const place = { x: at, width: widths[index]! * factor };
    at += place.width;
    return [span, place] as const;
  }));
  return (span) => {
    const { x, width } = places.get(span)!;
    const isWait = span.color === "idle" || span.color === "later";
    const [y, height] = isWait ? [6.5, 3] : [2, 12];
    const isCut = isWait && (span.to - span.from) / length * 100 > width * 1.1 && width > 3;
    const middle = round(x + width / 2);
    return markup`<rect class="c-${span.color}" x="${round(x)}" y="${y}" width="${round(width)}" height="${height}"/>${
      isCut && path("l-now", `M${middle - 0.5} 14L${middle} 2M${middle + 0.3} 14L${middle + 0.8} 2`)
    }`;
  };
}
