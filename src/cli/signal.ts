import { type Arguments, usageError } from "./arguments.ts";
import type { Command } from "./command.ts";
import { EXIT } from "./exit_code.ts";
import { withInstance } from "./settings.ts";
import { parseTaskId } from "../task/task_id.ts";
import type { SignalTarget } from "../task/signal.ts";

/** `signal`: sends a signal to a task. */
export const signal: Command = {
  name: "signal",
  usage: "<id|name:key> <signal> [json-payload]",
  positionals: [2, 3],
  summary: "Send a signal to a task that waits for it, or will",
  details:
    "The task is named by its id, or by its name and the unique key that it holds, with a colon between them. A name " +
    "with colons of its own needs --key.\n\n" +
    "The payload is JSON; without it, there is none. No schema checks it here. The signal is kept until a step of the " +
    "task receives it: `firefly steps` shows what a task waits for.\n\n" +
    "It exits with 4 if there is no such task, or it has ended.",
  flags: { key: { value: "key", description: "The unique key of the task, whose name is the first argument then" } },
  examples: [
    `signal 17 approved '{"by": "Ada"}'`,
    `signal order.process:42 approved '{"by": "Ada"}'`,
    "signal order:process --key 42 stop",
  ],
  async run(args, terminal) {
    const [, name = ""] = args.positionals;
    const task = targetOf(args);
    const payload = payloadOf(args);
    return await withInstance({ args, terminal, tasks: "none" }, async (ff) => {
      const isSent = await ff.tasks.signal(task, { name, send: () => Promise.resolve(false) }, payload);
      if (terminal.json) await terminal.printJson({ sent: isSent });
      else if (isSent) await terminal.print(`Sent ${name} to ${describe(task)}`);
      else terminal.note(`There is no ${describe(task)} that has not ended`);
      return isSent ? EXIT.done : EXIT.noSuchTask;
    });
  },
};

function targetOf(args: Arguments): number | SignalTarget {
  const [text = ""] = args.positionals;
  const key = args.text("key");
  if (key !== undefined) return { funcName: text, uniqueKey: key };
  const colon = text.indexOf(":");
  if (colon > 0 && colon < text.length - 1) return { funcName: text.slice(0, colon), uniqueKey: text.slice(colon + 1) };
  try {
    return parseTaskId(text);
  } catch {
    throw usageError("signal", `the task must be an id, or a name and a unique key, as in order.process:42: "${text}"`);
  }
}

function payloadOf({ positionals: [, , text] }: Arguments): unknown {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw usageError("signal", `the payload must be JSON: ${(error as Error).message}`);
  }
}

function describe(task: number | SignalTarget): string {
  return typeof task === "number" ? `task ${task}` : `task "${task.funcName}" with the unique key "${task.uniqueKey}"`;
}
