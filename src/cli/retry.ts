import { BULK_FLAGS, runBulk } from "./bulk.ts";
import type { Command } from "./command.ts";

/** `retry`: schedules failed tasks again. */
export const retry: Command = {
  name: "retry",
  usage: "[id…]",
  positionals: [0, Infinity],
  summary: "Schedule failed tasks again, now and with all their retries",
  details:
    "Tasks selected by id may be failed or cancelled. Filters and --all select failed tasks only, unless --status " +
    "cancelled is given. The task keeps its earlier errors.\n\n" +
    "It asks first, unless the tasks are named by their ids.",
  flags: { ...BULK_FLAGS, all: { description: "All failed tasks" } },
  examples: ["retry 12 13", "retry --queue mail --error 'connection refused' --dry-run", "retry --all --yes"],
  run: (args, terminal) =>
    runBulk({
      args,
      terminal,
      words: { verb: "Retry", done: "Retried", key: "retried" },
      affected: (filter) => ({ status: filter.ids ? ["failed", "cancelled"] : "failed", ...filter }),
      act: (ff, { chosen }, options) => ff.tasks.retry(chosen, options),
    }),
};
