import { columnsOf } from "../records/task_record.ts";
import type { TaskFilter, TaskGrouping, TaskRecord } from "../task/record.ts";
import type { Firefly } from "../firefly/firefly.ts";
import { omitUndefined, usageError } from "./arguments.ts";
import type { Command } from "./command.ts";
import { EXIT } from "./exit_code.ts";
import { FILTER_FLAGS, filterOf } from "./filter.ts";
import { withInstance } from "./settings.ts";
import { printTable } from "./table.ts";
import { printRecords } from "./task_table.ts";
import type { Terminal } from "./terminal.ts";
import { formatAge } from "../times.ts";

/** Records to read at a time. */
const PART = 500;
const GROUPINGS: readonly TaskGrouping[] = ["error", "name", "queue", "state"];

/** `list`: lists records, newest first. */
export const list: Command = {
  name: "list",
  usage: "[id…]",
  positionals: [0, Infinity],
  summary: "List tasks, newest first",
  details:
    "With --count, it prints only how many tasks match; with --group, how many have the same error, name, queue or " +
    "state, the largest groups first. Conditions on tags, arguments, errors and times that few tasks meet read all " +
    "records, and so do both flags, unless --status names failed tasks or some that have not ended: a second or so for a " +
    "million, and six where --params must decode them all.",
  flags: {
    ...FILTER_FLAGS,
    limit: { value: "number", description: "The most tasks or groups to list. Default: 100" },
    after: { value: "id", description: "Continue after this id, the last one of a previous list" },
    count: { description: "Print only how many tasks match" },
    group: { value: "property", choices: GROUPINGS, description: `Count the tasks by ${GROUPINGS.join(", ")}` },
  },
  examples: [
    "list --status failed --ended-since 10m",
    "list --status failed --group error",
    "list --status retrying --count",
    `list --params '{"customer": 7}'`,
    "list --queue mail --limit 20 --json | jq .errors",
  ],
  async run(args, terminal) {
    const filter = filterOf(args);
    const limit = args.integer("limit", 1) ?? 100;
    const after = args.text("after");
    if (after !== undefined && !/^\d+$/.test(after)) throw usageError("list", `"--after" must be a task id`);
    const by = args.choice("group", GROUPINGS);
    if (args.isOn("count") && by) throw usageError("list", "--count and --group exclude each other");
    if ((args.isOn("count") || by) && after) throw usageError("list", "--after needs a list of tasks");
    return await withInstance({ args, terminal, tasks: "none" }, async (ff) => {
      if (args.isOn("count")) await printCount(await ff.tasks.count(filter), terminal);
      else if (by) await printGroups(ff, { filter, by, limit, terminal });
      else await printList(ff, { filter, limit, after, terminal });
      return EXIT.done;
    });
  },
};

async function printCount(count: number, terminal: Terminal): Promise<void> {
  if (terminal.json) await terminal.printJson({ count });
  else await terminal.print(String(count));
}

async function printGroups(
  ff: Firefly,
  { filter, by, limit, terminal }: { filter: TaskFilter; by: TaskGrouping; limit: number; terminal: Terminal },
): Promise<void> {
  const groups = await ff.tasks.groups(by, filter, { limit });
  if (terminal.json) {
    for (const { key, count, latest, finished } of groups) {
      await terminal.printJson({ [by]: key, count, latest_id: latest, last_ended: finished });
    }
  } else if (groups.length === 0) terminal.note("No tasks match");
  else {
    const rows = groups.map(({ key, count, latest, finished }) => [
      String(count),
      String(latest),
      finished ? formatAge(finished) : "",
      key === null ? { text: "no error", style: "dim" as const } : terminal.redactor.redactText(key, [by]),
    ]);
    const header = ["count", "latest id", "last ended", by];
    await printTable(terminal, { header, rows, right: [0, 1] });
  }
}

async function printList(
  ff: Firefly,
  { filter, limit, after, terminal }: {
    filter: TaskFilter;
    limit: number;
    after: string | undefined;
    terminal: Terminal;
  },
): Promise<void> {
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
  if (terminal.json) return;
  if (records.length === 0) return terminal.note("No tasks match");
  await printRecords(records, terminal);
  if (next !== null) terminal.note(`There may be more: continue with --after ${next}`);
}
