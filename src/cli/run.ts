import type { Command } from "./command.ts";
import { FILTER_FLAGS, filterOf, findMissing, requireSelection } from "./filter.ts";
import { LeftTasks, reportChanged } from "./left_tasks.ts";
import { withCount } from "./progress_line.ts";
import { withInstance } from "./settings.ts";

/** `run`: makes tasks due now that wait for their time. */
export const run: Command = {
  name: "run",
  usage: "[id…]",
  positionals: [0, Infinity],
  summary: "Run tasks now that wait for a delay or a retry",
  details:
    "The tasks are due at once, with the attempts that they have left, and still wait for their limits. Tasks that are " +
    "due already, run or have ended are left as they are. Filters and --all select tasks that have not started.",
  flags: { ...FILTER_FLAGS, all: { description: "All tasks that wait" } },
  examples: ["run 12 13", "run --queue orders", "run --name mail.send --tag vip"],
  async run(args, terminal) {
    const filter = filterOf(args);
    requireSelection("run", args, filter);
    return await withInstance({ args, terminal, tasks: "none" }, async (ff) => {
      const missing = await findMissing(ff, filter);
      const left = new LeftTasks();
      const done = await withCount(terminal, "Made due now:", (onProgress) => {
        return ff.tasks.run(filter, { onProgress, onLeft: left.add });
      });
      return await reportChanged(ff, terminal, { command: "run", done, filter, left, missing });
    });
  },
};
