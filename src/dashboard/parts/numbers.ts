const GROUPED = new Intl.NumberFormat("en-US");

/** Formats a number with separators: `24,617`. */
export function formatNumber(number: number): string {
  return GROUPED.format(number);
}

/** Formats a count that was not counted further than `cap`: `10,000+`. */
export function formatCapped(count: number, cap: number): string {
  return count > cap ? `${formatNumber(cap)}+` : formatNumber(count);
}

/** Formats a large number, or an estimate, with three digits at most: `950`, `12.3k`, `1.0M`. */
export function formatRough(number: number): string {
  for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e3]] as const) {
    if (number >= size) return `${(number / size).toFixed(number < size * 100 ? 1 : 0)}${unit}`;
  }
  return String(Math.round(number));
}

/** Formats a part of a whole: `5.1%`, `0.07%`; `–` of nothing. */
export function formatShare(part: number, whole: number): string {
  if (whole === 0) return "–";
  const percent = part / whole * 100;
  if (percent === 0 || percent >= 9.95) return `${Math.round(percent)}%`;
  return `${Number(percent.toFixed(percent < 0.095 ? 2 : 1))}%`;
}

/** Formats a number of bytes: `214 MB`, `1.2 GB`. */
export function formatBytes(bytes: number): string {
  return bytes < 1e9 ? `${Math.round(bytes / 1e6)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}

/** A number and what it counts: `1 task`, `212 tasks`. */
export function amount(number: number, noun: string, plural = `${noun}s`): string {
  return `${formatNumber(number)} ${number === 1 ? noun : plural}`;
}
