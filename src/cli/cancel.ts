import { BULK_FLAGS, runBulk } from "./bulk.ts";
import type { Command } from "./command.ts";

/** `cancel`: cancels tasks that have not ended. */
export const cancel: Command = {
  name: "cancel",
  usage: "[id…]",
  positionals: [0, Infinity],
  summary: "Cancel tasks that have not ended",
  details:
    "Cancelling a running task aborts its handler's signal and rolls back its work through current().sql. With " +
    "--status created, tasks that have started meanwhile are not cancelled. Cancelled tasks can be retried.\n\n" +
    "It asks first, unless the tasks are named by their ids.",
  flags: { ...BULK_FLAGS, all: { description: "All tasks that have not ended" } },
  examples: ["cancel 12 13", "cancel --queue mail --status created --dry-run", "cancel --name reports.nightly --yes"],
  run: (args, terminal) =>
    runBulk({
      args,
      terminal,
      words: { verb: "Cancel", done: "Cancelled", key: "cancelled" },
      // Skips records that have ended: there may be millions of them.
      affected: (filter) => ({ status: ["created", "running"], ...filter }),
      act: (ff, { chosen }, options) => ff.tasks.cancel(chosen, options),
    }),
};
