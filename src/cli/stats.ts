import { toSeconds } from "../duration.ts";
import type { Firefly } from "../firefly/firefly.ts";
import { type ActivityRequest, readQueueActivity, readTaskActivity } from "../store/activity.ts";
import { nameFields, nameTable, queueFields, queueTable } from "./activity.ts";
import { type Arguments, usageError } from "./arguments.ts";
import type { Command } from "./command.ts";
import { EXIT } from "./exit_code.ts";
import { findUnknownWords, reportMissing } from "./filter.ts";
import { repeat, showLive } from "./live.ts";
import { withInstance } from "./settings.ts";
import { renderTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { formatClock, formatSeconds } from "../times.ts";

/** The longest span in seconds: minutes of tasks are kept for 48 hours, those of queues for 30 days. */
const [TASKS_KEPT, QUEUES_KEPT] = [48 * 3600, 30 * 86_400];

/** `stats`: shows what happened. */
export const stats: Command = {
  name: "stats",
  usage: "",
  positionals: [0, 0],
  summary: "Show what happened: outcomes, rates, waiting and running times by queue and by task",
  details:
    "Consumers count what they do and write it by the minute every few seconds, so that the newest attempts may be " +
    "missing. WAIT is the time from when a task is due to its start, RUN that of an attempt; p95 is what 95 of 100 stay " +
    "below, to about 15%. DUE, WAITING, RUNNING and OLDEST are as a consumer found them within the last minutes; SUSPENDED, of those waiting, " +
    "is there only if handlers wait. It reads " +
    "no records, and takes as long with a million of them. Tasks are kept for 48 hours, queues for 30 days.",
  flags: {
    since: { value: "duration", byDefault: "1h", description: "How far back to look" },
    queue: { value: "name", short: "q", description: "Only this queue" },
    name: { value: "name", description: "Only tasks of this name" },
    watch: { description: "Repeat it until it is stopped: on a terminal in place (q ends it)" },
    interval: { value: "duration", byDefault: "2s", description: "With --watch: how often" },
  },
  examples: ["stats", "stats --since 10m --queue mail", "stats --since 1d --json | jq .per_second", "stats --watch"],
  async run(args, terminal) {
    const request = requestOf(args);
    const interval = intervalOf(args);
    return await withInstance({ args, terminal, tasks: "none" }, async (ff) => {
      const missing = reportMissing(await findUncounted(ff, request), terminal);
      if (missing !== EXIT.done) return missing;
      if (!args.isOn("watch")) await print(ff, request, terminal);
      else if (terminal.json || !terminal.canMove) await repeat(interval, () => print(ff, request, terminal));
      else await showLive(terminal, { interval, render: () => render(ff, request, terminal) });
      return EXIT.done;
    });
  },
};

function requestOf(args: Arguments): ActivityRequest {
  const seconds = toSeconds(args.duration("since") ?? "1h", "since");
  if (seconds < 60 || seconds > QUEUES_KEPT) {
    throw usageError("stats", `"--since" must be from 1m to 30d: current value is "${args.text("since")}"`);
  }
  return { seconds, queue: args.text("queue"), name: args.text("name") };
}

/** Reads how often to repeat a command, in seconds. */
export function intervalOf(args: Arguments): number {
  const seconds = toSeconds(args.duration("interval") ?? "2s", "interval");
  if (seconds >= 0.1) return seconds;
  throw usageError(args.command, `"--interval" must be at least 100ms: current value is "${args.text("interval")}"`);
}

/** Describes the queue and the name that exist nowhere. Minutes may know some that no record has any more. */
async function findUncounted(ff: Firefly, request: ActivityRequest): Promise<string[]> {
  const { queue, name } = request;
  if (queue === undefined && name === undefined) return [];
  const { queues, tasks } = await read(ff, request);
  if (queues.length + tasks.length > 0) return [];
  return await findUnknownWords(ff, { names: name ? [name] : [], queues: queue ? [queue] : [] });
}

async function read(ff: Firefly, request: ActivityRequest) {
  const { database: { records } } = await ff.connect();
  const [queues, tasks] = await Promise.all([
    request.name === undefined ? readQueueActivity(records, request) : [],
    readTaskActivity(records, request),
  ]);
  return { queues, tasks };
}

async function print(ff: Firefly, request: ActivityRequest, terminal: Terminal): Promise<void> {
  const { seconds } = request;
  if (!terminal.json) return await terminal.print((await render(ff, request, terminal)).join("\n"));
  const { queues, tasks } = await read(ff, request);
  for (const queue of queues) await terminal.printJson(queueFields(queue, seconds));
  for (const task of tasks) await terminal.printJson(nameFields(task, seconds));
}

async function render(ff: Firefly, request: ActivityRequest, terminal: Terminal): Promise<string[]> {
  const { queues, tasks } = await read(ff, request);
  const { seconds } = request;
  const note = seconds > TASKS_KEPT ? "; tasks: the last 48 hours" : "";
  const title = `${formatClock(new Date())}  the last ${formatSeconds(seconds)}${note}`;
  if (queues.length + tasks.length === 0) {
    return [title, "", "Nothing was counted: consumers write what they did after 10 to 15 seconds"];
  }
  return [
    terminal.style("bold", title),
    ...(queues.length > 0 ? ["", ...renderTable(terminal, queueTable(queues, seconds))] : []),
    ...(tasks.length > 0 ? ["", ...renderTable(terminal, nameTable(tasks, Math.min(seconds, TASKS_KEPT)))] : []),
  ];
}
