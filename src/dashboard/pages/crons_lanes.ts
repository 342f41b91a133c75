import type { CronRun, CronState } from "../../store/cron_history.ts";
import type { PageContext } from "../context.ts";
import { slotsBetween } from "../cron_slots.ts";
import { type Html, markup } from "../html.ts";
import { type Lane, lanes, path, round } from "../parts/charts.ts";
import { panel } from "../parts/panels.ts";
import { formatClock } from "../parts/times.ts";

const DAY = 86_400_000;
/** The database keeps the last hundred slots of a cron: one that has more a day cannot be drawn. */
const MOST_A_DAY = 100;
/** How many crons are drawn. */
const MOST_LANES = 12;

/** The slots of a cron in the day to come; undefined if there are too many to draw. */
export function slotsAhead(cron: CronState, now: Date): Date[] | undefined {
  if (cron.state !== "active") return [];
  return slotsBetween(cron, { now, until: new Date(now.getTime() + DAY), most: MOST_A_DAY });
}

/** What the crons did within a day, and what comes within one. */
export function lanesPanel(context: PageContext, crons: readonly CronState[], runs: readonly CronRun[]): Html | false {
  const { now } = context;
  const often: string[] = [];
  const shown: Lane[] = [];
  let left = 0;
  for (const cron of crons.filter(({ state }) => state !== "orphaned")) {
    const ahead = shown.length < MOST_LANES ? slotsAhead(cron, now) : null;
    if (ahead === undefined) often.push(cron.name);
    if (ahead === null) left++;
    if (!ahead) continue;
    const past = runs.filter(({ name, slot }) => name === cron.name && slot.getTime() > now.getTime() - DAY);
    shown.push(laneOf(cron, { past, ahead, now }));
  }
  if (shown.length === 0) return false;
  const notes = [
    "what ran, and what comes",
    ...(often.length > 0
      ? [`${often.slice(0, 3).join(", ")} ${often.length === 1 ? "comes" : "come"} too often to be drawn`]
      : []),
    ...(left > 0 ? [`${left} more are not drawn`] : []),
  ];
  const aside =
    markup`<span class="key small dim"><span><i class="c-plot"></i>ran</span><span><i class="c-bad"></i>failed</span><span><i class="c-later"></i>to come</span></span>`;
  return panel(
    { id: "lanes", live: "lanes-now", title: "A day back, a day ahead", note: notes.join("; "), aside },
    lanes(axisOf(now), shown),
  );
}

function axisOf(now: Date): string[] {
  const at = (offset: number) => new Date(now.getTime() + offset * DAY);
  const day = (offset: number) => `${at(offset).toUTCString().slice(0, 3)} ${formatClock(at(offset)).slice(0, 5)}`;
  const time = (offset: number) => formatClock(at(offset)).slice(0, 5);
  return [day(-1), time(-0.5), "now", time(0.5), day(1)];
}

function laneOf(
  { name, state, pausedSince }: CronState,
  { past, ahead, now }: { past: readonly CronRun[]; ahead: readonly Date[]; now: Date },
): Lane {
  const xOf = (time: Date) => round(50 + (time.getTime() - now.getTime()) / DAY * 50);
  const failed = past.filter(({ status }) => status === "failed");
  const done = past.filter(({ status }) => status !== "failed");
  const words = [
    ...(done.length > 0 ? [`${done.length} ran`] : []),
    ...(failed.length > 0 ? [`${failed.length} failed`] : []),
    ...(ahead.length > 0 ? [`${ahead.length} to come`] : []),
    ...(state === "paused" ? [pausedSince ? `paused since ${formatClock(pausedSince).slice(0, 5)}` : "paused"] : []),
  ];
  const note = words.join(", ") || "nothing within a day";
  return {
    name,
    label: `${name}: ${note}`,
    note,
    body: [
      path("c-plot", done.map(({ slot }) => `M${xOf(slot)} 2h.34v12h-.34z`).join("")),
      path("c-bad", failed.map(({ slot }) => `M${xOf(slot)} 0h.6v16h-.6z`).join("")),
      path("c-later", ahead.map((slot) => `M${xOf(slot)} 4h.34v8h-.34z`).join("")),
      path("l-now", "M50 0V16"),
    ],
  };
}
