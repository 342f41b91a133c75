import { toMilliseconds } from "../duration.ts";
import type { Firefly } from "../firefly/firefly.ts";
import { TASK_STATUSES, type TaskFilter } from "../task/record.ts";
import { type Arguments, type Flags, given, usageError } from "./arguments.ts";
import { EXIT } from "./exit_code.ts";
import type { Terminal } from "./terminal.ts";

/** Flags that choose tasks: all conditions must hold, and a list means any of its members. */
export const FILTER_FLAGS: Flags = {
  status: { value: "status", list: "commas", description: `Tasks of this status: ${TASK_STATUSES.join(", ")}` },
  queue: { value: "name", list: "commas", description: "Tasks of this queue" },
  name: { value: "name", list: "commas", description: "Tasks of this name" },
  tag: { value: "label", list: "repeat", description: "Tasks with this label; of several, with all of them" },
  "older-than": { value: "duration", description: "Tasks that ended longer ago than this, such as 12h or 7d" },
};

/** The filter that the flags, and ids beside them, describe. */
export function filterOf(args: Arguments): TaskFilter {
  const ids = args.ids();
  const age = args.duration("older-than");
  return given({
    ids: ids.length > 0 ? ids : undefined,
    status: args.choices("status", TASK_STATUSES),
    queue: args.list("queue"),
    funcName: args.list("name"),
    tags: args.list("tag"),
    finishedBefore: age === undefined ? undefined : new Date(Date.now() - toMilliseconds(age, "older-than")),
  });
}

/** Refuses to act on every task there is unless that was said. */
export function requireSelection(command: string, args: Arguments, filter: TaskFilter): void {
  const isSelected = Object.keys(filter).length > 0;
  if (args.isOn("all") && filter.ids) throw usageError(command, "ids and --all exclude each other");
  if (!isSelected && !args.isOn("all")) {
    throw usageError(command, "it needs ids, a filter such as --status failed, or --all");
  }
}

/** Ids among those of a filter that no task has. */
export async function findMissing(ff: Firefly, { ids = [] }: TaskFilter): Promise<number[]> {
  if (ids.length === 0) return [];
  const { items } = await ff.tasks.list({ ids }, { limit: ids.length });
  const found = new Set(items.map(({ id }) => id));
  return ids.filter((id) => !found.has(id));
}

/** Says which ids no task has; returns the exit code. */
export function reportMissing(missing: number[], terminal: Terminal): number {
  if (missing.length === 0) return EXIT.done;
  terminal.printError(`There is no task ${missing.join(", ")}`);
  return EXIT.noSuchTask;
}

/** A number of tasks in words. */
export function countTasks(count: number): string {
  return count === 1 ? "1 task" : `${count} tasks`;
}
