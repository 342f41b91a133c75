import { usageError } from "./arguments.ts";
import type { Command } from "./command.ts";
import { EXIT } from "./exit_code.ts";
import { withInstance } from "./settings.ts";
import { printSteps, toStepColumns } from "./steps_page.ts";

/** `steps`: shows the steps of a task. */
export const steps: Command = {
  name: "steps",
  usage: "<id>",
  positionals: [1, 1],
  summary: "Show the steps of a task, with their times and results, and what it waits for",
  details:
    "The steps stand in the order in which they ended; those that wait come last: for a time, a signal, other tasks, or " +
    "to be tried again. A step that runs, or has failed without being caught, is not among them.\n\n" +
    "Of one that waits, the time is that since it began.",
  flags: {},
  examples: ["steps 12", "steps 12 --json | jq -r .name"],
  async run(args, terminal) {
    const [id, ...more] = args.ids();
    if (id === undefined || more.length > 0) throw usageError("steps", "it takes exactly one id");
    return await withInstance({ args, terminal, tasks: "none" }, async (ff) => {
      const found = await (await ff.tasks.get(id)).steps();
      if (terminal.json) { for (const step of found) await terminal.printJson(toStepColumns(step, terminal)); }
      else if (found.length === 0) terminal.note(`Task ${id} has run no steps`);
      else await printSteps(found, terminal);
      return EXIT.done;
    });
  },
};
