import { toText } from "./thrown.ts";

/** A number of seconds, or text with a unit: `90`, `"1500ms"`, `"30s"`, `"5m"`, `"2h"`, `"7d"`. */
export type Duration = number | `${number}${"ms" | "s" | "m" | "h" | "d"}`;

const UNITS: Record<string, number> = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86400 };
const PATTERN = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/;

/**
 * Converts a duration to seconds.
 *
 * @param subject The name of the option, for the error message: `Cannot read "timeout"`.
 * @throws {RangeError} If it is negative, not finite, or text without a known unit.
 */
export function toSeconds(duration: Duration, subject: string): number {
  if (typeof duration === "number") {
    if (Number.isFinite(duration) && duration >= 0) return duration;
  } else if (typeof duration === "string") {
    const match = PATTERN.exec(duration);
    if (match) return Number(match[1]) * UNITS[match[2]!]!;
  }
  throw new RangeError(
    `Cannot read "${subject}" as it must be a number of seconds or text such as "500ms", "30s", "5m", "2h" or "7d": current value is ${
      typeof duration === "string" ? JSON.stringify(duration) : toText(duration) ?? "a value that cannot be read"
    }`,
  );
}

/** Converts a duration to milliseconds: see {@linkcode toSeconds}. */
export function toMilliseconds(duration: Duration, subject: string): number {
  return toSeconds(duration, subject) * 1000;
}
