const UNITS: [name: string, seconds: number][] = [["d", 86_400], ["h", 3_600], ["m", 60], ["s", 1]];

/** Formats a duration: `340 µs`, `12 ms`, `4.2 s`, `3m 20s`, `2d 4h`. */
export function formatSeconds(seconds: number): string {
  if (seconds < 0.001) return `${Math.round(seconds * 1e6)} µs`;
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 59.95) return `${Number(seconds.toFixed(1))} s`;
  return formatWhole(Math.round(seconds));
}

/** Formats a number of whole seconds, at least 1, in its two largest units; what is left is cut off. */
function formatWhole(seconds: number): string {
  const first = UNITS.findIndex(([, length]) => seconds >= length);
  const [name, length] = UNITS[first]!;
  const [nextName, nextLength] = UNITS[first + 1] ?? ["", Infinity];
  const rest = Math.floor(seconds % length / nextLength);
  return `${Math.floor(seconds / length)}${name}${rest > 0 ? ` ${rest}${nextName}` : ""}`;
}

/** Formats a time relative to this machine's clock, in up to two units: `3m 20s ago`, `in 1h 59m`. */
export function formatAge(time: Date, now: number = Date.now()): string {
  const seconds = (now - time.getTime()) / 1000;
  if (!Number.isFinite(seconds)) return "never";
  const whole = Math.floor(Math.abs(seconds));
  if (whole < 1) return "now";
  const amount = formatWhole(whole);
  return seconds > 0 ? `${amount} ago` : `in ${amount}`;
}

/** Formats a time in this machine's time zone: `2026-12-24 18:30:00`. */
export function formatTime(time: Date): string {
  const two = (number: number) => String(number).padStart(2, "0");
  const date = [time.getFullYear(), two(time.getMonth() + 1), two(time.getDate())].join("-");
  return `${date} ${formatClock(time)}`;
}

/** Formats the time of day in this machine's time zone: `18:30:00`. */
export function formatClock(time: Date): string {
  return [time.getHours(), time.getMinutes(), time.getSeconds()].map((part) => String(part).padStart(2, "0")).join(":");
}
