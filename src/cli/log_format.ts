import process from "node:process";
import type { Arguments } from "./arguments.ts";
import { usageError } from "./arguments.ts";
import { escapeLine } from "./escape.ts";
import { toJsonSync } from "./json.ts";
import type { Terminal } from "./terminal.ts";

/** How the lines of a consumer's log are written: for people, as JSON, or as `name=value`. */
export type LogFormat = "pretty" | "json" | "logfmt";

const FORMATS: readonly string[] = ["pretty", "json", "logfmt"];

/** The format that `--log-format` asks for; without it, for people on a terminal, else JSON. */
export function logFormatOf(args: Arguments, terminal: Terminal): LogFormat {
  const given = args.text("log-format");
  if (given === undefined) return process.stderr.isTTY && !terminal.wantsJson ? "pretty" : "json";
  if (FORMATS.includes(given)) return given as LogFormat;
  throw usageError("consume", `--log-format must be pretty, json or logfmt: current value is "${given}"`);
}

/** Writes fields as `name=value`, with quotes where a value needs them; what is nested is written as JSON. */
export function toLogfmt(fields: Readonly<Record<string, unknown>>): string {
  return Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name.replaceAll(/[\s="]/g, "_")}=${valueOf(value)}`)
    .join(" ");
}

function valueOf(value: unknown): string {
  if (value instanceof Date) return value.toISOString();
  const text = typeof value === "string" ? value : toJsonSync(value);
  return /^[^\s="\\]+$/.test(text) ? escapeLine(text) : JSON.stringify(escapeLine(text));
}
