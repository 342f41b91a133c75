import type { OutageHooks } from "../outages.ts";
import type { KeepLogs } from "../task/options.ts";
import { partsOf } from "../thrown.ts";
import { toStorable } from "../wire/format.ts";
import { Projection } from "../wire/to_json.ts";

/** The severity of a log line. */
export type LogLevel = "debug" | "info" | "warn" | "error";

/** A log line to be stored. */
export interface NewLogLine {
  readonly task_id: number;
  readonly attempt: number;
  /** The name of the step that logged it; null outside of steps. */
  readonly step: string | null;
  readonly level: LogLevel;
  readonly message: string;
  /** As JSON; null if it has none. */
  readonly fields: string | null;
  /** When it was logged, by `performance.now()`. */
  readonly logged: number;
}

/** The lines of an attempt that are kept unless an option says how many. */
const LINES = 200;
/** The longest message and the longest fields, in characters. */
const LONGEST = 10_000;
/** The most lines that wait to be stored, while the database takes none. */
const MOST_WAITING = 10_000;
/** Milliseconds from a line until it is stored together with others. */
const INTERVAL = 1000;
const NO_MORE = "Later lines of this attempt are not kept";

/** Adds a line to what is kept of an attempt. */
export type KeepLine = (line: { step: string | null; level: LogLevel; message: string; fields: object }) => void;

/** Stores the log lines of attempts in batches. A line that cannot be stored is lost; no task depends on it. */
export class LogKeeper {
  readonly #write: (lines: readonly NewLogLine[]) => Promise<void>;
  #waiting: NewLogLine[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #writing: Promise<void> = Promise.resolve();
  #ended = false;
  /** Called when lines cannot be stored, and when they can again. */
  outage: OutageHooks = { onError() {}, onSuccess() {} };

  constructor(write: (lines: readonly NewLogLine[]) => Promise<void>) {
    this.#write = write;
  }

  /** Begins to keep the lines of an attempt; undefined if they are not to be kept. */
  of(
    { id, attempt }: { readonly id: number; readonly attempt: number },
    keepLogs: KeepLogs | undefined,
  ): KeepLine | undefined {
    if (!keepLogs) return undefined;
    let left = keepLogs === true ? LINES : keepLogs.lines;
    return ({ step, level, message, fields }) => {
      if (left < 0) return;
      const isLast = left-- === 0;
      this.#add({
        task_id: id,
        attempt,
        step: isLast ? null : step,
        level: isLast ? "warn" : level,
        message: isLast ? NO_MORE : cut(message),
        fields: isLast ? null : toText(fields),
        logged: performance.now(),
      });
    };
  }

  #add(line: NewLogLine): void {
    if (this.#waiting.length >= MOST_WAITING) return;
    this.#waiting.push(line);
    this.#schedule();
  }

  #schedule(): void {
    if (!this.#ended) this.#timer ??= setTimeout(() => void this.flush(), INTERVAL);
  }

  /** Stores the lines that wait, after those that are being stored. */
  flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    return this.#writing = this.#writing.then(() => this.#flush());
  }

  /** Stores what waits for the last time. */
  async end(): Promise<void> {
    this.#ended = true;
    await this.flush();
  }

  async #flush(): Promise<void> {
    if (this.#waiting.length === 0) return;
    const lines = this.#waiting;
    this.#waiting = [];
    try {
      await this.#write(lines);
      this.outage.onSuccess();
    } catch (error) {
      this.outage.onError(error);
      this.#waiting = [...lines, ...this.#waiting].slice(0, MOST_WAITING);
      this.#schedule();
    }
  }
}

function cut(text: string): string {
  return toStorable(text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text);
}

/** Writes fields as JSON. A handler may pass anything, and what cannot be read must not fail its attempt. */
function toText(fields: object): string | null {
  try {
    if (Object.keys(fields).length === 0) return null;
    const storable = (_: string, value: unknown) => typeof value === "string" ? toStorable(value) : value;
    const text = JSON.stringify(new Projection().toJsonValue(fields), storable);
    return text.length > LONGEST ? JSON.stringify({ omitted: `${text.length} characters` }) : text;
  } catch (error) {
    return JSON.stringify({ unreadable: toStorable(partsOf(error).message) });
  }
}
