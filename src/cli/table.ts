import type { Style, Terminal } from "./terminal.ts";
import { escapeLine } from "./escape.ts";

/** A cell: its text, and optionally its style. */
export type Cell = string | { text: string; style: Style };

/** The space between columns: wide, unless the table would not fit then. */
const [GAP, NARROW_GAP] = [2, 1];
/** The least that the last column and columns of text are cut to. */
const [LEAST_LAST, LEAST_TEXT] = [10, 12];
/** Characters that take two columns. */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;
const COMBINING = /[\p{Mn}\p{Me}\u200b-\u200d]/u;

/**
 * Renders rows as aligned lines. Columns in `right` hold numbers and are right-aligned. A table that is wider than the
 * terminal loses, until it fits: the end of its last column, space between columns, ends of headers and of long texts;
 * never a digit.
 */
export function renderTable(
  terminal: Pick<Terminal, "style" | "width">,
  { header, rows, right = [] }: { header: string[]; rows: Cell[][]; right?: number[] },
): string[] {
  const heading: Cell[] = header.map((text) => ({ text: text.toUpperCase(), style: "dim" }));
  const lines = [heading, ...rows].map((row) => row.map(toPainted));
  const { widths, gap } = layOut(lines.map((line) => line.map(({ text }) => widthOf(text))), right, terminal.width);
  return lines.map((line) => {
    const cells = line.map(({ text, style }, column) => {
      const shown = cut(text, widths[column]!);
      const padding = " ".repeat(widths[column]! - widthOf(shown));
      const painted = style ? terminal.style(style, shown) : shown;
      return right.includes(column) ? padding + painted : column === line.length - 1 ? painted : painted + padding;
    });
    return cells.join(" ".repeat(gap)).trimEnd();
  });
}

/** Decides on the widths of columns and the gap between them, so that a table fits into `room`, if it can. */
function layOut(
  [heading, ...rows]: number[][],
  right: readonly number[],
  room: number,
): { widths: number[]; gap: number } {
  const widths = heading!.map((width, column) => Math.max(width, ...rows.map((row) => row[column]!)));
  const last = widths.length - 1;
  const excess = (gap: number) => widths.reduce((sum, width) => sum + width, gap * last) - room;
  widths[last] = Math.max(Math.min(LEAST_LAST, widths[last]!), widths[last]! - Math.max(0, excess(GAP)));
  if (excess(GAP) <= 0) return { widths, gap: GAP };
  const least = widths.map((width, column) =>
    right.includes(column) ? Math.max(0, ...rows.map((row) => row[column]!)) : Math.min(width, LEAST_TEXT)
  );
  for (let over = excess(NARROW_GAP); over > 0; over--) {
    const spare = widths.map((width, column) => width > least[column]! ? width : 0);
    const widest = spare.indexOf(Math.max(...spare));
    if (spare[widest] === 0) break;
    widths[widest]!--;
  }
  return { widths, gap: NARROW_GAP };
}

function toPainted(cell: Cell): { text: string; style?: Style } {
  return typeof cell === "string" ? { text: escapeLine(cell) } : { ...cell, text: escapeLine(cell.text) };
}

/** The number of terminal columns that `text` takes. */
export function widthOf(text: string): number {
  let width = 0;
  for (const sign of text) width += COMBINING.test(sign) ? 0 : WIDE.test(sign) ? 2 : 1;
  return width;
}

/** Cuts `text` to `room` columns, ending in an ellipsis. */
export function cut(text: string, room: number): string {
  if (widthOf(text) <= room) return text;
  let kept = "";
  for (const sign of text) {
    if (widthOf(kept + sign) > room - 1) break;
    kept += sign;
  }
  return `${kept}…`;
}
