const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const SHORT = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const NICKNAMES: Readonly<Record<string, string>> = {
  "@yearly": "0 0 1 1 *",
  "@annually": "0 0 1 1 *",
  "@monthly": "0 0 1 * *",
  "@weekly": "0 0 * * 0",
  "@daily": "0 0 * * *",
  "@hourly": "0 * * * *",
};

/**
 * Says when a cron is due: `At 03:00, every day`. Returns undefined for an expression that it has no words for, which is
 * then shown as it is.
 */
export function describeCron(expression: string): string | undefined {
  const clean = expression.trim().replace(/\s+/g, " ");
  const fields = (NICKNAMES[clean.toLowerCase()] ?? clean).split(" ");
  const [second, minute, hour, day, month, weekday] = fields.length === 6 ? fields : ["0", ...fields];
  if (minute === undefined || hour === undefined || month !== "*" || weekday === undefined) return undefined;
  const days = daysOf(day!, weekday);
  if (days === undefined) return undefined;
  if (second !== "0" && second !== "00") {
    const every = minute === "*" && hour === "*" && days === "" ? stepOf(second!, "second") : undefined;
    return every;
  }
  if (hour === "*") {
    const every = stepOf(minute, "minute") ?? (isNumber(minute) ? hourly(Number(minute)) : undefined);
    return every && every + (days === "" ? "" : `, ${days}`);
  }
  const hours = /^\*\/\d+$/.test(hour) && isNumber(minute) ? stepOf(hour, "hour") : undefined;
  if (hours) {
    return `${hours}${Number(minute) === 0 ? "" : `, at minute ${Number(minute)}`}${days === "" ? "" : `, ${days}`}`;
  }
  if (!isNumber(minute) || !hour.split(",").every(isNumber)) return undefined;
  const times = hour.split(",").map((hour) => `${hour.padStart(2, "0")}:${minute.padStart(2, "0")}`);
  return `At ${listed(times)}, ${days === "" ? "every day" : days}`;
}

function hourly(minute: number): string {
  return minute === 0 ? "Every hour" : `At minute ${minute} of every hour`;
}

/** `Every 15 minutes` of a field that is `*` or a step. */
function stepOf(field: string, unit: string): string | undefined {
  if (field === "*") return `Every ${unit}`;
  const [, step] = /^\*\/(\d+)$/.exec(field) ?? [];
  if (step === undefined) return undefined;
  return Number(step) === 1 ? `Every ${unit}` : `Every ${Number(step)} ${unit}s`;
}

/** The words of the days; empty for every day, undefined for those without words. */
function daysOf(day: string, weekday: string): string | undefined {
  if (day === "*" || day === "?") return weekday === "*" || weekday === "?" ? "" : weekdaysOf(weekday);
  if (weekday !== "*" && weekday !== "?") return undefined;
  if (day.toUpperCase() === "L") return "on the last day of the month";
  return isNumber(day) ? `on day ${Number(day)} of the month` : undefined;
}

function weekdaysOf(weekday: string): string | undefined {
  const [, first, last] = /^(\w+)-(\w+)$/.exec(weekday) ?? [];
  if (first !== undefined) {
    const [from, to] = [dayOf(first), dayOf(last!)];
    return from && to && `${from} to ${to}`;
  }
  const days = weekday.split(",").map(dayOf);
  return days.every((day) => day !== undefined) ? `on ${listed(days)}` : undefined;
}

function dayOf(word: string): string | undefined {
  return isNumber(word) ? DAYS[Number(word)] : DAYS[SHORT.indexOf(word.toUpperCase())];
}

function listed(words: readonly string[]): string {
  return words.length === 1 ? words[0]! : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}

function isNumber(field: string): boolean {
  return /^\d{1,2}$/.test(field);
}
