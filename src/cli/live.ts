import { setTimeout as sleep } from "node:timers/promises";
import process from "node:process";
import { describe, type Terminal } from "./terminal.ts";

/** Of a terminal: shows another screen than that of the shell, and no cursor; goes home; erases to the end. */
const [ENTER, LEAVE] = ["\u001b[?1049h\u001b[?25l", "\u001b[?25h\u001b[?1049l"];
const [HOME, ERASE_LINE, ERASE_BELOW] = ["\u001b[H", "\u001b[K", "\u001b[J"];
/** The keys that end it; in raw mode, Ctrl-C is one. */
const QUIT = ["q", "\u0003", "\u0004"];
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** What to show, and how often. */
export interface Live {
  /** Seconds between two frames. */
  readonly interval: number;
  /** Makes the lines of a frame. Where the database cannot be reached, the frame has the error, and the next one tries again. */
  render(): Promise<string[]>;
}

/** Fills the terminal with frames until the user presses q or Ctrl-C, or a signal arrives. */
export async function showLive(terminal: Terminal, { interval, render }: Live): Promise<void> {
  const ended = new AbortController();
  const end = () => ended.abort();
  const onKey = (keys: Uint8Array | string) => QUIT.some((key) => String(keys).includes(key)) && end();
  const { stdin } = process;
  for (const signal of SIGNALS) process.on(signal, end);
  if (stdin.isTTY) {
    stdin.setRawMode(true);
    stdin.on("data", onKey);
  }
  await terminal.write(ENTER);
  try {
    while (!ended.signal.aborted) {
      const lines = await render().catch((error) => [describe(terminal.redactor.redact(error))]);
      const shown = lines.slice(0, terminal.height).map((line) => `${line}${ERASE_LINE}`).join("\r\n");
      await terminal.write(`${HOME}${shown}${ERASE_BELOW}`);
      await sleep(interval * 1000, undefined, { signal: ended.signal }).catch(() => {});
    }
  } finally {
    await terminal.write(LEAVE);
    if (stdin.isTTY) {
      stdin.off("data", onKey);
      stdin.setRawMode(false);
      stdin.pause();
    }
    for (const signal of SIGNALS) process.off(signal, end);
  }
}

/** Calls `print` every `interval` seconds until a signal arrives: `--watch` where there is no terminal to redraw. */
export async function repeat(interval: number, print: () => Promise<void>): Promise<void> {
  const ended = new AbortController();
  const end = () => ended.abort();
  for (const signal of SIGNALS) process.on(signal, end);
  try {
    while (!ended.signal.aborted) {
      await print();
      await sleep(interval * 1000, undefined, { signal: ended.signal }).catch(() => {});
    }
  } finally {
    for (const signal of SIGNALS) process.off(signal, end);
  }
}
