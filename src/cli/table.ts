import { unicodeWidth } from "@std/cli/unicode-width";
import type { Style, Terminal } from "./terminal.ts";
import { escapeLine } from "./escape.ts";

/** A cell: its text, and optionally its style. */
export type Cell = string | { text: string; style: Style };

/** The space between columns: wide, unless the table would not fit then. */
const [GAP, NARROW_GAP] = [2, 1];
/** The least that the last column and columns of text are cut to, and columns of text where even that is too wide. */
const [LEAST_LAST, LEAST_TEXT, TINY_TEXT] = [10, 12, 5];

/** A table to print. Columns are named by their index. */
export interface Table {
  readonly header: readonly string[];
  readonly rows: readonly Cell[][];
  /** Columns that hold numbers. */
  readonly right?: readonly number[];
  /** Columns that may be left out where there is no room, the first one first. */
  readonly optional?: readonly number[];
}

/** Prints a table, and a note that names the columns that have no room. */
export async function printTable(terminal: Terminal, table: Table): Promise<void> {
  const { lines, left } = render(terminal, table);
  for (const line of lines) await terminal.print(line);
  if (left.length > 0) terminal.note(`Without ${left.join(" and ")}: the terminal has only ${terminal.width} columns`);
}

/**
 * Renders rows as aligned lines. Columns in `right` hold numbers and are right-aligned. A table that is wider than the
 * terminal loses, until it fits: the end of its last column, space between columns, ends of headers and of long texts,
 * optional columns; never a digit.
 */
export function renderTable(terminal: Pick<Terminal, "style" | "width">, table: Table): string[] {
  return render(terminal, table).lines;
}

function render(
  terminal: Pick<Terminal, "style" | "width">,
  { header, rows, right = [], optional = [] }: Table,
): { lines: string[]; left: string[] } {
  const heading: Cell[] = header.map((text) => ({ text: text.toUpperCase(), style: "dim" }));
  const cells = [heading, ...rows].map((row) => row.map(toPainted));
  const all = cells.map((line) => line.map(({ text }) => widthOf(text)));
  const { columns, widths, gap } = layOut(all, { right, optional, room: terminal.width });
  const lines = cells.map((line) => {
    const shown = columns.map((column, i) => {
      const { text, style } = line[column]!;
      const short = cut(text, widths[i]!);
      const padding = " ".repeat(widths[i]! - widthOf(short));
      const painted = style ? terminal.style(style, short) : short;
      return right.includes(column) ? padding + painted : i === columns.length - 1 ? painted : painted + padding;
    });
    return shown.join(" ".repeat(gap)).trimEnd();
  });
  return { lines, left: optional.filter((column) => !columns.includes(column)).map((column) => header[column]!) };
}

interface Room {
  right: readonly number[];
  optional: readonly number[];
  room: number;
}

/** Decides on the columns, their widths and the gap between them, so that a table fits into `room`, if it can. */
function layOut(
  all: number[][],
  { right, optional, room }: Room,
): { columns: number[]; widths: number[]; gap: number } {
  let columns = all[0]!.map((_, column) => column);
  const attempt = (tiny: number) => {
    const numbers = columns.flatMap((column, i) => right.includes(column) ? [i] : []);
    const widths = all.map((line) => columns.map((column) => line[column]!));
    return { columns, ...fit(widths, numbers, { room, tiny }) };
  };
  for (const left of [undefined, ...optional]) {
    columns = columns.filter((column) => column !== left);
    const fitted = attempt(LEAST_TEXT);
    if (fitted.fits) return fitted;
  }
  return attempt(TINY_TEXT);
}

/** Narrows columns of these widths until they fit into `room`, but texts to no less than `tiny`. */
function fit(
  [heading, ...rows]: number[][],
  right: readonly number[],
  { room, tiny }: { room: number; tiny: number },
): { widths: number[]; gap: number; fits: boolean } {
  const widths = heading!.map((width, column) => Math.max(width, ...rows.map((row) => row[column]!)));
  const last = widths.length - 1;
  const excess = (gap: number) => widths.reduce((sum, width) => sum + width, gap * last) - room;
  widths[last] = Math.max(Math.min(LEAST_LAST, widths[last]!), widths[last]! - Math.max(0, excess(GAP)));
  if (excess(GAP) <= 0) return { widths, gap: GAP, fits: true };
  const least = widths.map((width, column) =>
    right.includes(column) ? Math.max(0, ...rows.map((row) => row[column]!)) : Math.min(width, tiny)
  );
  for (let over = excess(NARROW_GAP); over > 0; over--) {
    const spare = widths.map((width, column) => width > least[column]! ? width : 0);
    const widest = spare.indexOf(Math.max(...spare));
    if (spare[widest] === 0) break;
    widths[widest]!--;
  }
  return { widths, gap: NARROW_GAP, fits: excess(NARROW_GAP) <= 0 };
}

function toPainted(cell: Cell): { text: string; style?: Style } {
  return typeof cell === "string" ? { text: escapeLine(cell) } : { ...cell, text: escapeLine(cell.text) };
}

/** The number of terminal columns that `text` takes. */
export function widthOf(text: string): number {
  return unicodeWidth(text);
}

/** Cuts `text` to `room` columns, ending in an ellipsis. */
export function cut(text: string, room: number): string {
  if (widthOf(text) <= room) return text;
  let [kept, left] = ["", room - 1];
  for (const sign of text) {
    left -= widthOf(sign);
    if (left < 0) break;
    kept += sign;
  }
  return `${kept}…`;
}
