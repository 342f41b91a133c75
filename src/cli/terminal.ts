import process from "node:process";
import { createInterface } from "node:readline/promises";
import type { WriteStream } from "node:tty";
import { inspect, styleText } from "node:util";
import { FireflyError } from "../errors.ts";
import { Redactor } from "../privacy/redaction.ts";
import { escapeLine } from "./escape.ts";
import { toJson } from "./json.ts";

/** A style of `node:util`'s styleText. */
export type Style = Parameters<typeof styleText>[0];

/** How much is told on stderr. */
export type Verbosity = "quiet" | "normal" | "verbose";

/** How long the process may go on after its command has ended, in milliseconds: a task module may hold it open. */
const LINGER = 500;

/** Erases the line that the cursor is in. */
const ERASE_LINE = "\u001b[2K";

/** Where a command prints: data on stdout, everything else on stderr. */
export class Terminal {
  /** Data are printed as JSON, one value a line: asked for, or nobody looks. */
  readonly json: boolean;
  /** How much is told on stderr. */
  readonly loudness: Verbosity;
  /** JSON was asked for. */
  readonly wantsJson: boolean;
  /** Hides what should not be shown: the default list, until the configuration is read. */
  redactor: Redactor = new Redactor();

  constructor({ json, loudness }: { json: boolean; loudness: Verbosity }) {
    this.wantsJson = json;
    this.json = json || !process.stdout.isTTY;
    this.loudness = loudness;
  }

  /** Columns of stdout. */
  get width(): number {
    return process.stdout.columns || 100;
  }

  /** Text for stdout in a style, if colours are welcome there. */
  style(style: Style, text: string): string {
    return paint(process.stdout, style, text);
  }

  /** Text for stderr in a style, if colours are welcome there. */
  styleError(style: Style, text: string): string {
    return paint(process.stderr, style, text);
  }

  /** Prints a line on stdout; waits while its reader is behind. */
  async print(line: string): Promise<void> {
    if (process.stdout.write(`${line}\n`)) return;
    await new Promise((resolve) => process.stdout.once("drain", resolve));
  }

  /** Prints a value on stdout as a line of JSON, without what should not be shown of it. */
  async printJson(value: unknown): Promise<void> {
    await this.print(await toJson(this.redactor.redact(value)));
  }

  /** Says something on stderr, unless it is to be quiet. */
  note(message: string): void {
    if (this.loudness !== "quiet") process.stderr.write(`${this.styleError("dim", escapeLine(message))}\n`);
  }

  /** Says on stderr that something is odd. */
  warn(message: string): void {
    process.stderr.write(`${this.styleError("yellow", "warning:")} ${escapeLine(message)}\n`);
  }

  /** Says on stderr what went wrong: one line, and the stack only if it is to be verbose. */
  printError(problem: unknown): void {
    const error = this.redactor.redact(problem);
    const message = typeof error === "string" ? error : describe(error);
    process.stderr.write(`${this.styleError(["red", "bold"], "error:")} ${escapeLine(message)}\n`);
    const stack = this.loudness === "verbose" ? stackOf(error) : "";
    if (stack) process.stderr.write(`${this.styleError("dim", stack)}\n`);
  }

  /** Whether a line on stderr may change while it is shown. */
  get canRedraw(): boolean {
    return Boolean(process.stderr.isTTY) && process.env.TERM !== "dumb" && this.loudness !== "quiet";
  }

  /** Shows a line on stderr in place of the one shown before; an empty one takes it away. */
  redraw(line: string): void {
    process.stderr.write(`\r${ERASE_LINE}${line}`);
  }

  /** Whether somebody is there to answer a question. */
  get canAsk(): boolean {
    return Boolean(process.stdin.isTTY && process.stderr.isTTY);
  }

  /** Asks for a yes on the terminal. */
  async confirm(question: string): Promise<boolean> {
    const readline = createInterface({ input: process.stdin, output: process.stderr });
    const answer = await readline.question(`${escapeLine(question)} [y/N] `).catch(() => "");
    readline.close();
    return /^y(es)?$/i.test(answer.trim());
  }
}

/** Colours on a terminal, unless NO_COLOR is set. */
function paint(stream: WriteStream & { fd: 1 | 2 }, style: Style, text: string): string {
  const { NO_COLOR, TERM } = process.env;
  if (!stream.isTTY || NO_COLOR || TERM === "dumb") return text;
  return styleText(style, text, { validateStream: false });
}

/** Ends quietly when the reader of stdout goes away, as `head` does. That nobody reads stderr is no reason to end. */
export function ignoreBrokenPipe(): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0);
    throw error;
  });
  process.stderr.on("error", () => {});
}

/** Ends the process soon, even if a task module keeps a timer or a connection of its own; but all output comes first. */
export async function exitSoon(code: number): Promise<void> {
  await new Promise((resolve) => process.stdout.write("", resolve));
  setTimeout(() => process.exit(code), LINGER).unref();
}

/** An error as one line: our own errors speak for themselves, others with their name. */
export function describe(error: unknown): string {
  if (!(error instanceof Error)) return `Something was thrown that is no error: ${inspect(error)}`;
  const { name, message } = error;
  return error instanceof FireflyError ? message : `${name}: ${message}`;
}

/** An error's stack, with its causes', safe to show; empty if it has none. */
export function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return "";
  return inspect(error, { colors: false }).split("\n").map(escapeLine).join("\n");
}
