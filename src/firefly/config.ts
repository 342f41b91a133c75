import type { ConsumeOptions } from "../consume/consume.ts";
import type { FireflyOptions } from "./options.ts";

/** What `firefly.config.ts` exports by default: how the command line finds the database and the tasks. */
export interface Config extends FireflyOptions {
  /** Modules that define tasks, as paths or globs beside the configuration file. */
  tasks?: string | string[];
  /** What `consume` does if its flags do not say otherwise. */
  consume?: ConsumeOptions;
}

/**
 * Types a configuration; returns it as it is.
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
