import process from "node:process";
import type { Config } from "../firefly/config.ts";
import { resolveConnection } from "../database/settings.ts";
import { findDatabase } from "../firefly/connect.ts";
import { Firefly } from "../firefly/firefly.ts";
import type { FireflyOptions } from "../firefly/options.ts";
import { Redactor } from "../privacy/redaction.ts";
import { defaultInstance, setDefaultInstance } from "../task/scope.ts";
import { type Arguments, asUsage, omitUndefined, UsageError } from "./arguments.ts";
import { importTasks, loadConfig } from "./discovery.ts";
import { describe, type Terminal } from "./terminal.ts";

/** Where to read the settings, and which of them a command needs. */
export interface SettingsRequest {
  readonly args: Arguments;
  readonly terminal: Terminal;
  /**
   * Whether the command needs the task modules. `optional`: it works without those that fail to import. `none`: it
   * imports them only where no database is configured, as they may call `configure()`.
   */
  readonly tasks: "required" | "optional" | "none";
  /** The longest that each module's import may take, in milliseconds. @default no limit */
  readonly timeout?: number;
  /** Receives progress messages during the first start of the embedded server. @default notes on the terminal */
  readonly onProgress?: (message: string) => void;
}

/** The options for a command's instance, and the whole configuration. */
export interface Settings {
  readonly options: FireflyOptions;
  readonly config: Config;
}

/** Reads the settings and calls `act` with the instance that they describe. */
export async function withInstance<T>(request: SettingsRequest, act: (ff: Firefly) => Promise<T>): Promise<T> {
  const { options } = await readSettings(request);
  return await withInstanceOf(options, act);
}

/**
 * Calls `act` with an instance, then closes it. The instance becomes the default one, unless the task modules have
 * created a default instance: then it takes over that one's middleware and listeners.
 */
export async function withInstanceOf<T>(options: FireflyOptions, act: (ff: Firefly) => Promise<T>): Promise<T> {
  const configured = defaultInstance() as Firefly | undefined;
  const instance = asUsage(() => new Firefly(options, configured));
  if (!configured) setDefaultInstance(instance);
  try {
    return await act(instance);
  } finally {
    await instance.close();
    if (!configured) setDefaultInstance(undefined);
  }
}

/**
 * Reads the configuration and imports the tasks. Flags override the configuration, which overrides the options that
 * task modules passed to `configure()`.
 */
export async function readSettings(
  { args, terminal, tasks, timeout, onProgress }: SettingsRequest,
): Promise<Settings> {
  const found = await loadConfig(args.text("config"), timeout);
  const { tasks: _, consume: __, ...configured } = found.config;
  const flags = omitUndefined({
    database: args.text("database"),
    listenDatabase: args.text("listen-database"),
    schema: args.text("schema"),
  });
  const imports = args.list("import") ?? [];
  if (tasks === "required") await importTasks(found, { imports, needed: true, timeout });
  else if (tasks === "optional" || !flags.database && !configured.database) {
    // A broken task module must not keep the user from inspecting the database.
    await importTasks(found, { imports, needed: false, timeout })
      .catch((error) => terminal.warn(describe(error)));
  }
  const { options: own } = (defaultInstance() ?? {}) as Partial<Firefly>;
  const report = onProgress ?? ((message: string) => terminal.note(message));
  const options: FireflyOptions = { onProgress: report, ...own, ...configured, ...flags };
  // A configured listenDatabase may belong to another database than the one that the flag names.
  if (flags.database && !flags.listenDatabase) delete options.listenDatabase;
  terminal.redactor = asUsage(() => new Redactor(options.redact));
  await checkDatabase(options);
  return { options, config: found.config };
}

/** Whether these options lead to the embedded server, as neither they nor the environment name a database. */
export function usesEmbedded({ database }: FireflyOptions): boolean {
  const { FIREFLY_DATABASE_URL, DATABASE_URL, PGHOST } = process.env;
  return !(database || FIREFLY_DATABASE_URL || DATABASE_URL || PGHOST);
}

/** Refuses an invalid database URL before anything connects to it. */
async function checkDatabase(options: FireflyOptions): Promise<void> {
  if (usesEmbedded(options)) return;
  try {
    await findDatabase(options); // configured, so this starts no server
    if (options.listenDatabase) await resolveConnection(options.listenDatabase);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new UsageError(error.message, { cause: error });
  }
}
