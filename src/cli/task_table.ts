import type { TaskRecord } from "../task/record.ts";
import { formatAttempt, STATE_STYLES } from "./record_page.ts";
import { type Cell, printTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { formatAge, formatSeconds } from "../times.ts";

/** Prints records as a table; nothing if there are none. */
export async function printRecords(records: readonly TaskRecord[], terminal: Terminal): Promise<void> {
  if (records.length === 0) return;
  const header = ["id", "name", "queue", "status", "attempt", "created", "detail"];
  const rows = records.map((record) => rowOf(record, terminal));
  await printTable(terminal, { header, rows, right: [0, 4], optional: [4, 2] });
}

function rowOf(record: TaskRecord, terminal: Terminal): Cell[] {
  const { id, funcName, queue, state, attempt, maxRetries, created } = record;
  return [
    String(id),
    funcName,
    queue,
    { text: state, style: STATE_STYLES[state] },
    maxRetries > 0 || attempt > 1 ? formatAttempt(record, "/") : "",
    formatAge(created),
    detailOf(record, terminal),
  ];
}

/** The most important detail of a task in its state. */
function detailOf(record: TaskRecord, { redactor }: Terminal): Cell {
  const { status, started, notBefore } = record;
  const { progress, error } = redactor.redact({ progress: record.progress, error: record.error });
  if (status === "completed") return started ? `took ${secondsBetween(started, record.completed)}` : "";
  if (status === "running") {
    const percent = progress ? `${Math.round(progress.value * 100)}%` : "";
    return [percent, progress?.note ?? "", started ? `since ${formatAge(started)}` : ""].filter(Boolean).join(" ");
  }
  const why = error ? `${error.name}: ${error.message}` : "";
  const when = status === "created" && notBefore.getTime() > Date.now() ? formatAge(notBefore) : "";
  return { text: [when, why].filter(Boolean).join(", "), style: status === "failed" ? "red" : "dim" };
}

function secondsBetween(from: Date, to: Date): string {
  return formatSeconds(Math.max(0, to.getTime() - from.getTime()) / 1000);
}
