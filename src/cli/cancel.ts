import type { Command } from "./command.ts";
import { countTasks, FILTER_FLAGS, filterOf, findMissing, reportMissing, requireSelection } from "./filter.ts";
import { withCount } from "./progress_line.ts";
import { withInstance } from "./settings.ts";

/** `cancel`: cancels tasks that have not ended. */
export const cancel: Command = {
  name: "cancel",
  usage: "[id…]",
  positionals: [0, Infinity],
  summary: "Cancel tasks that have not ended",
  details:
    "The signal of a running handler aborts, and what it did through current().sql is rolled back. With --status " +
    "created, tasks that run by the time their turn comes are left alone. What was cancelled can be retried.",
  flags: { ...FILTER_FLAGS, all: { description: "All tasks that have not ended" } },
  examples: ["cancel 12 13", "cancel --queue mail --status created", "cancel --name reports.nightly"],
  async run(args, terminal) {
    const filter = filterOf(args);
    requireSelection("cancel", args, filter);
    return await withInstance({ args, terminal, tasks: false }, async (ff) => {
      const missing = await findMissing(ff, filter);
      // Of records that have ended there may be millions: they need not be looked at one by one.
      const status = filter.status ?? (filter.ids ? undefined : ["created" as const, "running" as const]);
      const cancelled = await withCount(
        terminal,
        "Cancelled",
        (onProgress) => ff.tasks.cancel(status ? { ...filter, status } : filter, { onProgress }),
      );
      if (terminal.json) await terminal.printJson({ cancelled });
      else await terminal.print(`Cancelled ${countTasks(cancelled)}`);
      return reportMissing(missing, terminal);
    });
  },
};
