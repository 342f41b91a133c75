import { Buffer } from "node:buffer";
import { type Html, join, markup, type Part } from "../html.ts";

/** The most values, letters of a text and levels that a page shows. */
const [MAX_VALUES, MAX_TEXT, MAX_DEPTH] = [2_000, 4_000, 30];

/** Writes a value as JSON with colors. A value that JSON does not have is followed by its type. */
export function valueMarkup(value: unknown): Html {
  return markup`${new Writer().write(value, 0)}`;
}

/** Writes the arguments of a task, one a line with its place. */
export function argumentsMarkup(args: unknown): Html {
  if (!Array.isArray(args) || args.length === 0) return valueMarkup(args);
  const writer = new Writer();
  const lines = args.map((arg, index) =>
    markup`  <b>${index}:</b> ${writer.write(arg, 1)}${index < args.length - 1 ? "," : ""}\n`
  );
  return markup`[\n${lines}]`;
}

class Writer {
  #left = MAX_VALUES;
  readonly #path = new Set<object>();

  write(value: unknown, depth: number): Part {
    if (this.#left-- <= 0) return remark("…");
    if (typeof value !== "object" || value === null) return primitive(value);
    if (this.#path.has(value)) return remark("circular");
    if (depth > MAX_DEPTH) return remark("too deep to show");
    this.#path.add(value);
    try {
      return this.#object(value, depth);
    } finally {
      this.#path.delete(value);
    }
  }

  #object(value: object, depth: number): Part {
    if (value instanceof Date) {
      const text = Number.isNaN(value.getTime()) ? "invalid" : value.toISOString();
      return typed(text, "Date");
    }
    if (value instanceof RegExp) return typed(String(value), "RegExp");
    if (value instanceof Error) return typed(`${value.name}: ${value.message}`, value.name);
    if (value instanceof Blob) return typed(`${value.size} bytes`, "Blob");
    if (value instanceof ArrayBuffer) return bytes(new Uint8Array(value), "ArrayBuffer");
    if (ArrayBuffer.isView(value)) {
      return bytes(new Uint8Array(value.buffer, value.byteOffset, value.byteLength), nameOf(value));
    }
    if (value instanceof Map) {
      const parts = [...value].map(([key, part]) =>
        markup`${this.write(key, depth + 1)} => ${this.write(part, depth + 1)}`
      );
      return markup`${block(["{", "}"], parts, { depth })} ${remark("Map")}`;
    }
    if (value instanceof Set) {
      return markup`${block(["[", "]"], [...value].map((part) => this.write(part, depth + 1)), { depth })} ${
        remark("Set")
      }`;
    }
    if (value instanceof Number || value instanceof String || value instanceof Boolean) {
      return markup`${primitive(value.valueOf())} ${remark(nameOf(value))}`;
    }
    if (Array.isArray(value)) {
      if (isShort(value)) return markup`[${join(value.map((part) => this.write(part, depth + 1)), ", ")}]`;
      return block(["[", "]"], Array.from(value, (part) => this.write(part, depth + 1)), { depth });
    }
    const parts = Object.entries(value).map(([key, part]) =>
      markup`${JSON.stringify(key)}: ${this.write(part, depth + 1)}`
    );
    return block(["{", "}"], parts, { depth });
  }
}

/** Whether a list is shown on one line: a few numbers or short words. */
function isShort(list: readonly unknown[]): boolean {
  return list.length > 0 && list.length <= 12 &&
    list.every((part) =>
      typeof part === "number" || typeof part === "boolean" || (typeof part === "string" && part.length <= 12)
    );
}

/** Parts on lines of their own. */
function block(
  [open, close]: readonly [open: string, close: string],
  parts: readonly Part[],
  { depth }: { depth: number },
): Html {
  if (parts.length === 0) return markup`${open}${close}`;
  const indent = "  ".repeat(depth + 1);
  const lines = parts.map((part, index) => markup`${indent}${part}${index < parts.length - 1 ? "," : ""}\n`);
  return markup`${open}\n${lines}${"  ".repeat(depth)}${close}`;
}

function primitive(value: unknown): Part {
  switch (typeof value) {
    case "string":
      return markup`<i>${text(value)}</i>`;
    case "number":
      return Number.isFinite(value) && !Object.is(value, -0)
        ? markup`<u>${value}</u>`
        : typed(Object.is(value, -0) ? "-0" : String(value), "number");
    case "bigint":
      return typed(String(value), "bigint");
    case "undefined":
      return remark("undefined");
    case "symbol":
    case "function":
      return remark(typeof value);
    default:
      return markup`<u>${String(value)}</u>`;
  }
}

function text(value: string): string {
  if (value.length <= MAX_TEXT) return JSON.stringify(value);
  return `${JSON.stringify(value.slice(0, MAX_TEXT)).slice(0, -1)}… (${value.length} characters)`;
}

function typed(shown: string, type: string): Html {
  return markup`<i>${text(shown)}</i> ${remark(type)}`;
}

function bytes(value: Uint8Array, type: string): Html {
  const shown = Buffer.from(value.subarray(0, 96)).toString("base64");
  return markup`<i>"${shown}${value.length > 96 ? "…" : ""}"</i> ${
    remark(`${type} of ${value.length} bytes, in Base64`)
  }`;
}

function nameOf(value: object): string {
  return Object.prototype.toString.call(value).slice(8, -1);
}

function remark(word: string): Html {
  return markup`<b>${word}</b>`;
}
