import { toMilliseconds } from "../duration.ts";
import type { Firefly } from "../firefly/firefly.ts";
import { TASK_STATUSES, type TaskFilter } from "../task/record.ts";
import { type Arguments, type Flags, omitUndefined, usageError } from "./arguments.ts";
import { EXIT } from "./exit_code.ts";
import type { Terminal } from "./terminal.ts";

/** Flags that select tasks: all conditions must hold; a list matches any of its values. */
export const FILTER_FLAGS: Flags = {
  status: { value: "status", list: "commas", description: `Tasks with this status: ${TASK_STATUSES.join(", ")}` },
  queue: { value: "name", list: "commas", description: "Tasks in this queue" },
  name: { value: "name", list: "commas", description: "Tasks with this name" },
  tag: {
    value: "label",
    list: "repeat",
    description: "Tasks with this tag; with several, tasks that have all of them",
  },
  "older-than": { value: "duration", description: "Tasks that ended longer ago than this, such as 12h or 7d" },
};

/** Builds the filter from the flags and ids. */
export function filterOf(args: Arguments): TaskFilter {
  const ids = args.ids();
  const age = args.duration("older-than");
  return omitUndefined({
    ids: ids.length > 0 ? ids : undefined,
    status: args.choices("status", TASK_STATUSES),
    queue: args.list("queue"),
    funcName: args.list("name"),
    tags: args.list("tag"),
    finishedBefore: age === undefined ? undefined : new Date(Date.now() - toMilliseconds(age, "older-than")),
  });
}

/** Refuses to act on all tasks without `--all`. */
export function requireSelection(command: string, args: Arguments, filter: TaskFilter): void {
  const isSelected = Object.keys(filter).length > 0;
  if (args.isOn("all") && filter.ids) throw usageError(command, "ids and --all exclude each other");
  if (!isSelected && !args.isOn("all")) {
    throw usageError(command, "it needs ids, a filter such as --status failed, or --all");
  }
}

/** Returns the ids of the filter that no task has. */
export async function findMissing(ff: Firefly, { ids = [] }: TaskFilter): Promise<number[]> {
  if (ids.length === 0) return [];
  const { items } = await ff.tasks.list({ ids }, { limit: ids.length });
  const found = new Set(items.map(({ id }) => id));
  return ids.filter((id) => !found.has(id));
}

/** Prints an error that names the missing ids, if any; returns the exit code. */
export function reportMissing(missing: number[], terminal: Terminal): number {
  if (missing.length === 0) return EXIT.done;
  terminal.printError(`There is no task ${missing.join(", ")}`);
  return EXIT.noSuchTask;
}

/** Formats a number of tasks: `1 task`, `2 tasks`. */
export function countTasks(count: number): string {
  return count === 1 ? "1 task" : `${count} tasks`;
}
