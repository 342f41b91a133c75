import { toSeconds } from "../duration.ts";
import type { Firefly } from "../firefly/firefly.ts";
import { readQueueActivity, readRecentErrors } from "../store/activity.ts";
import { errorFields, queueFields } from "./activity.ts";
import { usageError } from "./arguments.ts";
import type { Command } from "./command.ts";
import { fieldsOfConsumer } from "./consumers.ts";
import { EXIT } from "./exit_code.ts";
import { showLive } from "./live.ts";
import { withInstance } from "./settings.ts";
import { intervalOf } from "./stats.ts";
import { renderTop, type Snapshot } from "./top_page.ts";

/** The longest span of the rates, in seconds. */
const LONGEST_SPAN = 3600;

/** `top`: shows what runs and what fails, as it changes. */
export const top: Command = {
  name: "top",
  usage: "",
  positionals: [0, 0],
  summary: "Show live what runs and what fails: queues, consumers, the longest running tasks, errors",
  details:
    "It fills the terminal and redraws it; q or Ctrl-C ends it. Each part has as many lines as fit. Where stdout is no " +
    "terminal, and with --json, it prints one snapshot and ends. Rates and errors are those of the last minutes, as " +
    "consumers wrote them; consumers and what they run are read each time. It reads no records of tasks that have ended.",
  flags: {
    since: { value: "duration", byDefault: "5m", description: "The span of rates and errors" },
    interval: { value: "duration", byDefault: "2s", description: "How often to redraw" },
  },
  examples: ["top", "top --interval 500ms", "top --json | jq .errors"],
  async run(args, terminal) {
    const seconds = toSeconds(args.duration("since") ?? "5m", "since");
    if (seconds < 60 || seconds > LONGEST_SPAN) {
      throw usageError("top", `"--since" must be from 1m to 1h: current value is "${args.text("since")}"`);
    }
    const interval = intervalOf(args);
    return await withInstance({ args, terminal, tasks: "none" }, async (ff) => {
      const render = async () => renderTop(await take(ff, seconds), terminal);
      if (terminal.json) await terminal.printJson(fieldsOf(await take(ff, seconds)));
      else if (terminal.canMove) await showLive(terminal, { interval, render });
      else await terminal.print((await render()).join("\n"));
      return EXIT.done;
    });
  },
};

async function take(ff: Firefly, seconds: number): Promise<Snapshot> {
  const { settings, database: { records } } = await ff.connect();
  const [queues, consumers, errors] = await Promise.all([
    readQueueActivity(records, { seconds }),
    ff.consumers(),
    readRecentErrors(records, seconds),
  ]);
  return { database: settings.label, seconds, queues, consumers, errors: ff.redactor.redact(errors) as typeof errors };
}

function fieldsOf({ database, seconds, queues, consumers, errors }: Snapshot): object {
  return {
    database,
    seconds,
    queues: queues.map((queue) => queueFields(queue, seconds)),
    consumers: consumers.map(fieldsOfConsumer),
    errors: errors.map(errorFields),
  };
}
