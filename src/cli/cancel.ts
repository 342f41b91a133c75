import type { Command } from "./command.ts";
import { FILTER_FLAGS, filterOf, findMissing, requireSelection } from "./filter.ts";
import { LeftTasks, reportChanged } from "./left_tasks.ts";
import { withCount } from "./progress_line.ts";
import { withInstance } from "./settings.ts";

/** `cancel`: cancels tasks that have not ended. */
export const cancel: Command = {
  name: "cancel",
  usage: "[id…]",
  positionals: [0, Infinity],
  summary: "Cancel tasks that have not ended",
  details:
    "Cancelling a running task aborts its handler's signal and rolls back its work through current().sql. With " +
    "--status created, tasks that have started meanwhile are not cancelled. Cancelled tasks can be retried.",
  flags: { ...FILTER_FLAGS, all: { description: "All tasks that have not ended" } },
  examples: ["cancel 12 13", "cancel --queue mail --status created", "cancel --name reports.nightly"],
  async run(args, terminal) {
    const filter = filterOf(args);
    requireSelection("cancel", args, filter);
    return await withInstance({ args, terminal, tasks: "none" }, async (ff) => {
      const missing = await findMissing(ff, filter);
      // Skips records that have ended: there may be millions of them.
      const status = filter.status ?? (filter.ids ? undefined : ["created" as const, "running" as const]);
      const left = new LeftTasks();
      const cancelled = await withCount(terminal, "Cancelled", (onProgress) => {
        return ff.tasks.cancel(status ? { ...filter, status } : filter, { onProgress, onLeft: left.add });
      });
      return await reportChanged(ff, terminal, { command: "cancel", done: cancelled, filter, left, missing });
    });
  },
};
