import { basename } from "node:path";
import process from "node:process";
import { DATABASE_VARIABLES } from "../database/connection_defaults.ts";
import { chooseDatabase, EMBEDDED } from "../firefly/database_choice.ts";
import type { FireflyOptions } from "../firefly/options.ts";
import type { Arguments } from "./arguments.ts";
import { type Command, GLOBAL_FLAGS } from "./command.ts";
import { CONSUME_SETTINGS, readConsumeSettings } from "./consume_flags.ts";
import { EXIT } from "./exit_code.ts";
import type { Flag, Flags } from "./flags.ts";
import { readSettings, type Settings } from "./settings.ts";
import { type Cell, printTable } from "./table.ts";
import { describe } from "./terminal.ts";

/** A setting: what it is, and where that comes from. */
interface Setting {
  readonly setting: string;
  readonly value: unknown;
  readonly from: string;
}

const { help: _, version: __, database: ___, embedded: ____, ...OTHER_FLAGS } = GLOBAL_FLAGS;
const SETTINGS: Flags = { ...OTHER_FLAGS, ...CONSUME_SETTINGS };
/** Options of the configuration that are shown as they are; of all others, only that they are set. */
const SHOWN = ["tasks", "defaults", "queues", "redact", "statistics"];
const DEFAULT = "default";

/** `config`: shows the settings. */
export const config: Command = {
  name: "config",
  usage: "",
  positionals: [0, 0],
  summary: "Show every setting, and where it comes from",
  details:
    "A setting comes from its flag, else from its variable of the environment, else from firefly.config.ts, else it has " +
    "its default. Give `config` the flags of a `consume` to see what that would do. It does not connect, and shows no " +
    "passwords and keys.",
  flags: CONSUME_SETTINGS,
  examples: ["config", "config --queue mail -c 20", "config --table | grep lease"],
  async run(args, terminal) {
    const settings = await readSettings({ args, terminal, tasks: "none", isOptional: true });
    readConsumeSettings(args, settings.config.consume);
    const found = [
      databaseSetting(args, settings),
      ...Object.entries(SETTINGS).map(([name, flag]) => settingOf(name, { flag, args, settings })),
      ...otherSettings(settings),
    ];
    if (terminal.json) { for (const setting of found) await terminal.printJson(setting); }
    else await printTable(terminal, { header: ["setting", "value", "from"], rows: found.map(rowOf) });
    return EXIT.done;
  },
};

function rowOf({ setting, value, from }: Setting): Cell[] {
  const text = value === null ? "" : typeof value === "string" ? value : JSON.stringify(value);
  return [setting, text, from === DEFAULT ? { text: from, style: "dim" } : from];
}

function settingOf(
  setting: string,
  { flag, args, settings }: { flag: Flag; args: Arguments; settings: Settings },
): Setting {
  const from = args.sourceOf(setting);
  if (from !== undefined) {
    const value = flag.list ? args.list(setting) : flag.value ? args.text(setting) : args.isOn(setting);
    return { setting, value: withoutPassword(value), from };
  }
  const { config, file } = settings;
  const configured = flag.config?.split(".").reduce<unknown>(
    (part, key) => (part as Record<string, unknown>)?.[key],
    config,
  );
  if (configured !== undefined) {
    const value = setting.startsWith("no-") ? !configured : configured;
    return { setting, value: withoutPassword(value), from: basename(file!) };
  }
  if (setting === "config" && file !== undefined) return { setting, value: basename(file), from: "this directory" };
  const { DENO_DEPLOYMENT_ID } = process.env;
  if (setting === "release" && DENO_DEPLOYMENT_ID) {
    return { setting, value: DENO_DEPLOYMENT_ID, from: "DENO_DEPLOYMENT_ID" };
  }
  return { setting, value: flag.byDefault ?? (flag.value ? null : false), from: DEFAULT };
}

/** The options of the configuration that no flag sets. */
function otherSettings({ config, file }: Settings): Setting[] {
  const flagged = Object.values(GLOBAL_FLAGS).map(({ config }) => config);
  return Object.entries(config)
    .filter(([name]) => name !== "consume" && !flagged.includes(name))
    .map(([setting, value]) => ({ setting, value: SHOWN.includes(setting) ? value : "set", from: basename(file!) }));
}

function databaseSetting(args: Arguments, { options, config, file }: Settings): Setting {
  const from = sourceOfDatabase(args, { options, configured: config.database, file });
  try {
    return { setting: "database", value: withoutPassword(chooseDatabase(options.database)), from };
  } catch (error) {
    return { setting: "database", value: null, from: describe(error) };
  }
}

function sourceOfDatabase(
  args: Arguments,
  { options, configured, file }: { options: FireflyOptions; configured: unknown; file: string | undefined },
): string {
  if (args.isOn("embedded")) return "--embedded";
  if (args.text("database")) return "--database";
  const { FIREFLY_DATABASE_URL, DATABASE_URL, FIREFLY_EMBEDDED } = process.env;
  if (options.database !== undefined) {
    if (configured === undefined) return "configure() in a task module";
    return options.database === FIREFLY_DATABASE_URL ? "FIREFLY_DATABASE_URL" : basename(file!);
  }
  if (FIREFLY_DATABASE_URL) return "FIREFLY_DATABASE_URL";
  if (DATABASE_URL) return "DATABASE_URL";
  const variable = DATABASE_VARIABLES.find((name) => process.env[name]);
  if (variable) return `${variable} and the other PG* variables`;
  return FIREFLY_EMBEDDED ? "FIREFLY_EMBEDDED" : DEFAULT;
}

/** Hides the password of a URL or of the options of a connection. */
function withoutPassword(value: unknown): unknown {
  if (typeof value === "object" && value !== null && "password" in value) return { ...value, password: "…" };
  if (typeof value !== "string" || value === EMBEDDED || !/^\w+:\/\//.test(value)) return value;
  return value.replace(/^(\w+:\/\/[^:@/]*):.*@/, "$1:…@").replace(/([?&]password=)[^&]*/, "$1…");
}
