import type { Firefly } from "../firefly/firefly.ts";
import type { TaskFilter } from "../task/record.ts";
import type { Command } from "./command.ts";
import { EXIT } from "./exit_code.ts";
import { countTasks, FILTER_FLAGS, filterOf, findMissing, reportMissing, requireSelection } from "./filter.ts";
import { withCount } from "./progress_line.ts";
import { withInstance } from "./settings.ts";

/** Above this number, the confirmation prompt says "more than". */
const COUNTED = 1000;

/** `delete`: deletes records. */
export const deleteTasks: Command = {
  name: "delete",
  usage: "[id…]",
  positionals: [0, Infinity],
  summary: "Delete tasks",
  details:
    "This deletes waiting tasks as well as tasks that have ended. Deleting a running task aborts its handler's signal " +
    "and rolls back its work through current().sql. On a terminal, it asks before it deletes more than one task.",
  flags: {
    ...FILTER_FLAGS,
    all: { description: "All tasks, whatever their status" },
    yes: { description: "Do not ask" },
  },
  examples: ["delete 12", "delete --status completed --older-than 12h", "delete --all --yes"],
  async run(args, terminal) {
    const filter = filterOf(args);
    requireSelection("delete", args, filter);
    return await withInstance({ args, terminal, tasks: "none" }, async (ff) => {
      const missing = await findMissing(ff, filter);
      const question = args.isOn("yes") || !terminal.canAsk ? undefined : await questionFor(ff, filter);
      if (question && !await terminal.confirm(question)) {
        terminal.note("Nothing was deleted");
        return EXIT.done;
      }
      const deleted = await withCount(terminal, "Deleted", (onProgress) => ff.tasks.delete(filter, { onProgress }));
      if (terminal.json) await terminal.printJson({ deleted });
      else await terminal.print(`Deleted ${countTasks(deleted)}`);
      return reportMissing(missing, terminal);
    });
  },
};

/** The confirmation prompt; undefined for at most one task. */
async function questionFor(ff: Firefly, filter: TaskFilter): Promise<string | undefined> {
  const { items } = await ff.tasks.list(filter, { limit: COUNTED + 1 });
  if (items.length <= 1) return undefined;
  return `Delete ${items.length > COUNTED ? `more than ${COUNTED} tasks` : countTasks(items.length)}?`;
}
