import { stripVTControlCharacters } from "node:util";
import type { TaskRecord } from "../task/record.ts";
import { columnsOf } from "../records/task_record.ts";
import { EXIT } from "./exit_code.ts";
import { renderPage } from "./record_page.ts";
import { widthOf } from "./table.ts";
import type { Terminal } from "./terminal.ts";

/** Prints a record now and after every change until it has ended. Returns the exit code. */
export async function follow(record: TaskRecord, terminal: Terminal): Promise<number> {
  let [rows, status] = [0, record.status];
  for await (const now of record.watch()) {
    status = now.status;
    if (terminal.json) {
      await terminal.printJson(columnsOf(now));
      continue;
    }
    const page = renderPage(now, terminal);
    if (!terminal.canMove) {
      await terminal.print(rows === 0 ? page : `\n${page}`);
      rows = 1;
      continue;
    }
    await terminal.print(upBy(rows) + page);
    rows = rowsOf(page, terminal.width);
  }
  return status === "completed" ? EXIT.done : EXIT.taskFailed;
}

/** Moves the cursor up and erases everything below it. */
function upBy(rows: number): string {
  return rows === 0 ? "" : `\u001b[${rows}A\u001b[0J`;
}

/** The number of terminal rows that a text occupies. */
function rowsOf(text: string, width: number): number {
  const lines = stripVTControlCharacters(text).split("\n");
  return lines.reduce((rows, line) => rows + Math.max(1, Math.ceil(widthOf(line) / width)), 0);
}
