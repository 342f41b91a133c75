import * as fs from "node:fs/promises";
import { dirname, resolve } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import type { Config } from "../firefly/config.ts";
import { describeImportError, shown } from "./import_error.ts";
import { COMMAND_LINE_KEYS, OPTION_KEYS } from "../firefly/options.ts";
import { registry } from "../task/scope.ts";
import { refuseUnknownKeys } from "../suggest.ts";
import { typescriptHint } from "./typescript_hint.ts";
import { DiscoveryError, type ImportOptions, runImport } from "./user_code.ts";

/** A configuration, and the directory that its paths are relative to. */
export interface FoundConfig {
  readonly config: Config;
  readonly directory: string;
  /** The file, if there is one. */
  readonly file?: string;
  /** Whether the program that calls `main()` has defined tasks of its own: then the default places are not searched. */
  readonly hasTasks: boolean;
}

const CONFIG_FILES = ["firefly.config.ts", "firefly.config.js", "firefly.config.mjs"];
const CONFIG_KEYS = [...OPTION_KEYS, ...COMMAND_LINE_KEYS];
const TASK_PATTERNS = ["tasks", "tasks/**/*", "src/tasks", "src/tasks/**/*"].map((path) => `${path}.{ts,js,mjs}`);
/** Files among the task modules that define no tasks. */
const NO_TASKS = /[._]test\.\w+$|\.d\.ts$|[\\/]node_modules[\\/]/;

/** Imports the configuration: the `given` file, else the one in the working directory; empty if there is none. */
export async function loadConfig(given: string | undefined, options: ImportOptions = {}): Promise<FoundConfig> {
  const directory = process.cwd();
  const hasTasks = registry.size > 0;
  const candidates = given === undefined ? CONFIG_FILES : [given];
  for (const file of candidates.map((path) => resolve(directory, path))) {
    if (!await isFile(file)) continue;
    const { default: config } = await importModule(file, options) as { default?: Config };
    if (typeof config !== "object" || config === null) {
      throw new DiscoveryError(`Cannot use ${shown(file)} as its default export is not a configuration`);
    }
    try {
      refuseUnknownKeys(config, CONFIG_KEYS, `use ${shown(file)}`);
    } catch (error) {
      throw new DiscoveryError((error as Error).message, { cause: error });
    }
    return { config, directory: dirname(file), file, hasTasks };
  }
  if (given !== undefined) throw new DiscoveryError(`Cannot use the configuration ${given} as there is no such file`);
  return { config: {}, directory, hasTasks };
}

/**
 * Imports the modules that define tasks: those that the configuration names, else those in the default places; and
 * those in `imports`.
 *
 * @throws {DiscoveryError} If a module cannot be imported, or if tasks are `needed` and none is defined.
 */
export async function importTasks(
  { config, directory, file, hasTasks }: FoundConfig,
  { imports, needed, ...options }: ImportOptions & { imports: readonly string[]; needed: boolean },
): Promise<void> {
  const patterns = patternsOf({ config, hasTasks });
  const found = await findFiles(patterns, directory);
  for (const module of [...found, ...imports]) await importModule(module, options);
  if (!needed || registry.size > 0) return;
  if (found.length + imports.length > 0) {
    const names = [...found, ...imports].map(shown).join(", ");
    throw new DiscoveryError(`Cannot find any tasks as no module calls task(): ${names}`);
  }
  const looked = config.tasks === undefined ? [...CONFIG_FILES, ...TASK_PATTERNS] : patterns;
  const where = file === undefined ? directory : `${directory}, as ${shown(file)} says`;
  throw new DiscoveryError(
    `Cannot find any tasks as there is none of ${
      looked.join(", ")
    } in ${where}: create one, or name a module with --import`,
  );
}

/** Imports the modules in `imports` only, not those that define tasks. */
export async function importOnly(imports: readonly string[], options: ImportOptions): Promise<void> {
  for (const module of imports) await importModule(module, options);
}

/** A call of `configure()` with options; one without any changes nothing. */
const CONFIGURES = /\bconfigure\s*\(\s*(?!\)|\{\s*\}\s*\))/;

/**
 * Whether the text of a task module calls `configure()` with options, which may name the database. Modules that it
 * imports are not read.
 */
export async function mayConfigure({ config, directory, hasTasks }: FoundConfig): Promise<boolean> {
  if (hasTasks) return true; // it has called configure() already
  for (const file of await findFiles(patternsOf({ config, hasTasks }), directory)) {
    if (CONFIGURES.test(await fs.readFile(file, "utf8").catch(() => ""))) return true;
  }
  return false;
}

function patternsOf({ config: { tasks }, hasTasks }: Pick<FoundConfig, "config" | "hasTasks">): readonly string[] {
  if (tasks !== undefined) return [tasks].flat();
  return hasTasks ? [] : TASK_PATTERNS;
}

/** Finds files by glob patterns, in a stable order. */
async function findFiles(patterns: readonly string[], directory: string): Promise<string[]> {
  const files = new Set<string>();
  for (const pattern of patterns) {
    const paths: string[] = [];
    for await (const path of fs.glob(pattern, { cwd: directory })) paths.push(resolve(directory, path));
    for (const path of paths.sort()) if (!NO_TASKS.test(path) && await isFile(path)) files.add(path);
  }
  return [...files];
}

/** Imports a file by its path, or a module by any specifier that the runtime can resolve. */
async function importModule(specifier: string, options: ImportOptions): Promise<unknown> {
  const path = resolve(specifier);
  const isPath = /^(\.{0,2}[\\/]|[a-z]:[\\/])/i.test(specifier) || await isFile(path);
  try {
    return await runImport(() => import(isPath ? pathToFileURL(path).href : specifier), {
      ...options,
      shown: shown(specifier),
    });
  } catch (error) {
    if (error instanceof DiscoveryError) throw error;
    const hint = await typescriptHint(error);
    const reason = describeImportError(error) + (hint === undefined ? "" : `. ${hint}`);
    throw new DiscoveryError(`Cannot import ${shown(specifier)}: ${reason}`, { cause: error });
  }
}

async function isFile(path: string): Promise<boolean> {
  return await fs.stat(path).then((found) => found.isFile(), () => false);
}
