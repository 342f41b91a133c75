import { countTasks } from "./filter.ts";
import type { Terminal } from "./terminal.ts";

/** Characters of the bar. */
const BAR = 30;
/** Milliseconds between two pictures. */
const PAUSE = 100;
/** Fewer tasks than this are done in a moment. */
const MANY = 1000;

/** A line on stderr that tells how far something is. Where stderr is no terminal, it is not there. */
export class ProgressLine {
  readonly #terminal: Terminal;
  #drawnAt = -Infinity;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  /** Shows `text`, after a bar if the share that is done is known. */
  update(text: string, share?: number): void {
    const now = performance.now();
    if (!this.#terminal.canRedraw || now - this.#drawnAt < PAUSE) return;
    this.#drawnAt = now;
    this.#terminal.redraw(share === undefined ? text : `${this.#bar(share)} ${text}`);
  }

  /** Takes the line away. */
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

/** Runs a bulk operation, and tells how many tasks it was done to so far. */
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
