import { toText } from "./thrown.ts";

/**
 * A number of seconds, or text with a unit: `90`, `"1500ms"`, `"30s"`, `"5m"`, `"2h"`, `"7d"`. A bare number is never
 * milliseconds: `5000` is 83 minutes. At most 365250 days (1,000 years), but for delays before a retry.
 */
export type Duration = number | `${number}${"ms" | "s" | "m" | "h" | "d"}`;

const UNITS: Record<string, number> = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86400 };
/** What the type accepts: whatever converts to a number, such as `1e3` or `5` with a space behind it, and a unit. */
const PATTERN = /^([^]*?\S[^]*?)(ms|s|m|h|d)$/;
/** The longest duration but for retries, in seconds. The columns of the database have the same limit. */
const LONGEST = 365_250 * 86_400;

/**
 * Converts a duration to seconds.
 *
 * @param subject The name of the option, for the error message: `Cannot read "timeout"`.
 * @throws {RangeError} If it is negative, not finite, too long, or text without a known unit.
 */
export function toSeconds(duration: Duration, subject: string): number {
  const seconds = toRetrySeconds(duration, subject);
  if (seconds <= LONGEST) return seconds;
  throw new RangeError(
    `Cannot read "${subject}" as it must be at most 365250 days: current value is ${show(duration)}`,
  );
}

/**
 * Converts the delay before a retry to seconds: see {@linkcode toSeconds}. It may be of any length, since a statement that
 * settles an attempt must not fail: it shortens the delay.
 */
export function toRetrySeconds(duration: Duration, subject: string): number {
  const seconds = typeof duration === "string" ? parse(duration) : duration;
  if (typeof seconds === "number" && seconds >= 0 && seconds < Infinity) return seconds + 0; // -0 becomes 0
  throw new RangeError(
    `Cannot read "${subject}" as it must be a number of seconds or text such as "500ms", "30s", "5m", "2h" or "7d": current value is ${
      show(duration)
    }`,
  );
}

function show(duration: unknown): string {
  return typeof duration === "string" ? JSON.stringify(duration) : toText(duration) ?? "a value that cannot be read";
}

function parse(text: string): number {
  const [, number, unit] = PATTERN.exec(text) ?? [];
  return number === undefined ? NaN : Number(number) * UNITS[unit!]!;
}

/** Converts a duration to milliseconds: see {@linkcode toSeconds}. */
export function toMilliseconds(duration: Duration, subject: string): number {
  return toSeconds(duration, subject) * 1000;
}
