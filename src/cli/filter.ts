import { toMilliseconds } from "../duration.ts";
import type { Firefly } from "../firefly/firefly.ts";
import {
  CREATED_STATES,
  TASK_STATES,
  TASK_STATUSES,
  type TaskFilter,
  type TaskState,
  type TaskStatus,
} from "../task/record.ts";
import { type Arguments, type Flags, omitUndefined, usageError } from "./arguments.ts";
import { EXIT } from "./exit_code.ts";
import type { Terminal } from "./terminal.ts";

/** The statuses and states that `--status` takes, in the order of a task's life. */
const STATUSES: readonly (TaskStatus | TaskState)[] = [...new Set([...TASK_STATUSES.slice(0, 1), ...TASK_STATES])];

/** Flags that select tasks: all conditions must hold; a list matches any of its values. */
export const FILTER_FLAGS: Flags = {
  status: {
    value: "status",
    list: "commas",
    description: `Tasks with this status: ${STATUSES.join(", ")}; created is ${CREATED_STATES.join(", ")} together`,
  },
  queue: { value: "name", list: "commas", description: "Tasks in this queue" },
  name: { value: "name", list: "commas", description: "Tasks with this name" },
  tag: {
    value: "label",
    list: "repeat",
    description: "Tasks with this tag; with several, tasks that have all of them",
  },
  params: {
    value: "json",
    description: `Tasks whose arguments contain this JSON: '{"id": 7}' in any argument, or a list, '[7]'`,
  },
  error: { value: "text", description: "Tasks whose last error has this text in its name or message" },
  "created-since": { value: "when", description: "Tasks scheduled since this time, or since so long ago: 10m, 7d" },
  "created-until": { value: "when", description: "Tasks scheduled before this time, or longer ago" },
  "ended-since": { value: "when", description: "Tasks that ended since this time, or since so long ago" },
  "ended-until": { value: "when", description: "Tasks that ended before this time, or longer ago" },
  "older-than": { value: "duration", description: "Tasks that ended longer ago than this, such as 12h or 7d" },
};

/** Builds the filter from the flags and ids. */
export function filterOf(args: Arguments): TaskFilter {
  const ids = args.ids();
  const age = args.duration("older-than");
  const endedUntil = args.moment("ended-until");
  if (age !== undefined && endedUntil) {
    throw usageError(args.command, "--older-than and --ended-until exclude each other");
  }
  return omitUndefined({
    ids: ids.length > 0 ? ids : undefined,
    status: args.choices("status", STATUSES),
    queue: args.list("queue"),
    funcName: args.list("name"),
    tags: args.list("tag"),
    createdAfter: args.moment("created-since"),
    createdBefore: args.moment("created-until"),
    finishedAfter: args.moment("ended-since"),
    finishedBefore: age === undefined ? endedUntil : new Date(Date.now() - toMilliseconds(age, "older-than")),
    error: args.text("error"),
    params: containedOf(args),
  });
}

/** The JSON of `--params`; what is no list may be in any argument. */
function containedOf(args: Arguments): unknown[] | undefined {
  const text = args.text("params");
  if (text === undefined) return undefined;
  try {
    return [JSON.parse(text)].flat(1);
  } catch (error) {
    throw usageError(args.command, `"--params" is not valid JSON: ${(error as Error).message}`);
  }
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
