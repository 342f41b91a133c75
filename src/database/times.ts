/** A time as PostgreSQL writes it in its ISO style: a `date`, a `timestamp` or a `timestamptz`, in a text or in JSON. */
const TIME =
  /^(\d{4,})-(\d\d)-(\d\d)(?:[ T](\d\d):(\d\d):(\d\d)(?:\.(\d+))?)?(?:([+-])(\d\d)(?::?(\d\d))?(?::?(\d\d))?)?( BC)?$/;
/** The furthest time from 1970 that a Date can hold, in milliseconds. */
const FURTHEST = 8.64e15;
const DAY = 86_400_000;
/** The years after which the calendar repeats itself, and their length. */
const [ERA_YEARS, ERA] = [400, 146_097 * DAY];

/**
 * Reads a time that the server has written. One that a Date cannot hold, `infinity` above all, becomes the furthest one
 * that it can; a text in another style becomes an invalid Date.
 */
export function parseTime(text: string): Date {
  // `new Date` reads these right, the years 1000 to 9999. It takes 0001 for 2001.
  if (text.charCodeAt(4) === 45 && text.charCodeAt(0) !== 48) {
    const date = new Date(text);
    if (!Number.isNaN(date.getTime())) return date;
  }
  if (text === "infinity" || text === "-infinity") return new Date(text === "infinity" ? FURTHEST : -FURTHEST);
  const [match, years, month, day, hours = "0", minutes = "0", seconds = "0", fraction = "", ...zone] =
    TIME.exec(text) ?? [];
  if (match === undefined) return new Date(NaN);
  const [sign, offsetHours = "0", offsetMinutes = "0", offsetSeconds = "0", bc] = zone;
  const year = bc ? 1 - Number(years) : Number(years);
  const offset = (Number(offsetHours) * 60 + Number(offsetMinutes)) * 60 + Number(offsetSeconds);
  const clock = (Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds);
  // Counted in a year that Date.UTC takes, as it takes none below 100 and none that a Date cannot hold.
  const eras = Math.floor((year - 2000) / ERA_YEARS);
  const days = Date.UTC(year - eras * ERA_YEARS, Number(month) - 1, Number(day)) + eras * ERA;
  const milliseconds = Number(fraction.padEnd(3, "0").slice(0, 3));
  return nearestDate(days + (clock - (sign === "-" ? -offset : offset)) * 1000 + milliseconds);
}

/** Makes a Date of milliseconds since 1970; of more than it can hold, the furthest one. */
export function nearestDate(milliseconds: number): Date {
  return new Date(Math.min(Math.max(milliseconds, -FURTHEST), FURTHEST));
}

/** Writes a time so that the server can read it, whatever its DateStyle. The furthest times become infinite again. */
export function formatTime(date: Date): string {
  const time = date.getTime();
  if (Math.abs(time) === FURTHEST) return time < 0 ? "-infinity" : "infinity";
  const text = date.toISOString();
  if (text.startsWith("+")) return text.slice(1).replace(/^0(?=\d{5})/, "");
  if (text.startsWith("-")) return `${String(1 - date.getUTCFullYear()).padStart(4, "0")}${text.slice(7)} BC`;
  return text.startsWith("0000") ? `0001${text.slice(4)} BC` : text;
}
