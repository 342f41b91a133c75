/** The lines of a table as `deno fmt` leaves them. */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const [titles, ...cells] = [head, ...rows].map((row) => row.map((cell) => cell.replaceAll("|", "\\|")));
  const widths = titles!.map((title, column) => Math.max(3, title.length, ...cells.map((row) => row[column]!.length)));
  const render = (row: readonly string[]) => `| ${row.map((cell, i) => cell.padEnd(widths[i]!)).join(" | ")} |`;
  return [render(titles!), `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`, ...cells.map(render)];
}
