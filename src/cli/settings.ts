import process from "node:process";
import type { Config } from "../firefly/config.ts";
import { resolveConnection } from "../database/settings.ts";
import { defaultHome } from "../embedded/embedded.ts";
import { chooseDatabase, EMBEDDED } from "../firefly/database_choice.ts";
import { Firefly } from "../firefly/firefly.ts";
import type { FireflyOptions } from "../firefly/options.ts";
import { Redactor } from "../privacy/redaction.ts";
import { defaultInstance, setDefaultInstance } from "../task/scope.ts";
import { type Arguments, asUsage, omitUndefined, UsageError } from "./arguments.ts";
import { type FoundConfig, importOnly, importTasks, loadConfig, mayConfigure } from "./discovery.ts";
import { describe, type Terminal } from "./terminal.ts";
import { confineUserCode } from "./user_code.ts";

/** Where to read the settings, and which of them a command needs. */
export interface SettingsRequest {
  readonly args: Arguments;
  readonly terminal: Terminal;
  /**
   * Whether the command needs the task modules. `optional`: it works without those that fail to import. `none`: it
   * does not import them, unless one calls `configure()` with options and no database is configured otherwise.
   */
  readonly tasks: "required" | "optional" | "none";
  /**
   * Leaves stdout to the user's modules. Otherwise, what they print there goes to stderr, and errors that nothing handles
   * are warnings. @default false
   */
  readonly ownStdout?: boolean;
  /** Whether the command does without a database. */
  readonly isOptional?: boolean;
  /** A flag that only deployed consumers have: with it, the embedded server must be asked for. */
  readonly deployedBy?: string | undefined;
  /** Receives progress messages during the first start of the embedded server. @default notes on the terminal */
  readonly onProgress?: (message: string) => void;
}

/** The options for a command's instance, the whole configuration, and its file, if there is one. */
export interface Settings {
  readonly options: FireflyOptions;
  readonly config: Config;
  readonly file: string | undefined;
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

/** The longest that an import may take for a command that can do without it, in milliseconds: user code may wait forever. */
const IMPORT_TIMEOUT = 10_000;

/** It names the database before the configuration does: a deployment decides. */
const DATABASE_VARIABLE = "FIREFLY_DATABASE_URL";

/**
 * Reads the configuration and imports the tasks. Flags override variables, which override the configuration, which
 * overrides the options that task modules passed to `configure()`.
 */
export async function readSettings(
  { args, terminal, tasks, ownStdout = false, onProgress, deployedBy, isOptional = false }: SettingsRequest,
): Promise<Settings> {
  const report = onProgress ?? ((message: string) => terminal.note(message));
  if (!ownStdout) {
    confineUserCode((error) => terminal.warn(`An error that nothing handles in a module: ${describe(error)}`));
  }
  const timeout = tasks === "required" ? undefined : IMPORT_TIMEOUT;
  const found = await loadConfig(args.text("config"), { timeout, onWait: report });
  const { tasks: _, consume: __, ...configured } = found.config;
  const variable = process.env[DATABASE_VARIABLE];
  if (variable && configured.database && !args.text("database")) {
    if (configured.database !== variable) {
      report(`${DATABASE_VARIABLE} overrides the database of the configuration`);
      delete configured.listenDatabase; // it may belong to the other database
    }
    configured.database = variable;
  }
  const isEmbedded = args.isOn("embedded");
  if (isEmbedded && args.text("database")) throw new UsageError("Cannot use --embedded and --database together");
  const flags = omitUndefined({
    database: isEmbedded ? EMBEDDED : args.text("database"),
    listenDatabase: args.text("listen-database"),
    schema: args.text("schema"),
  });
  const imports = args.list("import") ?? [];
  if (tasks === "required") await importTasks(found, { imports, needed: true, onWait: report });
  else {
    const hasDatabase = Boolean(flags.database ?? configured.database);
    // A broken task module must not keep the user from inspecting the database.
    await importOptional(found, { all: tasks === "optional", imports, hasDatabase, onWait: report })
      .catch((error) => terminal.warn(describe(error)));
  }
  const { options: own } = (defaultInstance() ?? {}) as Partial<Firefly>;
  if (own?.database && !flags.database && !configured.database && !await mayConfigure(found)) {
    report(
      "Commands that do not import tasks cannot see the database that a module passed to configure(): " +
        "name it in firefly.config.ts or in FIREFLY_DATABASE_URL",
    );
  }
  const options: FireflyOptions = { onProgress: report, ...own, ...configured, ...flags };
  // A configured listenDatabase may belong to another database than the one that the flag names.
  if (flags.database && !flags.listenDatabase) delete options.listenDatabase;
  terminal.redactor = asUsage(() => new Redactor(options.redact));
  if (!isOptional) await chooseFor(options, { report, deployedBy });
  return { options, config: found.config, file: found.file };
}

/** Imports for a command that can do without the tasks: `all` modules, or only those that may name the database. */
async function importOptional(
  found: FoundConfig,
  { all, imports, hasDatabase, onWait }: {
    all: boolean;
    imports: readonly string[];
    hasDatabase: boolean;
    onWait(message: string): void;
  },
): Promise<void> {
  const options = { timeout: IMPORT_TIMEOUT, onWait };
  if (all || !hasDatabase && await mayConfigure(found)) {
    await importTasks(found, { imports, needed: false, ...options });
  } else await importOnly(imports, options);
}

/** Chooses the database, and reports the embedded one. Refuses one that cannot be used, before it connects. */
async function chooseFor(
  options: FireflyOptions,
  { report, deployedBy }: { report: (message: string) => void; deployedBy: string | undefined },
): Promise<void> {
  const { listenDatabase } = options;
  try {
    const chosen = chooseDatabase(options.database, { deployedBy });
    options.database = chosen;
    if (chosen === EMBEDDED) report(`Using the embedded PostgreSQL of this machine, in ${defaultHome()}`);
    else await resolveConnection(chosen);
    if (listenDatabase) await resolveConnection(listenDatabase);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new UsageError(error.message, { cause: error });
  }
}
