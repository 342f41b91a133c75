import type { ConsumeOptions } from "../consume/options.ts";
import type { FireflyOptions } from "./options.ts";

/** Options of the command `consume`: those of `consume()`, and those of the process. */
export interface ConsumeCommandOptions extends ConsumeOptions {
  /** The port on which to answer `/livez` and `/readyz`. @default none */
  probePort?: number;
  /** The address on which to answer them. @default all addresses */
  probeHost?: string;
  /**
   * Stops the consumer gracefully, with exit code 8, once its process has more memory than this: bytes, or text such as
   * `"512MB"`.
   *
   * @default no limit
   */
  maxMemory?: number | string;
}

/** The default export of `firefly.config.ts`, which tells the command line the database and the task modules. */
export interface Config extends FireflyOptions {
  /** The modules that define tasks, as paths or globs relative to the configuration file. */
  tasks?: string | string[];
  /** Options of the command `consume`, unless its flags or the environment set them. */
  consume?: ConsumeCommandOptions;
}

/**
 * Returns the configuration unchanged, with its type checked.
 *
 * @example
 * ```ts
 * import { defineConfig } from "@firefly/tasks";
 * import { assertEquals } from "@std/assert";
 *
 * const config = defineConfig({ schema: "jobs", tasks: "jobs/*.ts", consume: { concurrency: 20 } });
 *
 * assertEquals(config.schema, "jobs");
 * ```
 */
export function defineConfig(config: Config): Config {
  return config;
}
