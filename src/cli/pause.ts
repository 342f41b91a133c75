import type { Firefly } from "../firefly/firefly.ts";
import type { Command } from "./command.ts";
import { type Arguments, asUsage } from "./arguments.ts";
import { checkQueueName } from "../task/definition.ts";
import { EXIT } from "./exit_code.ts";
import { withInstance } from "./settings.ts";
import type { Terminal } from "./terminal.ts";

/** `pause`: pauses queues. */
export const pause: Command = {
  name: "pause",
  usage: "<queue…>",
  positionals: [1, Infinity],
  summary: "Pause queues: their tasks wait until the queues are resumed",
  details:
    "Tasks can still be scheduled, and running tasks continue. A queue stays paused across restarts. It can be paused " +
    "before it has any tasks.",
  flags: { reason: { value: "text", description: "Why, for queues and doctor" } },
  examples: ["pause mail", 'pause mail reports --reason "the server of the provider is down"'],
  run(args, terminal) {
    const reason = args.text("reason");
    const options = reason === undefined ? {} : { reason };
    return onQueues({ args, terminal, verb: "paused", act: (ff, queue) => ff.pause(queue, options) });
  },
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
    for (const queue of queues) {
      const changed = await act(ff, queue);
      if (terminal.json) await terminal.printJson({ queue, paused: verb === "paused", changed });
      else await terminal.print(changed ? `Queue ${queue} is ${verb}` : `Queue ${queue} was ${stateBefore(verb)}`);
    }
    return EXIT.done;
  });
}

function stateBefore(verb: Act["verb"]): string {
  return verb === "paused" ? "already paused" : "not paused";
}
