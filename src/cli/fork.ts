import { usageError } from "./arguments.ts";
import type { Command } from "./command.ts";
import { EXIT } from "./exit_code.ts";
import { withInstance } from "./settings.ts";

/** `fork`: schedules a copy of a task that begins with its steps. */
export const fork: Command = {
  name: "fork",
  usage: "<id>",
  positionals: [1, 1],
  summary: "Schedule a copy of a task that begins with the steps that it has run",
  details:
    "The copy gets the results of the steps that ended before the step --from, or of all steps that have ended, and " +
    "runs the others. It prints the id of the copy. The task itself stays as it is, and may still run.\n\n" +
    "The copy has the task's unique key only if that is free, as it is once the task has ended.",
  flags: {
    from: { value: "step", description: "The name of the first step to run again" },
    key: { value: "key", description: "The key of that step, where several have the name" },
  },
  examples: ["fork 17", "fork 17 --from charge", "fork 17 --from page --key 3"],
  async run(args, terminal) {
    const [id, ...more] = args.ids();
    if (id === undefined || more.length > 0) throw usageError("fork", "it takes exactly one id");
    const [step, key] = [args.text("from"), args.text("key")];
    if (key !== undefined && step === undefined) throw usageError("fork", "--key takes the name of its step by --from");
    return await withInstance({ args, terminal, tasks: "none" }, async (ff) => {
      const from = step === undefined ? {} : { from: { step, ...(key === undefined ? {} : { key }) } };
      const record = await ff.tasks.fork(id, from);
      if (terminal.json) await terminal.printJson({ id: record.id, forked_from: id });
      else await terminal.print(String(record.id));
      return EXIT.done;
    });
  },
};
