import type { ConsumerState } from "../store/consumer_records.ts";
import type { Command } from "./command.ts";
import { EXIT } from "./exit_code.ts";
import { withInstance } from "./settings.ts";
import { type Cell, cut, renderTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { formatAge, formatSeconds } from "../times.ts";

/** How many of the tasks of a consumer its line names. */
const NAMED = 3;

/** `consumers`: shows the consumers. */
export const consumers: Command = {
  name: "consumers",
  usage: "",
  positionals: [0, 0],
  summary: "Show the consumers: where they run, their release, and what they run",
  details:
    "It shows every consumer that has registered and not stopped, with the tasks that it has run longest. RUNNING is " +
    "how many tasks it has claimed, of how many it runs at a time; LONGEST is how long it has held one of them. One " +
    "whose lease has expired has crashed: other consumers take over its tasks. MEMORY is that of its process (RSS).",
  flags: {},
  examples: ["consumers", "consumers --json | jq 'select(.memory > 1e9)'"],
  async run(args, terminal) {
    return await withInstance({ args, terminal, tasks: "none" }, async (ff) => {
      const found = await ff.consumers();
      if (terminal.json) {
        for (const consumer of found) await terminal.printJson(fieldsOf(consumer));
      } else if (found.length === 0) terminal.note("No consumer lives: start one with firefly consume");
      else await terminal.print(render(found, terminal).join("\n"));
      return EXIT.done;
    });
  },
};

function fieldsOf({ leaseUntil, runningSince, runningTasks, ...consumer }: ConsumerState): object {
  return {
    ...consumer,
    lease_until: leaseUntil,
    running_since: runningSince,
    running_tasks: runningTasks.map(({ id, funcName, since }) => ({ id, func_name: funcName, since })),
  };
}

/** A table with a line of the consumer's tasks below each row that has some. */
function render(found: readonly ConsumerState[], terminal: Terminal): string[] {
  const header = ["host", "pid", "release", "version", "queues", "running", "longest", "seen", "up", "memory"];
  const rows = found.map((consumer) => rowOf(consumer));
  const [heading, ...lines] = renderTable(terminal, { header, rows, right: [1, 9] });
  return [
    heading!,
    ...lines.flatMap((line, i) => {
      const tasks = describeTasks(found[i]!);
      return tasks ? [line, terminal.style("dim", cut(`  ${tasks}`, terminal.width))] : [line];
    }),
  ];
}

function rowOf(consumer: ConsumerState): Cell[] {
  const { host, pid, release, version, state, queues, running, concurrency, runningSince, seen, memory } = consumer;
  return [
    host,
    String(pid),
    release ?? "",
    version,
    queues.join(","),
    `${running} of ${concurrency}`,
    runningSince ? ageOf(runningSince) : "",
    state === "crashed" ? { text: `${formatAge(seen)}, crashed`, style: "red" } : formatAge(seen),
    ageOf(consumer.started),
    memory === null ? "" : formatBytes(memory),
  ];
}

function describeTasks({ running, runningTasks }: ConsumerState): string {
  const named = runningTasks.slice(0, NAMED).map(({ id, funcName, since }) => `${funcName} #${id} (${ageOf(since)})`);
  const others = running - named.length;
  return [...named, ...(others > 0 && named.length > 0 ? [`${others} more`] : [])].join(", ");
}

function ageOf(since: Date): string {
  return formatSeconds(Math.max(0, Math.round((Date.now() - since.getTime()) / 1000)));
}

function formatBytes(bytes: number): string {
  return bytes < 1e9 ? `${Math.round(bytes / 1e6)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}
