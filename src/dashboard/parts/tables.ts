import { attr, classes, type Html, markup, type Part } from "../html.ts";

/** A column: its heading, and the classes of its cells. */
export interface Column {
  readonly head: Part;
  /**
   * `num`: numbers, on the right; `fit`: as narrow as its content; `main`: takes what is left, and cuts long lines;
   * `slim`, `opt`, `mid`: left out where the panel is narrower than 490, 740 and 1000 px.
   */
  readonly class?: string;
}

/** A row: a cell for each column, the first of which names the row. */
export interface Row {
  readonly cells: readonly Part[];
  /** Classes of single cells, by their column, in addition to those of the column. */
  readonly classes?: Readonly<Record<number, string>>;
  /** The page of the row, which Enter opens. */
  readonly href?: string | undefined;
  /** An id, unique on the page, by which the script keeps the row up to date. */
  readonly id?: string | undefined;
}

/** The options of a table. */
export interface TableOptions {
  /** What the table lists, for screen readers. */
  readonly label: string;
  readonly columns: readonly (string | Column)[];
  readonly rows: readonly (readonly Part[] | Row)[];
  /** `near`: with narrow sparklines. */
  readonly class?: string;
  /** An id for rows that the script keeps up to date, without adding or moving any. */
  readonly live?: string;
  /** The column whose cells name the rows. @default 0 */
  readonly naming?: number;
}

/** A table whose columns leave by the width of its panel. */
export function table({ label, columns, rows, naming = 0, live, ...options }: TableOptions): Html {
  const all = columns.map((column): Column => typeof column === "string" ? { head: column } : column);
  const heads = all.map((column) => markup`<th scope="col"${classes(column.class)}>${column.head}</th>`);
  const lines = rows.map((given) => {
    const row: Row = "cells" in given ? given : { cells: given };
    const cells = row.cells.map((cell, index) => {
      const names = classes(all[index]?.class, row.classes?.[index]);
      return index === naming ? markup`<th scope="row"${names}>${cell}</th>` : markup`<td${names}>${cell}</td>`;
    });
    return markup`<tr${attr("id", row.id)}${attr("data-href", row.href)}>${cells}</tr>\n`;
  });
  return markup`<table${classes(options.class)} aria-label="${label}"><thead><tr>${heads}</tr></thead>
<tbody${attr("id", live)}${attr("data-live", live && "rows")}>${lines}</tbody></table>`;
}
