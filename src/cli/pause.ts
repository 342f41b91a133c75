import type { Firefly } from "../firefly/firefly.ts";
import type { Command } from "./command.ts";
import { type Arguments, asUsage } from "./arguments.ts";
import { checkQueueName } from "../task/definition.ts";
import { findUnknownWords, reportMissing } from "./filter.ts";
import { withInstance } from "./settings.ts";
import type { Terminal } from "./terminal.ts";

/** `pause`: pauses queues. */
export const pause: Command = {
  name: "pause",
  usage: "<queue…>",
  positionals: [1, Infinity],
  summary: "Pause queues: their tasks wait until the queues are resumed",
  details:
    "Tasks can still be scheduled, and running tasks continue. A queue stays paused across restarts. A queue that does " +
    "not exist yet is paused as well, but the command reports it and exits with 4.",
  flags: {},
  examples: ["pause mail", "pause mail reports"],
  run: (args, terminal) => onQueues({ args, terminal, verb: "paused", act: (ff, queue) => ff.pause(queue) }),
};

/** `resume`: resumes paused queues. */
export const resume: Command = {
  name: "resume",
  usage: "<queue…>",
  positionals: [1, Infinity],
  summary: "Resume paused queues: consumers claim their tasks again at once",
  flags: {},
  examples: ["resume mail", "resume mail reports"],
  run: (args, terminal) => onQueues({ args, terminal, verb: "resumed", act: (ff, queue) => ff.resume(queue) }),
};

interface Act {
  args: Arguments;
  terminal: Terminal;
  /** The new state of the queue, for the output. */
  verb: "paused" | "resumed";
  act(ff: Firefly, queue: string): Promise<boolean>;
}

async function onQueues({ args, terminal, verb, act }: Act): Promise<number> {
  const queues = [...new Set(args.positionals)];
  for (const queue of queues) asUsage(() => checkQueueName(queue, verb === "paused" ? "pause" : "resume"));
  return await withInstance({ args, terminal, tasks: "none" }, async (ff) => {
    const unknown = await findUnknownWords(ff, { names: [], queues });
    for (const queue of queues) {
      const changed = await act(ff, queue);
      if (terminal.json) await terminal.printJson({ queue, paused: verb === "paused", changed });
      else await terminal.print(changed ? `Queue ${queue} is ${verb}` : `Queue ${queue} was ${stateBefore(verb)}`);
    }
    if (unknown.length > 0 && verb === "paused") terminal.note("Queues that do not exist yet are paused all the same");
    return reportMissing(unknown, terminal);
  });
}

function stateBefore(verb: Act["verb"]): string {
  return verb === "paused" ? "already paused" : "not paused";
}
