const UNITS: [name: string, seconds: number][] = [["d", 86_400], ["h", 3_600], ["m", 60], ["s", 1]];

/** Formats a duration: `340 µs`, `12 ms`, `4.2 s`, `3m 20s`, `2d 4h`. */
export function formatSeconds(seconds: number): string {
  if (seconds < 0.001) return `${Math.round(seconds * 1e6)} µs`;
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 59.95) return `${Number(seconds.toFixed(1))} s`;
  const rounded = Math.round(seconds);
  const first = UNITS.findIndex(([, length]) => rounded >= length);
  const [name, length] = UNITS[first]!;
  const [nextName, nextLength] = UNITS[first + 1] ?? ["", Infinity];
  const rest = Math.floor(rounded % length / nextLength);
  return `${Math.floor(rounded / length)}${name}${rest > 0 ? ` ${rest}${nextName}` : ""}`;
}

/** Formats a time relative to this machine's clock: `3m ago`, `in 2h`. */
export function formatAge(time: Date, now: number = Date.now()): string {
  const seconds = (now - time.getTime()) / 1000;
  if (Math.abs(seconds) < 1) return "now";
  const [name, length] = UNITS.find(([, length]) => Math.abs(seconds) >= length)!;
  const amount = `${Math.floor(Math.abs(seconds) / length)}${name}`;
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
