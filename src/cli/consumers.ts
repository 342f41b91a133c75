import { deliversAlerts } from "../store/alerts.ts";
import type { ConsumerState } from "../store/consumer_records.ts";
import { formatBytes } from "./bytes.ts";
import type { Command } from "./command.ts";
import { usageError } from "./arguments.ts";
import { setConcurrency } from "./consumers_set.ts";
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
  usage: "[set <consumer…>]",
  positionals: [0, Infinity],
  summary: "Show the consumers: where they run, their release, and what they run; scale them",
  details:
    "It shows every consumer that has registered and not stopped, with the tasks that it has run longest. RUNNING is " +
    "how many tasks it has claimed, of how many it runs at a time; LONGEST is how long it has held one of them. One " +
    "whose lease has expired has crashed: other consumers take over its tasks. MEMORY is that of its process (RSS). " +
    "A process with the option alerts has a second one, `firefly.alerts`, which only delivers them.\n\n" +
    "`consumers set` changes how many tasks a live consumer runs at a time, until it stops. It names the consumer by its " +
    "name, host, `host:pid`, process id or id; all that match change. With fewer, running tasks go on to their end.",
  flags: {
    concurrency: { value: "number", short: "c", description: "With set: how many tasks to run at a time from now on" },
  },
  examples: ["consumers", "consumers set mail-2 --concurrency 20", "consumers --json | jq 'select(.memory > 1e9)'"],
  async run(args, terminal) {
    const [action] = args.positionals;
    if (action !== undefined && action !== "set") {
      throw usageError("consumers", `"${action}" is no action: it must be set`);
    }
    if (action === undefined && args.text("concurrency")) {
      throw usageError("consumers", "--concurrency needs set <consumer>");
    }
    return await withInstance({ args, terminal, tasks: "none" }, async (ff) => {
      if (args.positionals[0] === "set") return await setConcurrency(ff, args, terminal);
      const found = await ff.consumers();
      if (terminal.json) {
        for (const consumer of found) await terminal.printJson(fieldsOfConsumer(consumer));
      } else if (found.length === 0) terminal.note("No consumer lives: start one with firefly consume");
      else await terminal.print(render(found, terminal).join("\n"));
      return EXIT.done;
    });
  },
};

/** The fields of a consumer, for JSON. */
export function fieldsOfConsumer(
  { wantedConcurrency, leaseUntil, runningSince, runningTasks, ...consumer }: ConsumerState,
): object {
  return {
    ...consumer,
    wanted_concurrency: wantedConcurrency,
    lease_until: leaseUntil,
    running_since: runningSince,
    running_tasks: runningTasks.map(({ id, funcName, since }) => ({ id, func_name: funcName, since })),
  };
}

/** A table with a line of the consumer's tasks below each row that has some. */
function render(found: readonly ConsumerState[], terminal: Terminal): string[] {
  const hasNames = found.some(({ name }) => name !== null);
  const header = [
    ...(hasNames ? ["name"] : []),
    "host",
    "pid",
    "release",
    "version",
    "queues",
    "running",
    "longest",
    "seen",
    "up",
    "memory",
  ];
  const rows = found.map((consumer) => [...(hasNames ? [consumer.name ?? ""] : []), ...rowOf(consumer)]);
  const optional = ["version", "up", "release"].map((name) => header.indexOf(name));
  const [heading, ...lines] = renderTable(terminal, {
    header,
    rows,
    right: [header.indexOf("pid"), header.indexOf("memory")],
    optional,
  });
  return [
    heading!,
    ...lines.flatMap((line, i) => {
      const tasks = describeTasks(found[i]!);
      return tasks ? [line, terminal.style("dim", cut(`  ${tasks}`, terminal.width))] : [line];
    }),
  ];
}

function rowOf(consumer: ConsumerState): Cell[] {
  const { host, pid, release, version, state, queues, runningSince, seen, memory } = consumer;
  return [
    host,
    String(pid),
    release ?? "",
    version,
    queues.join(","),
    slotsOf(consumer),
    runningSince ? ageOf(runningSince) : "",
    state === "crashed" ? { text: `${formatAge(seen)}, crashed`, style: "red" } : formatAge(seen),
    ageOf(consumer.started),
    memory === null ? "" : formatBytes(memory),
  ];
}

function slotsOf({ running, concurrency, wantedConcurrency }: ConsumerState): string {
  return `${running} of ${concurrency}${wantedConcurrency === null ? "" : `, ${wantedConcurrency} asked for`}`;
}

function describeTasks(consumer: ConsumerState): string {
  const { running, runningTasks } = consumer;
  if (running === 0 && deliversAlerts(consumer)) return "delivers the alerts of its process";
  const named = runningTasks.slice(0, NAMED).map(({ id, funcName, since }) => `${funcName} #${id} (${ageOf(since)})`);
  const others = running - named.length;
  return [...named, ...(others > 0 && named.length > 0 ? [`${others} more`] : [])].join(", ");
}

/** Formats how long something has gone on, in whole seconds. */
export function ageOf(since: Date): string {
  return formatSeconds(Math.max(1, Math.round((Date.now() - since.getTime()) / 1000)));
}
