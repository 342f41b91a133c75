import { BULK_FLAGS, runBulk } from "./bulk.ts";
import type { Command } from "./command.ts";

/** `delete`: deletes records. */
export const deleteTasks: Command = {
  name: "delete",
  usage: "[id…]",
  positionals: [0, Infinity],
  summary: "Delete tasks",
  details:
    "This deletes waiting tasks as well as tasks that have ended. Deleting a running task aborts its handler's signal " +
    "and rolls back its work through current().sql.\n\n" +
    "It asks first, unless the tasks are named by their ids.",
  flags: { ...BULK_FLAGS, all: { description: "All tasks, whatever their status" } },
  examples: ["delete 12", "delete --status completed --older-than 12h --dry-run", "delete --all --yes"],
  run: (args, terminal) =>
    runBulk({
      args,
      terminal,
      words: { verb: "Delete", done: "Deleted", key: "deleted", mayBeNone: true },
      affected: (filter) => filter,
      act: (ff, { chosen }, options) => ff.tasks.delete(chosen, options),
    }),
};
