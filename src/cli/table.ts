import type { Style, Terminal } from "./terminal.ts";
import { escapeLine } from "./escape.ts";

/** A cell: its text, and how to paint it. */
export type Cell = string | { text: string; style: Style };

const GAP = "  ";
/** Letters and signs that take two columns. */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;
const COMBINING = /[\p{Mn}\p{Me}\u200b-\u200d]/u;

/** Rows as aligned lines. Numbers (columns in `right`) lean to the right; the last column is cut at the terminal's edge. */
export function renderTable(
  terminal: Terminal,
  { header, rows, right = [] }: { header: string[]; rows: Cell[][]; right?: number[] },
): string[] {
  const heading: Cell[] = header.map((text) => ({ text: text.toUpperCase(), style: "dim" }));
  const lines = [heading, ...rows].map((row) => row.map(toPainted));
  const widths = header.map((_, column) => Math.max(...lines.map((line) => widthOf(line[column]!.text))));
  return lines.map((line) => {
    let used = 0;
    const cells = line.map(({ text, style }, column) => {
      const isLast = column === line.length - 1;
      const room = isLast ? Math.max(10, terminal.width - used) : widths[column]!;
      const shown = cut(text, room);
      const padding = " ".repeat(Math.max(0, widths[column]! - widthOf(shown)));
      used += widths[column]! + GAP.length;
      const painted = style ? terminal.style(style, shown) : shown;
      return right.includes(column) ? padding + painted : isLast ? painted : painted + padding;
    });
    return cells.join(GAP).trimEnd();
  });
}

function toPainted(cell: Cell): { text: string; style?: Style } {
  return typeof cell === "string" ? { text: escapeLine(cell) } : { ...cell, text: escapeLine(cell.text) };
}

/** How many columns `text` takes. */
export function widthOf(text: string): number {
  let width = 0;
  for (const sign of text) width += COMBINING.test(sign) ? 0 : WIDE.test(sign) ? 2 : 1;
  return width;
}

/** `text`, or as much of it as fits into `room` columns and an ellipsis. */
export function cut(text: string, room: number): string {
  if (widthOf(text) <= room) return text;
  let kept = "";
  for (const sign of text) {
    if (widthOf(kept + sign) > room - 1) break;
    kept += sign;
  }
  return `${kept}…`;
}
