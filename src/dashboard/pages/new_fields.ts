import { toSeconds } from "../../duration.ts";
import { attr, type Html, markup, type Part } from "../html.ts";
import { readTime } from "../task_query.ts";

/** A field of a form, with what is wrong with its value. */
export interface FieldOptions {
  readonly name: string;
  readonly label: Part;
  readonly value: string;
  readonly hint?: Part;
  readonly problem?: string | undefined;
  readonly placeholder?: string;
  readonly list?: string;
  readonly isRequired?: boolean;
  readonly isNumber?: boolean;
  /** The lines of a text; without it, the field is one line. */
  readonly rows?: number;
}

/** A field with its label, and below it what is wrong with the value that was sent, or a hint. */
export function field(
  { name, label, value, hint, problem, placeholder, list, isRequired = false, isNumber = false, rows }: FieldOptions,
): Html {
  const note = problem ?? hint;
  const shared = markup`id="f-${name}" name="${name}"${attr("placeholder", placeholder)}${
    attr("required", isRequired)
  }${attr("aria-invalid", problem !== undefined && "true")}${
    attr("aria-describedby", note !== undefined && `n-${name}`)
  } autocomplete="off" spellcheck="false"`;
  const control = rows === undefined
    ? markup`<input ${shared}${attr("list", list)}${attr("inputmode", isNumber && "numeric")} value="${value}">`
    // The first line break of a text is no part of it.
    : markup`<textarea ${shared} rows="${rows}">
${value}</textarea>`;
  return markup`<div class="field"><label for="f-${name}">${label}</label>${control}${
    note !== undefined &&
    markup`<span class="small ${problem === undefined ? "dim" : "bad"}" id="n-${name}">${note}</span>`
  }</div>`;
}

/** When a task is to run: after a delay in seconds, or at a time; `undefined` where nothing was said. */
export type When = { readonly delay: number } | { readonly notBefore: Date } | undefined;

/** Reads when a task is to run: `now`, `10m` from now, or a time in UTC. Returns a sentence where it cannot. */
export function readWhen(text: string, now: Date): When | string {
  if (text === "") return undefined;
  if (text === "now") return { delay: 0 };
  if (/^\d+(\.\d+)?(ms|s|m|h|d)$/.test(text)) {
    try {
      return { delay: toSeconds(text as `${number}m`, "Not before") };
    } catch (error) {
      return (error as Error).message;
    }
  }
  const time = /^\d{4}-/.test(text) ? readTime(text, now) : undefined;
  return time ? { notBefore: time } : "Write now, 10m, 2h, or a time in UTC such as 2026-12-24 18:30";
}

/** Reads a priority. Returns a sentence where it cannot. */
export function readPriority(text: string): number | undefined | string {
  if (text === "") return undefined;
  const priority = /^[+-]?\d{1,10}$/.test(text) ? Number(text) : NaN;
  return Math.abs(priority) <= 2_147_483_647 ? priority : "A priority is an integer: higher priorities run first";
}
