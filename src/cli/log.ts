import process from "node:process";
import { escapeLine, escapeLines } from "./escape.ts";
import { toJsonSync } from "./json.ts";
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

const STYLES: Readonly<Record<Level, Style>> = { debug: "dim", info: "green", warn: "yellow", error: "red" };
const LEAST: Readonly<Record<string, number>> = { verbose: 0, normal: 1, quiet: 2 };
const LEVELS: readonly Level[] = ["debug", "info", "warn", "error"];
/** The width of the longest event of an attempt. */
const EVENT_WIDTH = 9;

/** A consumer's log on stderr, one line per entry: for people on a terminal, else JSON. */
export class Log {
  readonly #terminal: Terminal;
  /** Whether entries are readable lines; otherwise they are JSON. */
  readonly #isPretty: boolean;
  #lines: string[] = [];

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
    this.#isPretty = Boolean(process.stderr.isTTY) && !terminal.wantsJson;
    process.on("exit", () => this.flush());
  }

  /** Adds an entry. Entries of one event loop turn are written together. */
  add(entry: Entry): void {
    if (LEVELS.indexOf(entry.level) < LEAST[this.#terminal.verbosity]!) return;
    if (this.#lines.length === 0) setImmediate(() => this.flush());
    this.#lines.push(this.#isPretty ? this.#pretty(entry) : this.#json(entry));
  }

  /** Writes all entries that are not written yet. */
  flush(): void {
    if (this.#lines.length > 0) process.stderr.write(this.#lines.splice(0).map((line) => `${line}\n`).join(""));
  }

  #pretty({ level, event, subject, text, error, withStack }: Entry): string {
    const style = (style: Style, text: string) => this.#terminal.styleError(style, escapeLine(text));
    const words = [
      style("dim", formatClock(new Date())),
      style(STYLES[level], event.padEnd(EVENT_WIDTH)),
      ...(subject ? [style("bold", subject)] : []),
      ...(text ? [escapeLine(text)] : []),
    ];
    const stack = error !== undefined && (withStack || this.#terminal.verbosity === "verbose") ? stackOf(error) : "";
    const shown = stack ? `\n${this.#terminal.styleError("dim", escapeLines(stack))}` : "";
    return words.join("  ") + shown;
  }

  #json({ level, event, text, error, withStack, fields }: Entry): string {
    const verbose = withStack || this.#terminal.verbosity === "verbose";
    return toJsonSync({
      time: new Date(),
      level,
      event,
      ...(text ? { message: text } : {}),
      ...fields,
      ...(error === undefined ? {} : { error: describeFields(error, verbose) }),
    });
  }
}

function describeFields(error: unknown, withStack: boolean): object {
  const { name, message } = partsOf(error);
  return { name, message, ...(withStack && isError(error) ? { stack: stackOf(error) } : {}) };
}
