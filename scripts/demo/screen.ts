import process from "node:process";
import { styleText } from "node:util";

/** The width of the progress bar. */
const WIDTH = 20;
/** How often progress is told where there is no terminal to draw on, in milliseconds. */
const PLAIN_INTERVAL = 2000;

const isTerminal = Deno.stdout.isTerminal();
let drawn = false;
let told = 0;

/** Prints a line, below the progress bar if there is one. */
export function print(line = ""): void {
  if (drawn) console.log();
  drawn = false;
  console.log(line);
}

/** Prints a step: its name in a column of its own, and what is to be said of it. */
export function step(name: string, text: string): void {
  print(`${strong(name.padEnd(11))} ${text}`);
}

/** Prints what belongs to the step above. */
export function detail(text: string): void {
  print(`${" ".repeat(12)}${text}`);
}

/** Shows how far something is: as a bar on a terminal, else as a line every now and then. */
export function showProgress(done: number, total: number, text: string): void {
  const share = total === 0 ? 1 : done / total;
  if (isTerminal) {
    const full = Math.floor(share * WIDTH);
    const bar = `${"█".repeat(full)}${"░".repeat(WIDTH - full)} ${percent(share)}  ${text}`;
    const columns = process.stdout.columns || 80;
    Deno.stdout.writeSync(new TextEncoder().encode(`\r\x1b[K${" ".repeat(12)}${bar}`.slice(0, columns + 3)));
    drawn = true;
  } else if (performance.now() - told > PLAIN_INTERVAL || done === total) {
    told = performance.now();
    detail(`${percent(share)}  ${text}`);
  }
}

/** Text that is to catch the eye. */
export function strong(text: string): string {
  return paint("bold", text);
}

/** Text about something that went well. */
export function good(text: string): string {
  return paint("green", text);
}

/** Text about something that did not. */
export function bad(text: string): string {
  return paint("red", text);
}

/** A number for people: `12,345`. */
export function count(value: number): string {
  return value.toLocaleString("en-US", { maximumFractionDigits: 0 });
}

/** A number with its noun: `1 file`, `12,345 files`. */
export function amount(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

function percent(share: number): string {
  return `${Math.floor(share * 100)}%`.padStart(4);
}

function paint(style: "bold" | "green" | "red", text: string): string {
  return isTerminal && !process.env.NO_COLOR ? styleText(style, text, { validateStream: false }) : text;
}
