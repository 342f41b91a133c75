import type { Command } from "./command.ts";
import { countTasks, FILTER_FLAGS, filterOf, findMissing, reportMissing, requireSelection } from "./filter.ts";
import { withCount } from "./progress_line.ts";
import { withInstance } from "./settings.ts";

/** `retry`: schedules tasks again that have failed. */
export const retry: Command = {
  name: "retry",
  usage: "[id…]",
  positionals: [0, Infinity],
  summary: "Schedule failed tasks again, now and with all of their retries",
  details:
    "Tasks chosen by their ids may be failed or cancelled. Filters and --all mean failed ones, unless --status " +
    "cancelled is given. What failed before stays in the task's errors.",
  flags: { ...FILTER_FLAGS, all: { description: "All tasks that have failed" } },
  examples: ["retry 12 13", "retry --status failed --queue mail", "retry --all"],
  async run(args, terminal) {
    const filter = filterOf(args);
    requireSelection("retry", args, filter);
    return await withInstance({ args, terminal, tasks: false }, async (ff) => {
      const missing = await findMissing(ff, filter);
      const status = filter.status ?? (filter.ids ? undefined : "failed");
      const retried = await withCount(
        terminal,
        "Retried",
        (onProgress) => ff.tasks.retry(status ? { ...filter, status } : filter, { onProgress }),
      );
      if (terminal.json) await terminal.printJson({ retried });
      else await terminal.print(`Retried ${countTasks(retried)}`);
      return reportMissing(missing, terminal);
    });
  },
};
