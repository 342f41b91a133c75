/**
 * Characters that a terminal or log viewer would act on instead of showing: control characters, line separators, marks
 * that change the direction of text, and unpaired surrogates.
 */
const UNSAFE = /[\p{Cc}\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]|\p{Cs}/gu;
const SHORT: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** Makes `text` one line that is safe to print: names and messages come from anyone who may schedule tasks. */
export function escapeLine(text: string): string {
  return text.replace(UNSAFE, (unit) => SHORT[unit] ?? escapeUnit(unit));
}

/** Makes `text` safe to print, keeping its lines. */
export function escapeLines(text: string): string {
  return text.split(/\r?\n/).map(escapeLine).join("\n");
}

/** Makes JSON text safe to print. Characters left to escape are inside strings, where `\u` is valid. */
export function escapeJson(json: string): string {
  return json.replace(UNSAFE, (unit) => `\\u${hex(unit, 4)}`);
}

function escapeUnit(unit: string): string {
  return unit.charCodeAt(0) < 0x100 ? `\\x${hex(unit, 2)}` : `\\u${hex(unit, 4)}`;
}

function hex(unit: string, digits: number): string {
  return unit.charCodeAt(0).toString(16).padStart(digits, "0");
}
