import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Duration, task } from "../../mod.ts";
import { defineTask, type TaskDefinition } from "../../src/task/definition.ts";
import type { ScheduleOptions, TaskOptions } from "../../src/task/options.ts";
import { type KnownColumns, newTasks } from "../../src/schedule/new_tasks.ts";
import type { NewTask } from "../../src/store/new_task.ts";
import { decode } from "../../src/wire/decode.ts";
import { taskName, testInstance } from "../support/instance.ts";

interface Layers {
  options?: ScheduleOptions;
  definition?: Partial<TaskOptions>;
  defaults?: Partial<TaskOptions>;
}

async function newTask(
  { options = {}, definition = {}, defaults = {} }: Layers,
  args: unknown[] = [],
): Promise<NewTask> {
  const defined = defineTask({ name: "test.task", ...definition }, () => {});
  return (await newTasks(defined, [args], { options, defaults, schema: "firefly" }))[0]!;
}

Deno.test("newTasks() takes an option of the call, else of the definition, else of the instance, else django-firefly-tasks'", async () => {
  const layers = (key: keyof TaskOptions, values: unknown[]): Layers[] => [
    { options: { [key]: values[0] }, definition: { [key]: values[1] }, defaults: { [key]: values[2] } },
    { definition: { [key]: values[1] }, defaults: { [key]: values[2] } },
    { defaults: { [key]: values[2] } },
    {},
  ];
  const cases: [keyof TaskOptions, keyof NewTask, unknown[], unknown[]][] = [
    ["queue", "queue", ["a", "b", "c"], ["a", "b", "c", "default"]],
    ["maxRetries", "max_retries", [0, 1, 2], [0, 1, 2, 0]],
    ["retryDelay", "retry_delay", [0, "1m", "2s"], [0, 60, 2, 120]],
    ["timeout", "timeout", ["1s", 2, "3m"], [1, 2, 180, null]],
  ];

  for (const [option, column, values, expected] of cases) {
    const tasks = await Promise.all(layers(option, values).map((layer) => newTask(layer)));
    assertEquals(tasks.map((task) => task[column]), expected, option);
  }
  assertEquals((await newTask({ options: { priority: 0 }, definition: { priority: 5 } })).priority, 0);
  assertEquals((await newTask({ definition: { priority: 5 } })).priority, 5);
});

Deno.test("newTasks() stores a delay of seconds and a backoff, and leaves a function to the definition", async () => {
  const stored = async (retryDelay: TaskOptions["retryDelay"]) => {
    const { retry_delay, backoff } = await newTask({ definition: { retryDelay: retryDelay! } });
    return { retry_delay, backoff };
  };
  const backoff = { kind: "linear", delay: "5s" as Duration } as const;

  assertEquals(await stored("1h"), { retry_delay: 3600, backoff: null });
  assertEquals(await stored(backoff), { retry_delay: null, backoff });
  assertEquals(await stored(() => 5), { retry_delay: null, backoff: null });
});

Deno.test("newTasks() encodes each call's arguments, and takes delay or notBefore", async () => {
  const at = new Date("2026-12-24T18:30Z");
  const [delayed, timed] = [
    await newTask({ options: { delay: "10m" } }, [1n]),
    await newTask({ options: { notBefore: at } }, [new Map([[1, at]])]),
  ];

  assertEquals([delayed.delay, delayed.not_before, decode(delayed.params)], [600, null, [1n]]);
  assertEquals([timed.delay, timed.not_before, decode(timed.params)], [null, at.toISOString(), [new Map([[1, at]])]]);
});

Deno.test("newTasks() takes known columns for the same task and options only, and a Date as it is at each call", async () => {
  const [one, other] = ["test.one", "test.other"].map((name) => defineTask({ name, queue: name.slice(5) }, () => {}));
  const known: KnownColumns = new WeakMap();
  const columnsOf = async (definition: TaskDefinition, options: ScheduleOptions) => {
    const [task] = await newTasks(definition, [[]], { options, defaults: {}, schema: "firefly", known });
    return [task!.func_name, task!.queue, task!.delay, task!.not_before];
  };
  const [soon, late]: ScheduleOptions[] = [{ delay: 1 }, { delay: 60 }];
  const at = { notBefore: new Date("2026-12-24T18:30Z") };

  for (let i = 0; i < 2; i++) {
    assertEquals(await columnsOf(one!, soon!), ["test.one", "one", 1, null]);
    assertEquals(await columnsOf(one!, late!), ["test.one", "one", 60, null]);
    assertEquals(await columnsOf(other!, late!), ["test.other", "other", 60, null]);
  }
  assertEquals((await columnsOf(one!, at))[3], "2026-12-24T18:30:00.000Z");
  at.notBefore.setUTCFullYear(2030);
  assertEquals((await columnsOf(one!, at))[3], "2030-12-24T18:30:00.000Z");
});

Deno.test("newTasks() waits for the bytes of Blobs, and keeps the order of its calls", async () => {
  const defined = defineTask({ name: "test.task" }, () => {});
  const calls = [[1], [new Blob(["two"])], [3]];

  const tasks = await newTasks(defined, calls, { options: {}, defaults: {}, schema: "firefly" });

  const [one, two, three] = tasks.map(({ params }) => (decode(params) as unknown[])[0]);
  assertEquals([one, await (two as Blob).text(), three], [1, "two", 3]);
});

Deno.test("schedule() takes its arguments as they are when it is called", async () => {
  await using test = await testInstance();
  const work = task(taskName(), (_order: { paid: boolean }) => {});
  const order = { paid: false };

  const scheduled = test.ff.run(() => work.schedule(order));
  order.paid = true;

  assertEquals((await scheduled).params, [{ paid: false }]);
});

Deno.test("newTasks() refuses arguments that cannot be stored, and an invalid default queue", async () => {
  const refused = await assertRejects(() => newTask({}, [{ a: [() => 1] }]), DOMException);
  assert(refused.message.includes("a[0]"), refused.message);
  await assertRejects(() => newTask({ defaults: { queue: "Not A Queue" } }), RangeError, 'schedule task "test.task"');
});

Deno.test("scheduleMany() inserts all or none, over several statements", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  const work = task(taskName(), (n: number | string) => n);
  const calls = Array.from({ length: 5100 }, (_, i): [number | string] => [i]);

  const rows = await ff.run(() => work.scheduleMany(calls));
  assertEquals(rows.map(({ id, params }) => [id, params[0]]), calls.map(([i]) => [Number(i) + 1, i]));
  assertEquals(await ff.run(() => work.scheduleMany([])), []);

  // The second statement fails.
  await db.sql.unsafe(
    `ALTER TABLE firefly.task ADD CONSTRAINT refused CHECK (params <> '${btoa('["no"]')}') NOT VALID`,
  );
  await assertRejects(() => ff.run(() => work.scheduleMany([...calls, ["no"]])), Error, "refused");
  assertEquals((await db.sql`SELECT count(*)::int AS n FROM firefly.task`)[0]!.n, 5100);
});
