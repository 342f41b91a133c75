import type { Firefly } from "../firefly/firefly.ts";
import type { Command } from "./command.ts";
import { readQueueNames } from "../store/queues.ts";
import { asSentences, didYouMean } from "../suggest.ts";
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
    "Tasks can still be scheduled, and running tasks continue. A queue stays paused across restarts. With --yes, it can " +
    "be paused before it has any tasks, consumers or settings.",
  flags: {
    reason: { value: "text", description: "Why, for queues and doctor" },
    yes: { description: "Do not ask about a queue that does not exist yet" },
  },
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
    const isRefused = !args.isOn("yes") && await refuseUnknown(ff, { queues, terminal, verb });
    if (isRefused) return EXIT.noSuchTask;
    for (const queue of queues) {
      const changed = await act(ff, queue);
      if (terminal.json) await terminal.printJson({ queue, paused: verb === "paused", changed });
      else await terminal.print(changed ? `Queue ${queue} is ${verb}` : `Queue ${queue} was ${stateBefore(verb)}`);
    }
    return EXIT.done;
  });
}

/** Whether a queue does not exist, which is most likely a misspelled name, and the user does not want to create it. */
async function refuseUnknown(
  ff: Firefly,
  { queues, terminal, verb }: { queues: string[]; terminal: Terminal; verb: Act["verb"] },
): Promise<boolean> {
  const known = await readQueueNames((await ff.connect()).database.records);
  const unknown = queues.filter((queue) => !known.includes(queue));
  for (const queue of unknown) {
    const missing = `There is no queue "${queue}"${didYouMean(queue, known)}`;
    if (verb === "paused" && terminal.canAsk) {
      terminal.note(missing);
      if (await terminal.confirm(`Pause "${queue}" before it has any tasks?`)) continue;
      return true;
    }
    const remedy = verb === "resumed" ? "" : "Add --yes to pause it before it has any tasks";
    terminal.printError(asSentences(missing, remedy));
  }
  return unknown.length > 0 && (verb === "resumed" || !terminal.canAsk);
}

function stateBefore(verb: Act["verb"]): string {
  return verb === "paused" ? "already paused" : "not paused";
}
