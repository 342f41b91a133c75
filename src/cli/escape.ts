/**
 * What a terminal or a reader of logs would obey instead of show: control characters, line separators, marks that turn
 * the direction of text, and halves of surrogate pairs.
 */
const UNSAFE = /[\p{Cc}\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]|\p{Cs}/gu;
const SHORT: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** `text` as one line that is safe to show: names and messages are written by whoever may schedule tasks. */
export function escapeLine(text: string): string {
  return text.replace(UNSAFE, (unit) => SHORT[unit] ?? escapeUnit(unit));
}

/** `text` as lines that are safe to show. */
export function escapeLines(text: string): string {
  return text.split(/\r?\n/).map(escapeLine).join("\n");
}

/** JSON text that is safe to show. What is left to escape in it stands within strings, where `\u` is allowed. */
export function escapeJson(json: string): string {
  return json.replace(UNSAFE, (unit) => `\\u${hex(unit, 4)}`);
}

function escapeUnit(unit: string): string {
  return unit.charCodeAt(0) < 0x100 ? `\\x${hex(unit, 2)}` : `\\u${hex(unit, 4)}`;
}

function hex(unit: string, digits: number): string {
  return unit.charCodeAt(0).toString(16).padStart(digits, "0");
}
