import type { TaskRecord } from "../task/record.ts";
import { columnsOf } from "../records/task_record.ts";
import { omitUndefined, usageError } from "./arguments.ts";
import type { Command } from "./command.ts";
import { EXIT } from "./exit_code.ts";
import { FILTER_FLAGS, filterOf } from "./filter.ts";
import { withInstance } from "./settings.ts";
import { STATUS_STYLES } from "./record_page.ts";
import { type Cell, renderTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { formatAge, formatSeconds } from "./times.ts";

/** Records to read at a time. */
const PART = 500;

/** `list`: lists records, newest first. */
export const list: Command = {
  name: "list",
  usage: "[id…]",
  positionals: [0, Infinity],
  summary: "List tasks, newest first",
  flags: {
    ...FILTER_FLAGS,
    limit: { value: "number", description: "The most tasks to list. Default: 100" },
    after: { value: "id", description: "Continue after this id, the last one of a previous list" },
  },
  examples: ["list --status failed", "list --queue mail --limit 20 --json | jq .errors"],
  async run(args, terminal) {
    const filter = filterOf(args);
    const limit = args.integer("limit", 1) ?? 100;
    const after = args.text("after");
    if (after !== undefined && !/^\d+$/.test(after)) throw usageError("list", `"--after" must be a task id`);
    return await withInstance({ args, terminal, tasks: "none" }, async (ff) => {
      const records: TaskRecord[] = [];
      let next: string | null = after ?? null;
      let left = limit;
      do {
        const page = await ff.tasks.list(filter, {
          limit: Math.min(PART, left),
          ...omitUndefined({ after: next ?? undefined }),
        });
        next = page.next;
        left -= page.items.length;
        if (terminal.json) { for (const record of page.items) await terminal.printJson(columnsOf(record)); }
        else records.push(...page.items);
      } while (next !== null && left > 0);
      if (!terminal.json) await printTable(records, { terminal, next });
      return EXIT.done;
    });
  },
};

async function printTable(
  records: TaskRecord[],
  { terminal, next }: { terminal: Terminal; next: string | null },
): Promise<void> {
  if (records.length === 0) return terminal.note("No tasks match");
  const header = ["id", "name", "queue", "status", "attempt", "created", "detail"];
  const lines = renderTable(terminal, {
    header,
    rows: records.map((record) => rowOf(record, terminal)),
    right: [0, 4],
  });
  for (const line of lines) await terminal.print(line);
  if (next !== null) terminal.note(`There may be more: continue with --after ${next}`);
}

function rowOf(record: TaskRecord, terminal: Terminal): Cell[] {
  const { id, funcName, queue, status, attempt, maxRetries, created } = record;
  return [
    String(id),
    funcName,
    queue,
    { text: status, style: STATUS_STYLES[status] },
    maxRetries > 0 || attempt > 1 ? `${attempt}/${maxRetries + 1}` : "",
    formatAge(created),
    detailOf(record, terminal),
  ];
}

/** The most important detail of a task in its status. */
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
