import { BULK_FLAGS, runBulk } from "./bulk.ts";
import type { Command } from "./command.ts";

/** `run`: makes tasks due now that wait for their time. */
export const run: Command = {
  name: "run",
  usage: "[id…]",
  positionals: [0, Infinity],
  summary: "Run tasks now that wait for a delay or a retry",
  details:
    "The tasks are due at once, with the attempts that they have left, and still wait for their limits. Tasks that are " +
    "due already, run or have ended are left as they are. Filters and --all select tasks that wait for their time.\n\n" +
    "It asks first, unless the tasks are named by their ids.",
  flags: { ...BULK_FLAGS, all: { description: "All tasks that wait for a delay or a retry" } },
  examples: ["run 12 13", "run --queue orders --dry-run", "run --name mail.send --tag vip --yes"],
  run: (args, terminal) =>
    runBulk({
      args,
      terminal,
      words: { verb: "Run", done: "Made due now:", key: "run" },
      affected: (filter) => ({ status: ["delayed", "retrying"], ...filter }),
      act: (ff, { filter }, options) => ff.tasks.run(filter, options), // it says why it leaves each of the others
    }),
};
