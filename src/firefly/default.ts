import type { Consumer } from "../consume/consume.ts";
import type { ConsumeOptions } from "../consume/options.ts";
import { Tasks } from "../records/tasks.ts";
import type { Sql } from "../sql.ts";
import { currentInstance, defaultInstance, setDefaultInstance } from "../task/scope.ts";
import { Firefly } from "./firefly.ts";
import type { FireflyOptions } from "./options.ts";

/** The instance of the scope, else the default one. */
function currentFirefly(): Firefly {
  return currentInstance() as Firefly;
}

/**
 * Creates the default instance, which tasks use unless `run()` selects another. Closes the one that it replaces. It takes
 * a {@linkcode Config} as well, and ignores what only the command line uses: `tasks` and `consume`.
 *
 * @example
 * ```ts
 * import { configure } from "@firefly/tasks";
 * import { assertEquals } from "@std/assert";
 *
 * const ff = configure({ database: "postgres://localhost/app", schema: "jobs" });
 *
 * assertEquals(ff.schema, "jobs");
 * ```
 */
export function configure(options: FireflyOptions): Firefly {
  const replaced = defaultInstance() as Firefly | undefined;
  const firefly = new Firefly(options);
  setDefaultInstance(firefly);
  replaced?.close().catch(() => {});
  return firefly;
}

/**
 * As {@linkcode Firefly.consume} of the default instance.
 *
 * @example
 * ```ts ignore
 * import { consume } from "@firefly/tasks";
 * import "./tasks.ts";
 *
 * await using consumer = consume({ concurrency: 20 });
 * await consumer.finished;
 * ```
 */
export function consume(options?: ConsumeOptions): Consumer {
  return currentFirefly().consume(options);
}

/**
 * As {@linkcode Firefly.transaction} of the default instance.
 *
 * @example Both rows, or none
 * ```ts ignore
 * import { transaction } from "@firefly/tasks";
 *
 * await transaction(async (sql) => {
 *   await sql`INSERT INTO orders (id) VALUES (${id})`;
 *   await confirm.schedule(id);
 * });
 * ```
 */
export function transaction<T>(fn: (sql: Sql) => Promise<T>): Promise<T> {
  return currentFirefly().transaction(fn);
}

/**
 * As {@linkcode Firefly.tasks} of the default instance.
 *
 * @example
 * ```ts ignore
 * import { tasks } from "@firefly/tasks";
 *
 * for await (const record of await tasks.list({ status: "failed" })) console.log(record.id, record.funcName);
 * await tasks.retry({ name: "math.add" });
 * ```
 */
export const tasks: Tasks = new Proxy(Tasks.prototype, {
  // The instance is looked up at each call, since `run()` or `configure()` may have changed it after the last one.
  get(prototype, name: keyof Tasks) {
    if (!Object.hasOwn(prototype, name)) return undefined;
    return (...args: unknown[]) => {
      const { tasks } = currentFirefly();
      return Reflect.apply(tasks[name], tasks, args);
    };
  },
});
