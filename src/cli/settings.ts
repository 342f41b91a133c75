import process from "node:process";
import type { Config } from "../firefly/config.ts";
import { resolveConnection } from "../database/settings.ts";
import { findDatabase } from "../firefly/connect.ts";
import { Firefly } from "../firefly/firefly.ts";
import type { FireflyOptions } from "../firefly/options.ts";
import { Redactor } from "../privacy/redaction.ts";
import { defaultInstance, setDefaultInstance } from "../task/scope.ts";
import { type Arguments, asUsage, given, UsageError } from "./arguments.ts";
import { importTasks, loadConfig } from "./discovery.ts";
import { describe, type Terminal } from "./terminal.ts";

/** What to read the settings from, and what of them is needed. */
export interface SettingsRequest {
  readonly args: Arguments;
  readonly terminal: Terminal;
  /** Whether the command is of no use without the tasks' definitions; `tried`: it is, but wants them. */
  readonly tasks: boolean | "tried";
  /** How long each module may take to be imported, in milliseconds. @default as long as it wants */
  readonly timeout?: number;
  /** Told what a first start of the embedded server is busy with. @default notes on the terminal */
  readonly onProgress?: (message: string) => void;
}

/** The options of the instance that a command works on, and the rest of the configuration. */
export interface Settings {
  readonly options: FireflyOptions;
  readonly config: Config;
}

/** Reads the settings, and lets `act` work on the instance that they describe. */
export async function withInstance<T>(request: SettingsRequest, act: (ff: Firefly) => Promise<T>): Promise<T> {
  const { options } = await readSettings(request);
  return await withInstanceOf(options, act);
}

/**
 * Lets `act` work on an instance, which connects when it is first used and is closed in the end. It is the default one,
 * unless the task modules have made another, whose middleware and listeners then are its own too.
 */
export async function withInstanceOf<T>(options: FireflyOptions, act: (ff: Firefly) => Promise<T>): Promise<T> {
  const configured = defaultInstance() as Firefly | undefined;
  const instance = asUsage(() => new Firefly(options, configured));
  if (!configured) setDefaultInstance(instance);
  try {
    return await act(instance);
  } finally {
    await instance.close();
  }
}

/**
 * Reads the configuration and imports the tasks. Flags win over the configuration, and that over what task modules gave
 * to `configure()`.
 */
export async function readSettings(
  { args, terminal, tasks, timeout, onProgress }: SettingsRequest,
): Promise<Settings> {
  const found = await loadConfig(args.text("config"), timeout);
  const { tasks: _, consume: __, ...configured } = found.config;
  const flags = given({
    database: args.text("database"),
    listenDatabase: args.text("listen-database"),
    schema: args.text("schema"),
  });
  const imports = args.list("import") ?? [];
  if (tasks === true) await importTasks(found, { imports, needed: true, timeout });
  else if (tasks === "tried" || !flags.database && !configured.database) {
    // A broken task module must not keep anyone from looking at what is wrong.
    await importTasks(found, { imports, needed: false, timeout })
      .catch((error) => terminal.warn(describe(error)));
  }
  const { options: own } = (defaultInstance() ?? {}) as Partial<Firefly>;
  const tell = onProgress ?? ((message: string) => terminal.note(message));
  const options: FireflyOptions = { onProgress: tell, ...own, ...configured, ...flags };
  // Notifications of another database than the one that was asked for would be of no use.
  if (flags.database && !flags.listenDatabase) delete options.listenDatabase;
  terminal.redactor = asUsage(() => new Redactor(options.redact));
  await checkDatabase(options);
  return { options, config: found.config };
}

/** Whether these options leave the embedded server to be used. */
export function usesEmbedded({ database }: FireflyOptions): boolean {
  const { FIREFLY_DATABASE_URL, DATABASE_URL, PGHOST } = process.env;
  return !(database || FIREFLY_DATABASE_URL || DATABASE_URL || PGHOST);
}

/** Refuses a URL that is none, before anything is tried with it. */
async function checkDatabase(options: FireflyOptions): Promise<void> {
  if (usesEmbedded(options)) return;
  try {
    await findDatabase(options); // which is configured, so that this starts nothing
    if (options.listenDatabase) await resolveConnection(options.listenDatabase);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new UsageError(error.message, { cause: error });
  }
}
