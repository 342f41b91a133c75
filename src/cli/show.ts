import { usageError } from "./arguments.ts";
import type { Command } from "./command.ts";
import { EXIT } from "./exit_code.ts";
import { withInstance } from "./settings.ts";
import { printRecord } from "./record_page.ts";

/** `show`: shows one record in full. */
export const show: Command = {
  name: "show",
  usage: "<id>",
  positionals: [1, 1],
  summary: "Show a task: its arguments, result, times and errors",
  flags: {},
  examples: ["show 12", "show 12 --json | jq .returned"],
  async run(args, terminal) {
    const [id, ...more] = args.ids();
    if (id === undefined || more.length > 0) throw usageError("show", "it takes one id");
    return await withInstance({ args, terminal, tasks: false }, async (ff) => {
      await printRecord(await ff.tasks.get(id), terminal);
      return EXIT.done;
    });
  },
};
