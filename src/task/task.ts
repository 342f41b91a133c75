import { checkScheduleOptions, defineTask, type Handler, namesOf, type TaskDefinition } from "./definition.ts";
import { FireflyError } from "../errors.ts";
import type { ScheduleOptions, TaskOptions } from "./options.ts";
import type { Page, PageOptions, TaskFilter, TaskRecord, WaitOptions } from "./record.ts";
import { currentInstance, registry } from "./scope.ts";
import type { Schedulable, Task, TaskFunction } from "./signature.ts";

/** The key of a task's definition, for use in this package only. */
export const DEFINITION: unique symbol = Symbol.for("firefly.definition") as never;

/**
 * Defines a task: `task(spec, fn)`, or `task(spec)(fn)`. Returns the function, which can still be called directly and
 * can now be scheduled. Defining a task does no I/O.
 *
 * @throws {TypeError | RangeError} If an option is not valid.
 * @throws {FireflyError} If another task in this process has the same name or alias.
 *
 * @example Define and call
 * ```ts
 * import { task } from "@firefly/tasks";
 * import { assertEquals } from "@std/assert";
 *
 * const add = task({ name: "docs.add", maxRetries: 3, retryDelay: 10 })((i: number, j: number) => i + j);
 *
 * assertEquals(add(1, 3), 4);
 * assertEquals(add.funcName, "docs.add");
 * ```
 *
 * @example Schedule and wait for the result
 * ```ts ignore
 * const row = await add.schedule(1, 3);
 * console.log(await row.result()); // 4
 * ```
 */
export const task: TaskFunction = function task(spec: string | TaskOptions<never[]>, fn?: Handler): unknown {
  if (fn !== undefined) return register(spec, fn, task);
  return function decorate(fn: Handler) {
    return register(spec, fn, decorate);
  };
} as TaskFunction;

function register(spec: string | TaskOptions<never[]>, handler: Handler, caller: Handler): Task {
  const definition = defineTask(spec, handler);
  const site = findCallSite(caller);
  for (const name of namesOf(definition)) {
    const other = registry.get(name);
    // A task defined again at the same place is the same task: development servers evaluate changed modules again.
    if (other && other.site !== site) {
      throw new FireflyError(
        `Cannot define task "${definition.name}" at ${site} as "${name}" is already a name of task "${other.definition.name}" at ${other.site}`,
      );
    }
  }
  for (const name of namesOf(definition)) registry.set(name, { definition, site });
  return makeTask(definition);
}

/** Finds the place where `caller` was called, as `file:line:column`. */
function findCallSite(caller: Handler): string {
  const trace: { stack?: string } = {};
  Error.captureStackTrace(trace, caller);
  const frame = trace.stack?.split("\n").find((line) => /:\d+:\d+\)?$/.test(line)) ?? "";
  return frame.replace(/^.*?(?:\(|@|at (?:async )?)/, "").replace(/\)$/, "").trim() || "an unknown place";
}

function makeTask(definition: TaskDefinition): Task {
  const { name, handler } = definition;
  function call(this: unknown, ...args: unknown[]): unknown {
    return handler.apply(this, args);
  }
  return Object.assign(call, {
    [DEFINITION]: definition,
    funcName: name,
    ...makeSchedulable(definition, {}),
    with(options: ScheduleOptions): Schedulable<unknown[], unknown> {
      checkScheduleOptions(options, `schedule task "${name}"`);
      return makeSchedulable(definition, { ...options }); // what was checked is what schedule() takes
    },
    async get(id: number): Promise<TaskRecord> {
      const record = await currentInstance().tasks.get(id);
      if (namesOf(definition).includes(record.funcName)) return record;
      throw new FireflyError(`Cannot get task ${id} as "${name}" as it is a task "${record.funcName}"`);
    },
    list(filter: Omit<TaskFilter, "funcName"> = {}, page: PageOptions = {}): Promise<Page<TaskRecord>> {
      return currentInstance().tasks.list({ ...filter, funcName: namesOf(definition) }, page);
    },
  });
}

function makeSchedulable(definition: TaskDefinition, options: ScheduleOptions): Schedulable<unknown[], unknown> {
  return {
    schedule(...args) {
      const record = currentInstance().schedule(definition, [args], options).then((records) => records[0]!);
      return Object.assign(record, {
        result: (wait?: WaitOptions) => record.then((record) => record.result(wait)),
      });
    },
    async scheduleMany(calls) {
      return await currentInstance().schedule(definition, [...calls] as unknown[][], options);
    },
  };
}
