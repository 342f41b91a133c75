import process from "node:process";
import { pathToFileURL } from "node:url";
import { DEFAULT_RETRY_DELAY, toRecordedDelay } from "../task/backoff.ts";
import { toSeconds } from "../duration.ts";
import type { FireflyOptions } from "../firefly/options.ts";
import { type Registered, registry } from "../task/scope.ts";
import type { Command } from "./command.ts";
import { EXIT } from "./exit_code.ts";
import { readSettings } from "./settings.ts";
import { printTable } from "./table.ts";
import { formatSeconds } from "../times.ts";

type Defaults = NonNullable<FireflyOptions["defaults"]>;

/** `tasks`: shows the tasks that are defined here. */
export const tasks: Command = {
  name: "tasks",
  usage: "",
  positionals: [0, 0],
  summary: "Show the tasks that are defined here",
  details:
    "It imports the modules that firefly.config.ts names; by default tasks.ts, tasks/**/*.ts, src/tasks.ts and " +
    "src/tasks/**/*.ts (or .js and .mjs). --import adds modules. It needs no database.",
  flags: {},
  examples: ["tasks", "tasks --import ./jobs/mail.ts --json"],
  async run(args, terminal) {
    const { options } = await readSettings({ args, terminal, tasks: "required", isOptional: true });
    const found = [...registry].filter(([name, { definition }]) => name === definition.name)
      .sort(([a], [b]) => a < b ? -1 : 1)
      .map(([, registered]) => describeTask(registered, options.defaults ?? {}));
    if (terminal.json) {
      for (const task of found) await terminal.printJson(task);
      return EXIT.done;
    }
    const here = pathToFileURL(`${process.cwd()}/`).href;
    const rows = found.map((task) => [
      task.func_name,
      task.queue,
      String(task.max_retries),
      typeof task.retry_delay === "number" ? formatSeconds(task.retry_delay) : task.retry_delay.kind,
      task.timeout === null ? "" : formatSeconds(task.timeout),
      task.aliases.join(", "),
      { text: task.site.replace(here, "").replace(`${process.cwd()}/`, ""), style: "dim" as const },
    ]);
    const header = ["name", "queue", "retries", "retry delay", "timeout", "aliases", "defined at"];
    await printTable(terminal, { header, rows, right: [2], optional: [5, 4] });
    return EXIT.done;
  },
};

function describeTask({ definition, site }: Registered, defaults: Defaults) {
  const { name, aliases } = definition;
  const timeout = definition.timeout ?? defaults.timeout;
  return {
    func_name: name,
    aliases,
    queue: definition.queue ?? defaults.queue ?? "default",
    priority: definition.priority ?? 0,
    max_retries: definition.maxRetries ?? defaults.maxRetries ?? 0,
    retry_delay: toRecordedDelay(definition.retryDelay ?? defaults.retryDelay ?? DEFAULT_RETRY_DELAY),
    timeout: timeout === undefined ? null : toSeconds(timeout, "timeout"),
    site,
  };
}
