import { findDatabase } from "../firefly/connect.ts";
import { embeddedStatus, startEmbedded, stopEmbedded } from "../embedded/embedded.ts";
import type { Arguments } from "./arguments.ts";
import { usageError } from "./arguments.ts";
import { FireflyError } from "../errors.ts";
import { didYouMean } from "../suggest.ts";
import type { Command } from "./command.ts";
import { EXIT } from "./exit_code.ts";
import { isConfigured } from "../firefly/database_choice.ts";
import { readSettings } from "./settings.ts";
import type { Terminal } from "./terminal.ts";

type Action = (args: Arguments, terminal: Terminal) => Promise<number>;

const ACTIONS: Readonly<Record<string, Action>> = { url: printUrl, start, status, stop };

/** `db`: controls the embedded server. */
export const db: Command = {
  name: "db",
  usage: "url|start|status|stop",
  positionals: [1, 1],
  summary: "Start, stop or inspect the embedded PostgreSQL, or print its URL",
  details:
    "For development, Firefly starts its own PostgreSQL: where --embedded or FIREFLY_EMBEDDED=1 asks for it, or where no " +
    "database is configured and a person sits at a terminal. All processes on this machine share it, and it runs until " +
    "it is stopped. FIREFLY_HOME sets the directory of its data.\n\n" +
    "url prints the URL of the database in use, including its password, and starts the embedded server if that is it. " +
    "status exits with 3 if the server is not running.",
  flags: {},
  examples: ["db url | xargs psql", "db status --json"],
  async run(args, terminal) {
    const action = args.positionals[0]!;
    const actions = Object.keys(ACTIONS);
    if (Object.hasOwn(ACTIONS, action)) return await ACTIONS[action]!(args, terminal);
    throw usageError(
      "db",
      `there is no "db ${action}"${didYouMean(action, actions) || `: it must be one of ${actions.join(", ")}`}`,
    );
  },
};

async function printUrl(args: Arguments, terminal: Terminal): Promise<number> {
  const { options } = await readSettings({ args, terminal, tasks: "none" });
  const { url, label } = await findDatabase(options);
  if (url === undefined) throw new FireflyError(`Cannot print a URL as ${label} is configured without one`);
  if (terminal.wantsJson) await terminal.printJson({ url });
  else await terminal.print(url);
  return EXIT.done;
}

async function start(args: Arguments, terminal: Terminal): Promise<number> {
  await startEmbedded({ onProgress: (message) => terminal.note(message) });
  return await status(args, terminal);
}

async function status(args: Arguments, terminal: Terminal): Promise<number> {
  const { url: _, ...found } = await embeddedStatus();
  if (terminal.json) await terminal.printJson(found);
  else {
    const { running, version, port, pid, dataDirectory, logFile } = found;
    const name = `The embedded PostgreSQL${version ? ` ${version}` : ""}`;
    await terminal.print(running ? `${name} is running on port ${port} as process ${pid}` : `${name} is not running`);
    if (version) {
      await terminal.print(`Data  ${dataDirectory}`);
      await terminal.print(`Log   ${logFile}`);
    }
  }
  const { options } = await readSettings({ args, terminal, tasks: "none", isOptional: true });
  if (isConfigured(options)) terminal.note("Another database is configured, so Firefly does not use it here");
  return found.running ? EXIT.done : EXIT.noDatabase;
}

async function stop(_args: Arguments, terminal: Terminal): Promise<number> {
  const stopped = await stopEmbedded();
  if (terminal.json) await terminal.printJson({ stopped });
  else await terminal.print(stopped ? "Stopped the embedded PostgreSQL" : "The embedded PostgreSQL was not running");
  return EXIT.done;
}
