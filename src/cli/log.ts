import process from "node:process";
import { escapeLine, escapeLines } from "./escape.ts";
import { toJsonSync } from "./json.ts";
import { type LogFormat, toLogfmt } from "./log_format.ts";
import { LEVEL_STYLES } from "./log_page.ts";
import { stackOf, type Style, type Terminal } from "./terminal.ts";
import { formatClock } from "../times.ts";
import { isError, partsOf } from "../thrown.ts";

/** The severity of an entry. */
export type Level = "debug" | "info" | "warn" | "error";

/** One entry of a consumer's log. */
export interface Entry {
  readonly level: Level;
  /** The event, in one word. */
  readonly event: string;
  /** The task or object that it concerns, such as `math.add #12`. */
  readonly subject?: string;
  /** The details, for people. */
  readonly text?: string;
  /** The error that caused it. */
  readonly error?: unknown;
  /** Shows the error's stack even if the log is not verbose: it is recorded nowhere else. */
  readonly withStack?: boolean;
  /** The details, for machines. */
  readonly fields?: object;
}

const LEAST: Readonly<Record<string, number>> = { verbose: 0, normal: 1, quiet: 2 };
const LEVELS: readonly Level[] = ["debug", "info", "warn", "error"];
/** The width of the longest event of an attempt. */
const EVENT_WIDTH = 9;

/** A consumer's log on stderr, one line per entry. */
export class Log {
  readonly #terminal: Terminal;
  readonly #format: LogFormat;
  #lines: string[] = [];

  constructor(terminal: Terminal, format: LogFormat) {
    this.#terminal = terminal;
    this.#format = format;
    process.on("exit", () => this.flush());
  }

  /** Adds an entry. Entries of one event loop turn are written together. */
  add(entry: Entry): void {
    if (LEVELS.indexOf(entry.level) < LEAST[this.#terminal.verbosity]!) return;
    if (this.#lines.length === 0) setImmediate(() => this.flush());
    this.#lines.push(this.#write(entry));
  }

  /** Writes all entries that are not written yet. */
  flush(): void {
    if (this.#lines.length > 0) process.stderr.write(this.#lines.splice(0).map((line) => `${line}\n`).join(""));
  }

  #write(entry: Entry): string {
    if (this.#format === "pretty") return this.#pretty(entry);
    const fields = this.#fieldsOf(entry);
    return this.#format === "json" ? toJsonSync(fields) : toLogfmt(flatten(fields));
  }

  #pretty({ level, event, subject, text, error, withStack }: Entry): string {
    const style = (style: Style, text: string) => this.#terminal.styleError(style, escapeLine(text));
    const words = [
      style("dim", formatClock(new Date())),
      style(LEVEL_STYLES[level], event.padEnd(EVENT_WIDTH)),
      ...(subject ? [style("bold", subject)] : []),
      ...(text ? [escapeLine(text)] : []),
    ];
    const stack = error !== undefined && (withStack || this.#terminal.verbosity === "verbose") ? stackOf(error) : "";
    const shown = stack ? `\n${this.#terminal.styleError("dim", escapeLines(stack))}` : "";
    return words.join("  ") + shown;
  }

  #fieldsOf({ level, event, text, error, withStack, fields }: Entry): Record<string, unknown> {
    const verbose = withStack || this.#terminal.verbosity === "verbose";
    return {
      time: new Date(),
      level,
      event,
      ...(text ? { message: text } : {}),
      ...fields,
      ...(error === undefined ? {} : { error: describeFields(error, verbose) }),
    };
  }
}

/** The error and the fields of a handler's line, each with a name of its own: `error.message`. */
function flatten(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).flatMap(([name, value]) =>
      (name === "error" || name === "fields") && typeof value === "object" && value !== null
        ? Object.entries(value).map(([part, value]) => [`${name}.${part}`, value])
        : [[name, value]]
    ),
  );
}

function describeFields(error: unknown, withStack: boolean): object {
  const { name, message } = partsOf(error);
  return { name, message, ...(withStack && isError(error) ? { stack: stackOf(error) } : {}) };
}
