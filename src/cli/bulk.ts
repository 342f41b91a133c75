import type { Firefly } from "../firefly/firefly.ts";
import type { BulkOptions } from "../records/bulk.ts";
import type { TaskFilter } from "../task/record.ts";
import { type Arguments, usageError } from "./arguments.ts";
import type { Flags } from "./flags.ts";
import { EXIT } from "./exit_code.ts";
import { countTasks, FILTER_FLAGS, filterOf, findMissing, reportMissing, requireSelection } from "./filter.ts";
import { LeftTasks, reportChanged } from "./left_tasks.ts";
import { withCount } from "./progress_line.ts";
import { withInstance } from "./settings.ts";
import { printRecords } from "./task_table.ts";
import type { Terminal } from "./terminal.ts";

/** How many tasks `--dry-run` shows. */
const SHOWN = 10;

/** The flags of commands that change all tasks of a filter, beside `--all`. */
export const BULK_FLAGS: Flags = {
  ...FILTER_FLAGS,
  "dry-run": { description: `Change nothing: show how many tasks it would change, and the newest ${SHOWN}` },
  yes: { description: "Do not ask. Needed with a filter or --all where there is no terminal to ask on" },
};

/** How the output of a command names what it does. */
export interface BulkWords {
  readonly verb: string;
  readonly done: string;
  readonly key: string;
  /** Whether it is no failure that nothing was left to do. @default false */
  readonly mayBeNone?: boolean;
}

/** A command that changes all tasks of a filter. */
export interface BulkCommand {
  readonly args: Arguments;
  readonly terminal: Terminal;
  /** The verb, for the question, and what it did, for the outcome and in JSON: `Retry`, `Retried`, `retried`. */
  readonly words: BulkWords;
  /** Narrows the user's filter to the tasks that can change. */
  affected(filter: TaskFilter): TaskFilter;
  /**
   * Changes tasks, and returns their number; `options.onLeft` receives those that it left. `chosen` are those that the
   * user named by their ids, else those of `affected`; `filter` is the user's own.
   */
  act(ff: Firefly, tasks: { chosen: TaskFilter; filter: TaskFilter }, options: BulkOptions): Promise<number>;
}

/**
 * Changes the tasks that the flags select. It asks before, unless they are named by their ids; where it cannot ask, it
 * refuses to act without `--yes`.
 */
export async function runBulk({ args, terminal, words, affected, act }: BulkCommand): Promise<number> {
  const filter = filterOf(args);
  requireSelection(args.command, args, filter);
  const { verb, done: heading, key } = words;
  return await withInstance({ args, terminal, tasks: "none" }, async (ff) => {
    const missing = await findMissing(ff, filter);
    const candidates = affected(filter);
    if (args.isOn("dry-run")) {
      const count = await ff.tasks.count(candidates);
      const { items } = await ff.tasks.list(candidates, { limit: SHOWN });
      if (terminal.json) {
        await terminal.printJson({ [key]: count, dry_run: true, newest: items.map(({ id }) => id) });
      } else {
        await terminal.print(`Would ${verb.toLowerCase()} ${countTasks(count)}${count > SHOWN ? "; the newest:" : ""}`);
        await printRecords(items, terminal);
      }
      return reportMissing(missing, terminal);
    }
    if (!filter.ids && !args.isOn("yes")) {
      const count = await ff.tasks.count(candidates);
      if (count > 0 && !await confirmed(terminal, args.command, `${verb} ${countTasks(count)}`)) {
        terminal.note("Nothing was changed");
        return EXIT.done;
      }
    }
    const left = new LeftTasks();
    const tasks = { chosen: filter.ids ? filter : candidates, filter };
    const done = await withCount(terminal, heading, (onProgress) => act(ff, tasks, { onProgress, onLeft: left.add }));
    return await reportChanged(ff, terminal, { words, done, filter, left, missing });
  });
}

/**
 * Asks for consent to `action`, as `Retry 3 tasks`.
 *
 * @throws {UsageError} If there is no terminal to ask on.
 */
export async function confirmed(terminal: Terminal, command: string, action: string): Promise<boolean> {
  if (terminal.canAsk) return await terminal.confirm(`${action}?`);
  throw usageError(
    command,
    `there is no terminal to ask on whether to ${action[0]!.toLowerCase()}${action.slice(1)}: add --yes, ` +
      "or look first with --dry-run",
  );
}
