import { countTasks } from "./filter.ts";
import type { Terminal } from "./terminal.ts";

/** The length of the bar, in characters. */
const BAR = 30;
/** Milliseconds between two updates. */
const PAUSE = 100;
/** The least number of tasks for which to show the count: fewer are done at once. */
const MANY = 1000;

/** A line on stderr that shows progress. Does nothing if stderr is not a terminal. */
export class ProgressLine {
  readonly #terminal: Terminal;
  #drawnAt = -Infinity;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  /** Shows `text`, with a bar before it if `share`, from 0 to 1, is known. */
  update(text: string, share?: number): void {
    const now = performance.now();
    if (!this.#terminal.canRedraw || now - this.#drawnAt < PAUSE) return;
    this.#drawnAt = now;
    this.#terminal.redraw(share === undefined ? text : `${this.#bar(share)} ${text}`);
  }

  /** Erases the line. */
  end(): void {
    if (this.#drawnAt > -Infinity) this.#terminal.redraw("");
  }

  #bar(share: number): string {
    const full = Math.round(share * BAR);
    const percent = `${Math.floor(share * 100)}%`.padStart(4);
    const [done, left] = ["█".repeat(full), "░".repeat(BAR - full)];
    return `${this.#terminal.styleError("green", done)}${this.#terminal.styleError("dim", left)} ${percent}`;
  }
}

/** Runs a bulk operation, and shows the number of tasks done so far. */
export async function withCount<T>(
  terminal: Terminal,
  verb: string,
  act: (onProgress: (done: number) => void) => Promise<T>,
): Promise<T> {
  const line = new ProgressLine(terminal);
  try {
    return await act((done) => {
      if (done >= MANY) line.update(`${verb} ${countTasks(done)}`);
    });
  } finally {
    line.end();
  }
}
