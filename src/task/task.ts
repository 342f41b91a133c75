import { withTarget } from "./call_target.ts";
import { checkScheduleOptions, defineTask, type Handler, namesOf, type TaskDefinition } from "./definition.ts";
import { TaskNotFound } from "../errors.ts";
import type { ScheduleOptions, TaskOptions } from "./options.ts";
import type { Page, PageOptions, TaskFilter, TaskRecord, WaitOptions } from "./record.ts";
import { register, type Trace } from "./registration.ts";
import { RESULT } from "./result_of.ts";
import { ScheduledCall } from "./scheduled_call.ts";
import { currentInstance } from "./scope.ts";
import type { Payload, Signal } from "./signal.ts";
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
  if (fn !== undefined) {
    const trace: Trace = {};
    // Here and not in a function of its own: in Bun the stack is empty unless the function that it ends with calls this.
    Error.captureStackTrace(trace, task);
    return makeTask(register(defineTask(spec, fn), trace));
  }
  return function decorate(fn: Handler) {
    const trace: Trace = {};
    Error.captureStackTrace(trace, decorate);
    return makeTask(register(defineTask(spec, fn), trace));
  };
} as TaskFunction;

/** Returns the task of a definition that is registered. */
export function makeTask(definition: TaskDefinition): Task {
  const { name } = definition;
  function call(this: unknown, ...args: unknown[]): unknown {
    return definition.handler.apply(this, args);
  }
  return Object.assign(call, {
    [DEFINITION]: definition,
    funcName: name,
    ...makeSchedulable(definition, {}),
    with(options: ScheduleOptions): Schedulable<unknown[], unknown> {
      const { after } = options;
      const own = isIterable(after) ? { ...options, after: [...after] } : { ...options };
      checkScheduleOptions(own, `schedule task "${name}"`);
      return makeSchedulable(definition, own); // what was checked is what schedule() takes, with each call
    },
    async get(id: number): Promise<TaskRecord> {
      const record = await currentInstance().tasks.get(id);
      if (namesOf(definition).includes(record.funcName)) return record;
      throw new TaskNotFound(id, name);
    },
    list(filter: Omit<TaskFilter, "funcName"> = {}, page: PageOptions = {}): Promise<Page<TaskRecord>> {
      return currentInstance().tasks.list({ ...filter, funcName: namesOf(definition) }, page);
    },
    signal<T>(uniqueKey: string, signal: Signal<T>, ...payload: Payload<T>): Promise<boolean> {
      return currentInstance().tasks.signal({ funcName: name, uniqueKey }, signal, ...payload);
    },
  });
}

function makeSchedulable(definition: TaskDefinition, options: ScheduleOptions): Schedulable<unknown[], unknown> {
  const schedulable: Schedulable<unknown[], unknown> = {
    schedule(...args) {
      const call = new ScheduledCall();
      const record = currentInstance().schedule(definition, [args], options, call).then((records) => records[0]!);
      call.done = record;
      return Object.assign(record, {
        result: (wait?: WaitOptions) => record.then((record) => record.result(wait)),
        [RESULT]: call,
      });
    },
    scheduleMany(calls) {
      const call = new ScheduledCall(0);
      async function scheduleAll(): Promise<TaskRecord[]> {
        const list = [...calls] as unknown[][];
        call.count = list.length;
        return await currentInstance().schedule(definition, list, options, call);
      }
      const records = scheduleAll();
      call.done = records;
      return Object.assign(records, { [RESULT]: call as never });
    },
  };
  return withTarget(schedulable, { definition, options });
}

function isIterable(value: unknown): value is Iterable<unknown> {
  return typeof (value as Partial<Iterable<unknown>> | null | undefined)?.[Symbol.iterator] === "function";
}
