import type { ConsumeOptions } from "../consume/options.ts";
import type { FireflyOptions } from "./options.ts";

/** The default export of `firefly.config.ts`, which tells the command line the database and the task modules. */
export interface Config extends FireflyOptions {
  /** The modules that define tasks, as paths or globs relative to the configuration file. */
  tasks?: string | string[];
  /** Defaults of the command `consume`; its flags override them. */
  consume?: ConsumeOptions;
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
