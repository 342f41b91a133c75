import type { Firefly } from "../firefly/firefly.ts";
import type { LeftReason, LeftTask, TaskFilter } from "../task/record.ts";
import { EXIT } from "./exit_code.ts";
import { countTasks, reportMissing } from "./filter.ts";
import type { Terminal } from "./terminal.ts";

/** Up to this many tasks of a reason are named. */
const NAMED = 10;
/** Up to this many tasks are looked at where a filter has found none that could be changed. */
const LOOKED_AT = 1000;

/** Why a task was left: of one task, then of several. */
const REASONS: Readonly<Record<LeftReason, readonly [one: string, several: string]>> = {
  waiting: ["it waits, `firefly run` starts it", "they wait, `firefly run` starts them"],
  running: ["it is running", "they are running"],
  ready: ["it is due already", "they are due already"],
  concurrency: [
    "it is due, and waits for its concurrency limit",
    "they are due, and wait for their concurrency limits",
  ],
  rate: ["it is due, and waits for its rate limit", "they are due, and wait for their rate limits"],
  dependencies: [
    "it depends on a task that has not completed, `firefly explain` names it",
    "they depend on tasks that have not completed, `firefly explain` names them",
  ],
  compensated: [
    "it has compensated its steps, `firefly fork` runs them again as another task",
    "they have compensated their steps, `firefly fork` runs them again as another task",
  ],
  suspended: [
    "its handler waits, `firefly explain` says for what",
    "their handlers wait, `firefly explain` says for what",
  ],
  unknown: ["no live consumer of its queue knows its name", "no live consumer of their queues knows their names"],
  duplicate: ["another task has its unique key", "other tasks have their unique keys"],
  completed: ["it has completed", "they have completed"],
  failed: [
    "it has failed, `firefly retry` schedules it again",
    "they have failed, `firefly retry` schedules them again",
  ],
  cancelled: [
    "it was cancelled, `firefly retry` schedules it again",
    "they were cancelled, `firefly retry` schedules them again",
  ],
};

/** The tasks that a command left as they are, by the reason. */
export class LeftTasks {
  readonly #reasons = new Map<LeftReason, { count: number; ids: number[] }>();

  /** Adds tasks, as `onLeft` of a bulk operation receives them. */
  readonly add = (left: readonly LeftTask[]): void => {
    for (const { id, reason } of left) {
      const entry = this.#reasons.get(reason) ?? { count: 0, ids: [] };
      this.#reasons.set(reason, entry);
      if (entry.count++ < NAMED) entry.ids.push(id);
    }
  };

  /** Whether there are none. */
  get isEmpty(): boolean {
    return this.#reasons.size === 0;
  }

  /** For JSON: each reason, how many tasks it kept, and the first of them. */
  toJSON(): { reason: LeftReason; count: number; ids: number[] }[] {
    return [...this.#reasons].map(([reason, { count, ids }]) => ({ reason, count, ids }));
  }

  /** For people: a line for each task, or for each reason that many tasks share. */
  *lines(): Generator<string> {
    for (const [reason, { count, ids }] of this.#reasons) {
      const [one, several] = REASONS[reason];
      if (count > NAMED) yield `${countTasks(count)} were left: ${several}`;
      else for (const id of ids) yield `Task ${id} was left: ${one}`;
    }
  }
}

/** What a command did that changes tasks. */
export interface Change {
  /** How to name what it did, for people and in JSON. */
  readonly words: { readonly done: string; readonly key: string; readonly mayBeNone?: boolean };
  /** How many tasks it changed. */
  readonly done: number;
  /** The filter as it was given, without a status that the command itself adds. */
  readonly filter: TaskFilter;
  readonly left: LeftTasks;
  /** What {@linkcode findMissing} found. */
  readonly missing: string[];
}

/** Prints how many tasks a command changed, and why it left others; returns the exit code. */
export async function reportChanged(
  ff: Firefly,
  terminal: Terminal,
  { words, done, filter, left, missing }: Change,
): Promise<number> {
  if (done === 0 && left.isEmpty && !filter.ids && !words.mayBeNone) left.add(await findUnchangeable(ff, filter));
  if (terminal.json) await terminal.printJson({ [words.key]: done, ...(left.isEmpty ? {} : { left: left.toJSON() }) });
  else {
    await terminal.print(`${words.done} ${countTasks(done)}`);
    for (const line of left.lines()) await terminal.print(line);
  }
  const code = reportMissing(missing, terminal);
  if (code !== EXIT.done || done > 0 || words.mayBeNone) return code;
  if (left.isEmpty) terminal.note("No task matches");
  return EXIT.nothingDone;
}

/** The tasks that match the filter, where none has the status that the command can change. */
async function findUnchangeable(ff: Firefly, filter: TaskFilter): Promise<LeftTask[]> {
  const { items } = await ff.tasks.list(filter, { limit: LOOKED_AT });
  return items.map(({ id, status }) => ({ id, reason: status === "created" ? "waiting" : status }));
}
