import { toPlaceChange } from "../records/reschedule.ts";
import type { RescheduleOptions } from "../task/record.ts";
import { type Arguments, asUsage, omitUndefined, usageError } from "./arguments.ts";
import { BULK_FLAGS, runBulk } from "./bulk.ts";
import type { Command } from "./command.ts";

/** `reschedule`: gives tasks another time, queue or priority. */
export const reschedule: Command = {
  name: "reschedule",
  usage: "[id…]",
  positionals: [0, Infinity],
  summary: "Give tasks that have not started another time, queue or priority",
  details:
    "The tasks keep their other options and the attempts that they have left. Tasks that run or have ended are " +
    "left as they are. Tasks whose values are encrypted cannot move to another queue.\n\n" +
    "It asks first, unless the tasks are named by their ids.",
  flags: {
    ...BULK_FLAGS,
    all: { description: "All tasks that have not started" },
    delay: { value: "duration", description: "Run them after this delay from now" },
    "not-before": { value: "time", description: "Do not run them before this time" },
    "to-queue": { value: "name", description: "Move them to this queue" },
    priority: { value: "number", description: "Their new priority: higher priorities run first" },
  },
  examples: [
    "reschedule 12 --delay 10m",
    "reschedule --queue mail --to-queue bulk --dry-run",
    "reschedule 12 13 --priority 5",
  ],
  run(args, terminal) {
    const changes = changesOf(args);
    return runBulk({
      args,
      terminal,
      words: { verb: "Reschedule", done: "Rescheduled", key: "rescheduled" },
      affected: (filter) => ({ status: "created", ...filter }),
      act: (ff, { chosen }, options) => ff.tasks.reschedule(chosen, changes, options),
    });
  },
};

function changesOf(args: Arguments): RescheduleOptions {
  const changes = omitUndefined({
    delay: args.duration("delay"),
    notBefore: args.date("not-before"),
    queue: args.text("to-queue"),
    priority: args.integer("priority", -Infinity),
  });
  if (Object.keys(changes).length === 0) {
    throw usageError("reschedule", "it needs --delay, --not-before, --to-queue or --priority");
  }
  if (changes.delay !== undefined && changes.notBefore !== undefined) {
    throw usageError("reschedule", "--delay and --not-before exclude each other");
  }
  asUsage(() => toPlaceChange(changes, "reschedule tasks"));
  return changes;
}
