import type { Command } from "./command.ts";
import { FILTER_FLAGS, filterOf, findMissing, requireSelection } from "./filter.ts";
import { LeftTasks, reportChanged } from "./left_tasks.ts";
import { withCount } from "./progress_line.ts";
import { withInstance } from "./settings.ts";

/** `retry`: schedules failed tasks again. */
export const retry: Command = {
  name: "retry",
  usage: "[id…]",
  positionals: [0, Infinity],
  summary: "Schedule failed tasks again, now and with all their retries",
  details:
    "Tasks selected by id may be failed or cancelled. Filters and --all select failed tasks only, unless --status " +
    "cancelled is given. The task keeps its earlier errors.",
  flags: { ...FILTER_FLAGS, all: { description: "All failed tasks" } },
  examples: ["retry 12 13", "retry --status failed --queue mail", "retry --all"],
  async run(args, terminal) {
    const filter = filterOf(args);
    requireSelection("retry", args, filter);
    return await withInstance({ args, terminal, tasks: "none" }, async (ff) => {
      const missing = await findMissing(ff, filter);
      const status = filter.status ?? (filter.ids ? undefined : "failed");
      const left = new LeftTasks();
      const retried = await withCount(terminal, "Retried", (onProgress) => {
        return ff.tasks.retry(status ? { ...filter, status } : filter, { onProgress, onLeft: left.add });
      });
      return await reportChanged(ff, terminal, { command: "retry", done: retried, filter, left, missing });
    });
  },
};
