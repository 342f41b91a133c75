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

Deno.test("renderTable() leaves out optional columns where even narrow ones do not fit, and cuts texts to a few letters", () => {
  const optional = { ...table, optional: [3, 2] };
  assertEquals(renderTable(terminal(40), optional), renderTable(terminal(40), table));
  assertEquals(renderTable(terminal(29), optional), [
    "QUEUE        CONSUM… COMPLET…",
    "mail               1  1234567",
    "reports.of_…       0        5",
  ]);
  assertEquals(renderTable(terminal(12), optional), ["QUEUE CONSU…", "mail       1", "repo…      0"]);
});

Deno.test("renderTable() fits a queue in every state, with a million tasks each, into 80 columns", () => {
  const states = ["ready", "delayed", "retrying", "limited", "unknown", "running", "completed", "failed", "cancelled"];
  const header = ["queue", "state", "consumers", ...states, "oldest", "kept"];
  const row = ["reports.of_the_month", "paused", "12", ...states.map(() => "1234567"), "12m 30s", "7d / 30d"];
  const right = header.map((_, column) => column).slice(2, -1);
  const lines = renderTable(terminal(80), { header, rows: [row], right, optional: [13, 11, 9] });
  for (const line of lines) assertEquals(widthOf(line) <= 80, true, line);
});
