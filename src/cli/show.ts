import { usageError } from "./arguments.ts";
import type { Command } from "./command.ts";
import { EXIT } from "./exit_code.ts";
import { follow } from "./follow.ts";
import { withInstance } from "./settings.ts";
import { printRecord } from "./record_page.ts";
import { readRelated } from "../store/dependencies.ts";
import { SHOWN_RELATED } from "./related_tasks.ts";

/** `show`: shows one record in full. */
export const show: Command = {
  name: "show",
  usage: "<id>",
  positionals: [1, 1],
  summary: "Show a task: its arguments, result, times and errors",
  details:
    "With --follow, it shows the task again after every change until the task ends: in place on a terminal, otherwise " +
    "as one line of JSON per change. It then exits with 5 if the task failed or was cancelled.\n\n" +
    "The newest errors come first, and equal ones are shown once. JSON always has all of them, oldest first.\n\n" +
    "The last 20 steps are there, if the task has run any: `firefly steps` shows all. " +
    "Log lines are there if the task keeps them (its option keepLogs): the last 20, with --log up to 1,000, and JSON " +
    "has them only with --log. `firefly logs` shows those of all tasks.",
  flags: {
    follow: { short: "f", description: "Keep showing the task until it ends" },
    errors: { description: "Show all errors in full" },
    log: { description: "Show all log lines that are kept" },
  },
  examples: ["show 12", "show 12 --errors --table | less", "show 12 --follow", "show 12 --json | jq .returned"],
  async run(args, terminal) {
    const [id, ...more] = args.ids();
    if (id === undefined || more.length > 0) throw usageError("show", "it takes exactly one id");
    return await withInstance({ args, terminal, tasks: "none" }, async (ff) => {
      const record = await ff.tasks.get(id);
      if (args.isOn("follow")) return await follow(record, terminal);
      const all = args.isOn("log");
      const log = terminal.json && !all ? [] : await ff.tasks.log(id);
      const steps = terminal.json ? [] : await record.steps();
      const related = terminal.json
        ? []
        : await readRelated((await ff.connect()).database.records, id, SHOWN_RELATED + 1);
      await printRecord(record, terminal, { allErrors: args.isOn("errors"), log, allLog: all, steps, related });
      return EXIT.done;
    });
  },
};
