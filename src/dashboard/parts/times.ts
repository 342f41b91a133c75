import { formatAge } from "../../times.ts";
import { attr, type Html, markup } from "../html.ts";

/** From how many milliseconds on a time is shown as a date. */
const DAY = 86_400_000;

/** Formats a time in UTC: `2026-11-29 14:31:59 UTC`. */
export function formatUtc(time: Date): string {
  return Number.isFinite(time.getTime()) ? `${time.toISOString().slice(0, 19).replace("T", " ")} UTC` : "never";
}

/** Formats the time of day in UTC: `14:31:59`. */
export function formatClock(time: Date): string {
  return formatUtc(time).slice(11, 19);
}

/**
 * A time as an age by the database's clock, `9s ago` or `in 2h`, whose title is the time itself. Further away than a
 * day it is a date. The script lets ages grow.
 */
export function age(time: Date | null, now: Date): Html {
  return timeElement(time, now, () => formatAge(time!, now.getTime()), true);
}

/** A time as the time of day, whose title is the whole; further away than a day it is a date. */
export function moment(time: Date | null, now: Date): Html {
  return timeElement(time, now, () => formatClock(time!));
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

function timeElement(time: Date | null, now: Date, format: () => string, grows = false): Html {
  if (time === null || !Number.isFinite(time.getTime())) return markup`<span class="dim">–</span>`;
  const far = Math.abs(now.getTime() - time.getTime()) >= DAY;
  const text = far ? formatDay(time, now) : format();
  const mark = attr("data-age", grows && !far);
  return markup`<time datetime="${time.toISOString()}" title="${formatUtc(time)}"${mark}>${text}</time>`;
}

/** `Nov 29`, or `Nov 29, 2024` in another year. */
export function formatDay(time: Date, now: Date): string {
  const day = `${MONTHS[time.getUTCMonth()]} ${time.getUTCDate()}`;
  return time.getUTCFullYear() === now.getUTCFullYear() ? day : `${day}, ${time.getUTCFullYear()}`;
}
