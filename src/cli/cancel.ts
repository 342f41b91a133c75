import { type Arguments, usageError } from "./arguments.ts";
import { BULK_FLAGS, type BulkWords, runBulk } from "./bulk.ts";
import type { Command } from "./command.ts";
import { EXIT } from "./exit_code.ts";
import { countTasks, filterOf, findMissing, reportMissing } from "./filter.ts";
import { withInstance } from "./settings.ts";
import type { Terminal } from "./terminal.ts";

const WORDS: BulkWords = { verb: "Cancel", done: "Cancelled", key: "cancelled" };

/** `cancel`: cancels tasks that have not ended. */
export const cancel: Command = {
  name: "cancel",
  usage: "[id…]",
  positionals: [0, Infinity],
  summary: "Cancel tasks that have not ended",
  details:
    "Cancelling a running task aborts its handler's signal and rolls back its work through current().sql. With " +
    "--status created, tasks that have started meanwhile are not cancelled. Cancelled tasks can be retried.\n\n" +
    "It asks first, unless the tasks are named by their ids.\n\n" +
    "Tasks that depend on a cancelled one are cancelled in turn; --graph cancels those that it depends on, too.",
  flags: {
    ...BULK_FLAGS,
    all: { description: "All tasks that have not ended" },
    graph: { description: "All tasks that hang together with those of these ids by their dependencies" },
  },
  examples: [
    "cancel 12 13",
    "cancel 12 --graph",
    "cancel --queue mail --status created --dry-run",
    "cancel --name reports.nightly --yes",
  ],
  run: (args, terminal) =>
    args.isOn("graph") ? cancelGraphs(args, terminal) : runBulk({
      args,
      terminal,
      words: WORDS,
      // Skips records that have ended: there may be millions of them.
      affected: (filter) => ({ status: ["created", "running"], ...filter }),
      act: (ff, { chosen }, options) => ff.tasks.cancel(chosen, options),
    }),
};

/** Cancels the tasks that hang together with those of the ids. */
async function cancelGraphs(args: Arguments, terminal: Terminal): Promise<number> {
  const { ids = [], ...filter } = filterOf(args);
  if (ids.length === 0 || Object.keys(filter).length > 0 || args.isOn("all")) {
    throw usageError("cancel", "--graph takes ids, and no other choice of tasks");
  }
  return await withInstance({ args, terminal, tasks: "none" }, async (ff) => {
    const { items } = await ff.tasks.list({ ids }, { limit: ids.length });
    const missing = await findMissing(ff, { ids });
    if (args.isOn("dry-run")) {
      const open = new Set<number>();
      for (const { id } of items) {
        for (const node of await ff.tasks.graph(id)) {
          if (node.status === "created" || node.status === "running") open.add(node.id);
        }
      }
      const newest = [...open].sort((a, b) => b - a).slice(0, 10);
      if (terminal.json) await terminal.printJson({ cancelled: open.size, dry_run: true, newest });
      else await terminal.print(`Would cancel ${countTasks(open.size)}`);
      return reportMissing(missing, terminal);
    }
    let cancelled = 0;
    for (const { id } of items) cancelled += await ff.tasks.cancelGraph(id);
    if (terminal.json) await terminal.printJson({ [WORDS.key]: cancelled });
    else await terminal.print(`${WORDS.done} ${countTasks(cancelled)}`);
    const code = reportMissing(missing, terminal);
    return code !== EXIT.done || cancelled > 0 ? code : EXIT.nothingDone;
  });
}
