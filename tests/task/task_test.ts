import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import type { TaskDefinition } from "../../src/task/definition.ts";
import type { ScheduleOptions } from "../../src/task/options.ts";
import { FireflyError, TaskNotFound } from "../../src/errors.ts";
import type { TaskFilter, TaskRecord } from "../../src/task/record.ts";
import { type CurrentInstance, withScope } from "../../src/task/scope.ts";
import { DEFINITION, task } from "../../src/task/task.ts";

let made = 0;
/** A name of a test's own: the registry is shared by the whole process. */
function unique(name: string): string {
  return `task_test.${name}.${++made}`;
}

interface Call {
  definition: TaskDefinition;
  calls: unknown[][];
  options: ScheduleOptions;
}

/** An instance that notes what is asked of it, and answers with `records`. */
function recorder(
  records: Partial<TaskRecord>[] = [],
): { instance: CurrentInstance; calls: Call[]; filters: TaskFilter[] } {
  const [calls, filters]: [Call[], TaskFilter[]] = [[], []];
  const instance = {
    schedule(definition: TaskDefinition, args: unknown[][], options: ScheduleOptions) {
      calls.push({ definition, calls: args, options });
      return Promise.resolve(args.map((params, i) => ({ params, ...records[i] })));
    },
    tasks: {
      get: () => Promise.resolve(records[0]),
      list: (filter: TaskFilter) => (filters.push(filter), Promise.resolve({ items: records, next: null })),
    },
  } as unknown as CurrentInstance;
  return { instance, calls, filters };
}

Deno.test("task() returns what is still the plain function, with this and all arguments", () => {
  const name = unique("add");
  const add = task(
    name,
    function (this: unknown, i: number, j = 2) {
      return [this, i + j];
    } as (i: number, j?: number) => [string, number],
  );

  assertEquals(add.call("me", 1), ["me", 3]);
  assertEquals(add.funcName, name);
});

Deno.test("task() as a decorator defines the same", () => {
  const name = unique("twice");
  const twice = task({ name, queue: "slow" })((i: number) => i * 2);

  assertEquals([twice(4), twice.funcName], [8, name]);
  assertEquals((twice as unknown as Record<symbol, TaskDefinition>)[DEFINITION]!.queue, "slow");
});

Deno.test("task() lets the handler's own errors through, thrown or rejected", async () => {
  const broken = task(unique("broken"), () => {
    throw new RangeError("now");
  });
  const rejecting = task(unique("rejecting"), () => Promise.reject(new RangeError("later")));

  assertThrows(() => broken(), RangeError, "now");
  await assertRejects(() => rejecting(), RangeError, "later");
});

Deno.test("task() refuses a name that another task has, and says where both are", () => {
  const name = unique("taken");
  task(name, () => {});

  const error = assertThrows(() => task({ name: unique("other"), aliases: [name] }, () => {}), FireflyError);

  assert(error.message.includes(`"${name}" is already a name of task "${name}"`), error.message);
  assertEquals(error.message.match(/task_test\.ts:\d+:\d+/g)?.length, 2);
});

Deno.test("task() refuses the same for decorators", () => {
  const name = unique("decorated");
  const [first, second] = [task(name), task(name)];
  first(() => {});

  assertThrows(() => second(() => {}), FireflyError, "is already a name of task");
});

Deno.test("task() registers nothing of a task whose alias is taken", () => {
  const [name, free] = [unique("name"), unique("free")];
  task(name, () => {});
  assertThrows(() => task({ name: free, aliases: [name] }, () => {}), FireflyError);

  task(free, () => {});
});

Deno.test("task() at the same place again is the same task, as when a development server reloads a module", () => {
  const name = unique("reloaded");
  const define = (result: number) => task(name, () => result);

  define(1);
  assertEquals(define(2)(), 2);
});

Deno.test("Task.schedule() hands its arguments to the instance of the scope, and resolves to the record", async () => {
  const add = task(unique("add"), (i: number, j: number) => i + j);
  const { instance, calls } = recorder();

  const record = await withScope({ instance }, () => add.schedule(1, 2));

  assertEquals(record.params, [1, 2]);
  assertEquals([calls[0]!.definition.name, calls[0]!.calls, calls[0]!.options], [add.funcName, [[1, 2]], {}]);
});

Deno.test("Task.with() adds options for one call, and checks them at once", async () => {
  const add = task(unique("add"), (i: number) => i);
  const { instance, calls } = recorder();

  await withScope({ instance }, () => add.with({ delay: "5m", priority: 3 }).schedule(1));

  assertEquals(calls[0]!.options, { delay: "5m", priority: 3 });
  assertThrows(() => add.with({ delai: 5 } as ScheduleOptions), TypeError, 'no option "delai", did you mean "delay"?');
});

Deno.test("Task.scheduleMany() takes any iterable of lists of arguments", async () => {
  const add = task(unique("add"), (i: number) => i);
  const { instance, calls } = recorder();
  function* three(): Generator<[number]> {
    for (let i = 0; i < 3; i++) yield [i];
  }

  const records = await withScope({ instance }, () => add.scheduleMany(three()));

  assertEquals([records.length, calls[0]!.calls], [3, [[0], [1], [2]]]);
});

Deno.test("Task.schedule().result() awaits the record's result", async () => {
  const add = task(unique("add"), () => 4);
  const waits: unknown[] = [];
  const { instance } = recorder([{ result: (wait) => (waits.push(wait), Promise.resolve(4)) }]);

  const result = await withScope({ instance }, () => add.schedule().result({ timeout: "1m" }));

  assertEquals([result, waits], [4, [{ timeout: "1m" }]]);
});

Deno.test("Task.schedule().result() rejects when scheduling fails, and nothing else does", async () => {
  const add = task(unique("add"), () => 4);
  const instance = { schedule: () => Promise.reject(new FireflyError("no database")) } as unknown as CurrentInstance;

  await withScope({ instance }, async () => {
    await assertRejects(() => add.schedule().result(), FireflyError, "no database");
  });
  await new Promise((resolve) => setTimeout(resolve, 1)); // an unhandled rejection would fail the test
});

Deno.test("Task.get() reads a record of this task, by its aliases, too", async () => {
  const alias = unique("old");
  const renamed = task({ name: unique("new"), aliases: [alias] }, () => {});
  const { instance } = recorder([{ id: 5, funcName: alias }]);

  assertEquals((await withScope({ instance }, () => renamed.get(5))).id, 5);
});

Deno.test("Task.get() finds no record of another task, and does not name it", async () => {
  const add = task(unique("add"), () => {});
  const { instance } = recorder([{ id: 5, funcName: "other" }]);

  const error = await withScope({ instance }, () => assertRejects(() => add.get(5)));

  assertInstanceOf(error, TaskNotFound);
  assertEquals([error.id, error.message], [5, `Cannot find task 5 of "${add.funcName}" as it is of another name`]);
});

Deno.test("Task.list() asks for the records of all its names", async () => {
  const alias = unique("old");
  const renamed = task({ name: unique("new"), aliases: [alias] }, () => {});
  const { instance, filters } = recorder();

  await withScope({ instance }, () => renamed.list({ status: "failed" }));

  assertEquals(filters, [{ status: "failed", funcName: [renamed.funcName, alias] }]);
});
