import { glob, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import type { Config } from "../firefly/config.ts";
import { withDeadline } from "../database/deadline.ts";
import { codeOf } from "../database/error_codes.ts";
import { FireflyError } from "../errors.ts";
import { describeImportError, shown } from "./import_error.ts";
import { OPTION_KEYS } from "../firefly/options.ts";
import { registry } from "../task/scope.ts";
import { refuseUnknownKeys } from "../suggest.ts";

/** The configuration or the tasks cannot be found or imported. */
export class DiscoveryError extends FireflyError {
  override name = "DiscoveryError";
}

/** A configuration, and the directory that its paths are relative to. */
export interface FoundConfig {
  readonly config: Config;
  readonly directory: string;
  /** The file, if there is one. */
  readonly file?: string;
}

const CONFIG_FILES = ["firefly.config.ts", "firefly.config.js", "firefly.config.mjs"];
const CONFIG_KEYS = [...OPTION_KEYS, "tasks", "consume"];
const TASK_PATTERNS = ["tasks", "tasks/**/*", "src/tasks", "src/tasks/**/*"].map((path) => `${path}.{ts,js,mjs}`);
/** Files among the task modules that define no tasks. */
const NO_TASKS = /[._]test\.\w+$|\.d\.ts$|[\\/]node_modules[\\/]/;

/** Imports the configuration: the `given` file, else the one in the working directory; empty if there is none. */
export async function loadConfig(given: string | undefined, timeout?: number): Promise<FoundConfig> {
  const directory = process.cwd();
  const candidates = given === undefined ? CONFIG_FILES : [given];
  for (const file of candidates.map((path) => resolve(directory, path))) {
    if (!await isFile(file)) continue;
    const { default: config } = await importModule(file, timeout) as { default?: Config };
    if (typeof config !== "object" || config === null) {
      throw new DiscoveryError(`Cannot use ${shown(file)} as its default export is not a configuration`);
    }
    try {
      refuseUnknownKeys(config, CONFIG_KEYS, `use ${shown(file)}`);
    } catch (error) {
      throw new DiscoveryError((error as Error).message, { cause: error });
    }
    return { config, directory: dirname(file), file };
  }
  if (given !== undefined) throw new DiscoveryError(`Cannot use the configuration ${given} as there is no such file`);
  return { config: {}, directory };
}

/**
 * Imports the modules that define tasks: those that the configuration names, else those in the default places; and
 * those in `imports`.
 *
 * @param options `timeout`: the longest that each import may take, in milliseconds; no limit by default.
 * @throws {DiscoveryError} If a module cannot be imported, or if tasks are `needed` and none is defined.
 */
export async function importTasks(
  { config, directory, file }: FoundConfig,
  { imports, needed, timeout }: { imports: readonly string[]; needed: boolean; timeout?: number | undefined },
): Promise<void> {
  const patterns = config.tasks === undefined ? TASK_PATTERNS : [config.tasks].flat();
  const found = await findFiles(patterns, directory);
  for (const module of [...found, ...imports]) await importModule(module, timeout);
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

/** Finds files by glob patterns, in a stable order. */
async function findFiles(patterns: readonly string[], directory: string): Promise<string[]> {
  const files = new Set<string>();
  for (const pattern of patterns) {
    const paths: string[] = [];
    for await (const path of glob(pattern, { cwd: directory })) paths.push(resolve(directory, path));
    for (const path of paths.sort()) if (!NO_TASKS.test(path) && await isFile(path)) files.add(path);
  }
  return [...files];
}

/** Imports a file by its path, or a module by any specifier that the runtime can resolve. */
async function importModule(specifier: string, timeout?: number): Promise<unknown> {
  const path = resolve(specifier);
  const isPath = /^(\.{0,2}[\\/]|[a-z]:[\\/])/i.test(specifier) || await isFile(path);
  try {
    const importing = import(isPath ? pathToFileURL(path).href : specifier);
    return await (timeout ? withDeadline(importing, timeout) : importing);
  } catch (error) {
    if (timeout && codeOf(error) === "DEADLINE") {
      throw new DiscoveryError(`Cannot import ${shown(specifier)} as it takes longer than ${timeout / 1000} s`);
    }
    throw new DiscoveryError(`Cannot import ${shown(specifier)}: ${describeImportError(error)}`, { cause: error });
  }
}

async function isFile(path: string): Promise<boolean> {
  return await stat(path).then((found) => found.isFile(), () => false);
}
