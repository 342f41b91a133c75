import type { PruneOptions } from "../records/prune.ts";
import { omitUndefined } from "./arguments.ts";
import type { Command } from "./command.ts";
import { EXIT } from "./exit_code.ts";
import { countTasks } from "./filter.ts";
import { ProgressLine } from "./progress_line.ts";
import { withInstance } from "./settings.ts";
import { describe } from "./terminal.ts";

/** `prune`: deletes records whose retention has expired. */
export const prune: Command = {
  name: "prune",
  usage: "",
  positionals: [0, 0],
  summary: "Delete records whose retention has expired",
  details:
    "Consumers do this automatically from time to time. Completed records are kept for 7 days, failed and cancelled " +
    "ones for 30 days, unless their task, their queue or the configuration sets a retention.\n\n" +
    "--completed and --failed replace the configuration's default. They do not override the retention of a task or a " +
    "queue; to delete records regardless of retention, use `delete --older-than`.",
  flags: {
    "dry-run": { description: "Count the records without deleting them" },
    completed: { value: "duration", description: "How long to keep completed records, such as 12h or 7d" },
    failed: { value: "duration", description: "How long to keep failed and cancelled records" },
  },
  examples: ["prune --dry-run", "prune", "prune --completed 1d --failed 7d"],
  async run(args, terminal) {
    const dryRun = args.isOn("dry-run");
    const flags = omitUndefined({ completed: args.duration("completed"), failed: args.duration("failed") });
    return await withInstance({ args, terminal, tasks: "none" }, async (ff) => {
      const line = new ProgressLine(terminal);
      const problems: unknown[] = [];
      const options: PruneOptions = {
        dryRun,
        onProgress: ({ pruned, share }) => line.update(countTasks(pruned), share),
      };
      if (Object.keys(flags).length > 0) {
        options.retention = { ...configured(ff.options.defaults?.retention), ...flags };
      }
      ff.on("consumer.error", ({ error }) => problems.push(error));
      const pruned = await ff.prune(options).finally(() => line.end());
      for (const problem of problems) terminal.warn(describe(terminal.redactor.redact(problem)));
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
