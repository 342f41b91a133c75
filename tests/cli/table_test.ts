import { assertEquals } from "@std/assert";
import { renderTable, widthOf } from "../../src/cli/table.ts";

/** A terminal of `width` columns that shows no styles. */
function terminal(width: number) {
  return { width, style: (_: unknown, text: string) => text };
}

const table = {
  header: ["queue", "consumers", "completed", "kept"],
  rows: [["mail", "1", "1234567", "7d / 30d"], ["reports.of_the_month", "0", "5", "ever / ever"]],
  right: [1, 2],
};

Deno.test("renderTable() aligns columns, numbers to the right, where there is room", () => {
  assertEquals(renderTable(terminal(80), table), [
    "QUEUE                 CONSUMERS  COMPLETED  KEPT",
    "mail                          1    1234567  7d / 30d",
    "reports.of_the_month          0          5  ever / ever",
  ]);
});

Deno.test("renderTable() cuts the last column first", () => {
  assertEquals(renderTable(terminal(54), table), [
    "QUEUE                 CONSUMERS  COMPLETED  KEPT",
    "mail                          1    1234567  7d / 30d",
    "reports.of_the_month          0          5  ever / ev…",
  ]);
});

Deno.test("renderTable() then narrows the gaps, and cuts long texts and headers, but no digit", () => {
  assertEquals(renderTable(terminal(51), table), [
    "QUEUE                CONSUMERS COMPLETED KEPT",
    "mail                         1   1234567 7d / 30d",
    "reports.of_the_month         0         5 ever / ev…",
  ]);
  assertEquals(renderTable(terminal(40), table), [
    "QUEUE        CONSUM… COMPLET… KEPT",
    "mail               1  1234567 7d / 30d",
    "reports.of_…       0        5 ever / ev…",
  ]);
});

Deno.test("renderTable() fits into every width down to its least", () => {
  for (let width = 36; width <= 80; width++) {
    for (const line of renderTable(terminal(width), table)) assertEquals(widthOf(line) <= width, true, line);
  }
});
