import { checkScheduleOptions, type TaskDefinition } from "../task/definition.ts";
import type { Duration } from "../duration.ts";
import type { Firefly } from "../firefly/firefly.ts";
import type { TaskRecord } from "../task/record.ts";
import { TaskFailed } from "../records/task_failed.ts";
import { columnsOf } from "../records/task_record.ts";
import { registry } from "../task/scope.ts";
import { didYouMean } from "../suggest.ts";
import type { ScheduleOptions } from "../task/options.ts";
import { type Arguments, asUsage, omitUndefined, usageError } from "./arguments.ts";
import type { Command } from "./command.ts";
import { EXIT } from "./exit_code.ts";
import { withInstance } from "./settings.ts";
import { printRecord } from "./record_page.ts";
import type { Terminal } from "./terminal.ts";
import { formatTime } from "../times.ts";

/** `schedule`: schedules one task and optionally waits for it. */
export const schedule: Command = {
  name: "schedule",
  usage: "<name> [json-args]",
  positionals: [1, 2],
  summary: "Schedule a task",
  details: "The handler's arguments are a JSON array; without it, the handler gets none. Flags override the task's " +
    "definition.\n\n" +
    "With --wait, it waits until a consumer has run the task, and prints the record.",
  flags: {
    queue: { value: "name", short: "q", description: "The queue to schedule it in" },
    priority: { value: "number", description: "Higher priorities run first" },
    delay: { value: "duration", description: "Run it after this delay" },
    "not-before": { value: "time", description: "Do not run it before this time" },
    "max-retries": { value: "number", description: "How often to retry after a failed attempt" },
    "retry-delay": { value: "duration", description: "How long to wait before each retry" },
    timeout: { value: "duration", description: "Fail an attempt that takes longer than this" },
    unique: { value: "key", description: "Keep the existing task if one with this name and key is waiting or running" },
    tag: { value: "label", list: "repeat", description: "A tag for filtering" },
    wait: { description: "Wait until the task ends" },
    "wait-timeout": { value: "duration", description: "Wait at most this long, then exit with 124; implies --wait" },
  },
  examples: [
    "schedule math.add '[1, 3]' --wait",
    "schedule reports.send --delay 10m --priority 5 --tag monthly",
    "schedule crm.sync '[\"acme\"]' --unique acme",
  ],
  async run(args, terminal) {
    const options = optionsOf(args);
    const params = paramsOf(args);
    const timeout = args.duration("wait-timeout");
    return await withInstance({ args, terminal, tasks: "required" }, async (ff) => {
      const definition = registry.get(args.positionals[0]!)?.definition;
      if (!definition) return refuseUnknown(args.positionals[0]!, terminal);
      const record = await scheduleTask(ff, definition, { params, options });
      if (args.isOn("wait") || timeout !== undefined) return await waitFor(record, { terminal, timeout });
      if (terminal.json) await terminal.printJson({ ...columnsOf(record), inserted: record.inserted });
      else await terminal.print(`${outcomeOf(record)} ${whereAndWhen(record)}`);
      return EXIT.done;
    });
  },
};

function optionsOf(args: Arguments): ScheduleOptions {
  const options = omitUndefined({
    queue: args.text("queue"),
    priority: args.integer("priority", -Infinity),
    delay: args.duration("delay"),
    notBefore: args.date("not-before"),
    maxRetries: args.integer("max-retries", 0),
    retryDelay: args.duration("retry-delay"),
    timeout: args.duration("timeout"),
    unique: args.text("unique"),
    tags: args.list("tag"),
  }) as ScheduleOptions;
  if (options.delay !== undefined && options.notBefore !== undefined) {
    throw usageError("schedule", "--delay and --not-before exclude each other");
  }
  asUsage(() => checkScheduleOptions(options, `schedule task "${args.positionals[0]}"`));
  return options;
}

function paramsOf(args: Arguments): unknown[] {
  const text = args.positionals[1] ?? "[]";
  let params: unknown;
  try {
    params = JSON.parse(text);
  } catch (error) {
    throw usageError("schedule", `the arguments are not valid JSON: ${(error as Error).message}`);
  }
  if (Array.isArray(params)) return params;
  throw usageError("schedule", `the arguments must be a JSON array such as '[1, 3]': current value is ${text}`);
}

function refuseUnknown(name: string, terminal: Terminal): number {
  const known = [...registry.keys()];
  terminal.printError(
    `There is no task "${name}"${didYouMean(name, known) || `: there are ${known.sort().join(", ")}`}`,
  );
  return EXIT.noSuchTask;
}

async function scheduleTask(
  ff: Firefly,
  definition: TaskDefinition,
  { params, options }: { params: unknown[]; options: ScheduleOptions },
): Promise<TaskRecord> {
  const [record] = await ff.schedule(definition, [params], options);
  return record!;
}

async function waitFor(
  record: TaskRecord,
  { terminal, timeout }: { terminal: Terminal; timeout: Duration | undefined },
): Promise<number> {
  terminal.note(`${outcomeOf(record)}, waiting until it ends`);
  let code: number = EXIT.done;
  try {
    await record.result(omitUndefined({ timeout }));
  } catch (error) {
    if (error instanceof TaskFailed) code = EXIT.taskFailed;
    else if (error instanceof DOMException && error.name === "TimeoutError") {
      terminal.printError(error.message);
      code = EXIT.timedOut;
    } else throw error;
  }
  await printRecord(await record.refresh(), terminal);
  return code;
}

function outcomeOf({ funcName, id, inserted }: TaskRecord): string {
  return inserted ? `Scheduled ${funcName} as task ${id}` : `Kept duplicate task ${id} of ${funcName}`;
}

function whereAndWhen({ queue, created, notBefore }: TaskRecord): string {
  return `in queue ${queue}${notBefore > created ? `, to run at ${formatTime(notBefore)}` : ""}`;
}
