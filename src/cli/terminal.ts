import process from "node:process";
import { createInterface } from "node:readline";
import type { WriteStream } from "node:tty";
import { inspect, styleText } from "node:util";
import { FireflyError } from "../errors.ts";
import { Redactor } from "../privacy/redaction.ts";
import { escapeLine } from "./escape.ts";
import { toJson } from "./json.ts";
import { isError, isInstance, partsOf } from "../thrown.ts";

/** A style of `node:util`'s styleText. */
export type Style = Parameters<typeof styleText>[0];

/** How much to print on stderr. */
export type Verbosity = "quiet" | "normal" | "verbose";

/** The longest that the process may outlive its command, in milliseconds: a task module may keep it open. */
const LINGER = 500;

/** Writes to stdout, also after {@linkcode confineUserCode}: this module is loaded before any module of the user. */
const writeOut: (text: string, written?: () => void) => boolean = process.stdout.write.bind(process.stdout);

/** The exit codes of a process that a signal ends. */
const SIGNAL_CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/** Erases the cursor's line. */
const ERASE_LINE = "\u001b[2K";

/** Prints a command's data on stdout and everything else on stderr. */
export class Terminal {
  /** Whether to print data as JSON, one value per line: with `--json`, or without `--table` if stdout is not a terminal. */
  readonly json: boolean;
  /** How much to print on stderr. */
  readonly verbosity: Verbosity;
  /** Whether `--json` was given. */
  readonly wantsJson: boolean;
  /** Redacts sensitive values: by the default list until the configuration is read. */
  redactor: Redactor = new Redactor();

  constructor({ json, table, verbosity }: { json: boolean; table: boolean; verbosity: Verbosity }) {
    this.wantsJson = json;
    this.json = json || !table && !process.stdout.isTTY;
    this.verbosity = verbosity;
  }

  /** The width of stdout, in columns. A pipe has that of COLUMNS, as `watch` sets it, else no limit. */
  get width(): number {
    if (process.stdout.isTTY) return process.stdout.columns || 80;
    return Number(process.env.COLUMNS) || Infinity;
  }

  /** The height of stdout, in lines. A pipe has no limit. */
  get height(): number {
    return process.stdout.isTTY ? process.stdout.rows || 24 : Infinity;
  }

  /** Whether the cursor of stdout can be moved. */
  get canMove(): boolean {
    return Boolean(process.stdout.isTTY) && process.env.TERM !== "dumb";
  }

  /** Styles text for stdout, if it takes colors. */
  style(style: Style, text: string): string {
    return paint(process.stdout, style, text);
  }

  /** Styles text for stderr, if it takes colors. */
  styleError(style: Style, text: string): string {
    return paint(process.stderr, style, text);
  }

  /** Prints a line on stdout. Waits while the reader is behind. */
  async print(line: string): Promise<void> {
    await this.write(`${line}\n`);
  }

  /** Writes text on stdout as it is. Waits while the reader is behind. */
  async write(text: string): Promise<void> {
    if (writeOut(text)) return;
    await new Promise((resolve) => process.stdout.once("drain", resolve));
  }

  /** Prints a value on stdout as a line of JSON, redacted. */
  async printJson(value: unknown): Promise<void> {
    await this.print(await toJson(this.redactor.redact(value)));
  }

  /** Prints a note on stderr, unless `--quiet` was given. */
  note(message: string): void {
    if (this.verbosity !== "quiet") process.stderr.write(`${this.styleError("dim", escapeLine(message))}\n`);
  }

  /** Prints a warning on stderr. */
  warn(message: string): void {
    process.stderr.write(`${this.styleError("yellow", "warning:")} ${escapeLine(message)}\n`);
  }

  /** Prints an error on stderr in one line, with the stack if `--verbose` was given. */
  printError(problem: unknown): void {
    const error = this.redactor.redact(problem);
    const message = typeof error === "string" ? error : describe(error);
    process.stderr.write(`${this.styleError(["red", "bold"], "error:")} ${escapeLine(message)}\n`);
    const stack = this.verbosity === "verbose" ? stackOf(error) : "";
    if (stack) process.stderr.write(`${this.styleError("dim", stack)}\n`);
  }

  /** Whether {@linkcode redraw} can replace a line on stderr. */
  get canRedraw(): boolean {
    return Boolean(process.stderr.isTTY) && process.env.TERM !== "dumb" && this.verbosity !== "quiet";
  }

  /** Replaces the current line on stderr; with empty text, erases it. */
  redraw(line: string): void {
    process.stderr.write(`\r${ERASE_LINE}${line}`);
  }

  /** Whether a user can answer {@linkcode confirm}. */
  get canAsk(): boolean {
    return Boolean(process.stdin.isTTY && process.stderr.isTTY);
  }

  /**
   * Asks a yes-or-no question on the terminal; the default is no. The end of input (Ctrl-D) is a no, and a signal (Ctrl-C)
   * ends the process.
   */
  async confirm(question: string): Promise<boolean> {
    const readline = createInterface({ input: process.stdin, output: process.stderr });
    // Closing the reader gives the terminal its mode back; the default action of a signal would not.
    const onSignal = (code: number) => () => {
      readline.close();
      process.stderr.write("\n");
      process.exit(code);
    };
    const handlers = Object.entries(SIGNAL_CODES).map(([signal, code]) => [signal, onSignal(code)] as const);
    for (const [signal, handler] of handlers) process.on(signal, handler);
    readline.on("SIGINT", onSignal(SIGNAL_CODES.SIGINT));
    const answer = await new Promise<string | undefined>((resolve) => {
      readline.on("close", () => resolve(undefined));
      readline.question(`${escapeLine(question)} [y/N] `, resolve);
    });
    readline.close();
    for (const [signal, handler] of handlers) process.off(signal, handler);
    if (answer === undefined) process.stderr.write("\n");
    return /^y(es)?$/i.test(answer?.trim() ?? "");
  }
}

/** Styles text for a terminal, unless NO_COLOR is set. */
function paint(stream: WriteStream & { fd: 1 | 2 }, style: Style, text: string): string {
  const { NO_COLOR, TERM } = process.env;
  if (!stream.isTTY || NO_COLOR || TERM === "dumb") return text;
  return styleText(style, text, { validateStream: false });
}

/**
 * Exits quietly when the reader of stdout goes away, as `head` does. Ignores a stderr that takes no more, as its reader is
 * gone or its disk is full: a consumer must go on without its log.
 */
export function ignoreBrokenPipe(): void {
  const { stderr } = process;
  const write = stderr.write;
  stderr.write = ((...args: Parameters<typeof write>) => {
    try {
      return write.apply(stderr, args);
    } catch {
      return true; // Deno throws, where Node and Bun emit an error
    }
  }) as typeof write;
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0);
    throw error;
  });
  process.stderr.on("error", () => {});
}

/** Ends the process soon, even if a task module keeps a timer or connection open. Waits for all output first. */
export async function exitSoon(code: number): Promise<void> {
  await new Promise<void>((resolve) => writeOut("", resolve));
  setTimeout(() => process.exit(code), LINGER).unref();
}

/** Formats an error as one line: its message, with its name before it unless it is a {@linkcode FireflyError}. */
export function describe(error: unknown): string {
  const { name, message } = partsOf(error);
  if (!isError(error)) return `A value that is not an error was thrown: ${inspectSafely(error) || message}`;
  return isInstance(error, FireflyError) ? message : `${name}: ${message}`;
}

/** Formats an error's stack and those of its causes, safe to print; empty if it is not an Error. */
export function stackOf(error: unknown): string {
  return isError(error) ? inspectSafely(error).split("\n").map(escapeLine).join("\n") : "";
}

function inspectSafely(value: unknown): string {
  try {
    return inspect(value, { colors: false });
  } catch {
    return ""; // a getter or a proxy threw
  }
}
