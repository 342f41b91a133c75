import type { PruneOptions } from "../records/prune.ts";
import { given } from "./arguments.ts";
import type { Command } from "./command.ts";
import { EXIT } from "./exit_code.ts";
import { countTasks } from "./filter.ts";
import { ProgressLine } from "./progress_line.ts";
import { withInstance } from "./settings.ts";

/** `prune`: deletes records that were kept for long enough. */
export const prune: Command = {
  name: "prune",
  usage: "",
  positionals: [0, 0],
  summary: "Delete the records that were kept for long enough",
  details:
    "Consumers do so by themselves, from time to time. Completed records are kept for 7 days, failed and cancelled " +
    "ones for 30, unless a task, its queue or the configuration says otherwise.\n\n" +
    "--completed and --failed stand for what the configuration says: a task or queue with a retention of its own " +
    'keeps it. To delete records whatever is said of them, use "delete --older-than".',
  flags: {
    "dry-run": { description: "Count the records, and delete none" },
    completed: { value: "duration", description: "How long completed records are kept, such as 12h or 7d" },
    failed: { value: "duration", description: "How long failed and cancelled records are kept" },
  },
  examples: ["prune --dry-run", "prune", "prune --completed 1d --failed 7d"],
  async run(args, terminal) {
    const dryRun = args.isOn("dry-run");
    const flags = given({ completed: args.duration("completed"), failed: args.duration("failed") });
    return await withInstance({ args, terminal, tasks: false }, async (ff) => {
      const line = new ProgressLine(terminal);
      const options: PruneOptions = {
        dryRun,
        onProgress: ({ pruned, share }) => line.update(countTasks(pruned), share),
      };
      if (Object.keys(flags).length > 0) {
        options.retention = { ...configured(ff.options.defaults?.retention), ...flags };
      }
      const pruned = await ff.prune(options).finally(() => line.end());
      if (terminal.json) await terminal.printJson({ pruned, dry_run: dryRun });
      else await terminal.print(`${dryRun ? "Would prune" : "Pruned"} ${countTasks(pruned)}`);
      return EXIT.done;
    });
  },
};

/** What the configuration says, as two durations. */
function configured(retention: PruneOptions["retention"]) {
  if (retention === undefined || typeof retention === "object") return retention;
  return { completed: retention, failed: retention };
}
