import { toMilliseconds } from "../duration.ts";
import type { Firefly } from "../firefly/firefly.ts";
import { findUnknown, readWords, type Words } from "../store/words.ts";
import { didYouMean } from "../suggest.ts";
import {
  CREATED_STATES,
  TASK_STATES,
  TASK_STATUSES,
  type TaskFilter,
  type TaskState,
  type TaskStatus,
} from "../task/record.ts";
import { type Arguments, omitUndefined, usageError } from "./arguments.ts";
import type { Flags } from "./flags.ts";
import { EXIT } from "./exit_code.ts";
import type { Terminal } from "./terminal.ts";

/** The statuses and states that `--status` takes, in the order of a task's life. */
const STATUSES: readonly (TaskStatus | TaskState)[] = [...new Set([...TASK_STATUSES.slice(0, 1), ...TASK_STATES])];

/** Flags that select tasks: all conditions must hold; a list matches any of its values. */
export const FILTER_FLAGS: Flags = {
  status: {
    value: "status",
    choices: STATUSES,
    list: "commas",
    description: `Tasks with this status: ${STATUSES.join(", ")}; created is ${CREATED_STATES.join(", ")} together`,
  },
  queue: { value: "name", short: "q", list: "commas", description: "Tasks in this queue" },
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

/** Describes the ids, names and queues of the filter that exist nowhere: a sentence each. */
export async function findMissing(ff: Firefly, { ids = [], funcName = [], queue = [] }: TaskFilter): Promise<string[]> {
  const missing: string[] = [];
  if (ids.length > 0) {
    const { items } = await ff.tasks.list({ ids }, { limit: ids.length });
    const found = new Set(items.map(({ id }) => id));
    const absent = ids.filter((id) => !found.has(id));
    if (absent.length > 0) missing.push(`There is no task ${absent.join(", ")}`);
  }
  return [...missing, ...await findUnknownWords(ff, { names: [funcName].flat(), queues: [queue].flat() })];
}

/** Describes those of the names and queues that exist nowhere, with a suggestion. */
export async function findUnknownWords(ff: Firefly, words: Words): Promise<string[]> {
  if (words.names.length + words.queues.length === 0) return [];
  const { database: { records: sql } } = await ff.connect();
  const unknown = await findUnknown(sql, words);
  if (unknown.names.length + unknown.queues.length === 0) return [];
  const known = await readWords(sql);
  return [
    ...unknown.names.map((name) => `There is no task named "${name}"${didYouMean(name, known.names)}`),
    ...unknown.queues.map((queue) => `There is no queue "${queue}"${didYouMean(queue, known.queues)}`),
  ];
}

/** Prints what {@linkcode findMissing} found, if anything; returns the exit code. */
export function reportMissing(missing: string[], terminal: Terminal): number {
  for (const sentence of missing) terminal.printError(sentence);
  return missing.length > 0 ? EXIT.noSuchTask : EXIT.done;
}

/** Formats a number of tasks: `1 task`, `2 tasks`. */
export function countTasks(count: number): string {
  return count === 1 ? "1 task" : `${count} tasks`;
}
