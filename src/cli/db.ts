import { findDatabase } from "../firefly/connect.ts";
import { embeddedStatus, startEmbedded, stopEmbedded } from "../embedded/embedded.ts";
import type { Arguments } from "./arguments.ts";
import { usageError } from "./arguments.ts";
import { FireflyError } from "../errors.ts";
import { didYouMean } from "../suggest.ts";
import type { Command } from "./command.ts";
import { EXIT } from "./exit_code.ts";
import { readSettings, usesEmbedded } from "./settings.ts";
import type { Terminal } from "./terminal.ts";

type Action = (args: Arguments, terminal: Terminal) => Promise<number>;

const ACTIONS: Readonly<Record<string, Action>> = { url: printUrl, start, status, stop };

/** `db`: the embedded server. */
export const db: Command = {
  name: "db",
  usage: "url|start|status|stop",
  positionals: [1, 1],
  summary: "The embedded PostgreSQL: its URL, and to start, look at and stop it",
  details:
    "Where no database is configured, Firefly starts a PostgreSQL of its own, which all processes of this machine " +
    "share and which goes on until it is stopped. FIREFLY_HOME says where its data are.\n\n" +
    "url prints the URL of the database in use, with its password, and starts the server if need be. status exits with " +
    "3 if the server does not run.",
  flags: {},
  examples: ["db url | xargs psql", "db status --json"],
  async run(args, terminal) {
    const action = args.positionals[0]!;
    const actions = Object.keys(ACTIONS);
    if (Object.hasOwn(ACTIONS, action)) return await ACTIONS[action]!(args, terminal);
    throw usageError(
      "db",
      `there is no "db ${action}"${didYouMean(action, actions) || `: there are ${actions.join(", ")}`}`,
    );
  },
};

async function printUrl(args: Arguments, terminal: Terminal): Promise<number> {
  const { options } = await readSettings({ args, terminal, tasks: false });
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
    await terminal.print(running ? `${name} runs on port ${port}, as process ${pid}` : `${name} does not run`);
    if (version) {
      await terminal.print(`Data  ${dataDirectory}`);
      await terminal.print(`Log   ${logFile}`);
    }
  }
  const { options } = await readSettings({ args, terminal, tasks: false });
  if (!usesEmbedded(options)) terminal.note("Another database is configured, so it is not in use here");
  return found.running ? EXIT.done : EXIT.noDatabase;
}

async function stop(_args: Arguments, terminal: Terminal): Promise<number> {
  const stopped = await stopEmbedded();
  if (terminal.json) await terminal.printJson({ stopped });
  else await terminal.print(stopped ? "The embedded PostgreSQL was stopped" : "The embedded PostgreSQL did not run");
  return EXIT.done;
}
