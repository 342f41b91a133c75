/**
 * What the compiler infers from the schemas of a task, and from its handler. The functions test by being type-checked;
 * what it must say about mistakes is in type_errors_test.ts.
 */
import { assertEquals } from "@std/assert";
import { type } from "arktype";
import * as v from "valibot";
import { z } from "zod";
import { Firefly, type Schedulable, type Task, task, type TaskOptions } from "../../mod.ts";
import { taskName } from "../support/instance.ts";

/** Compiles only if the types are the same, and not just assignable. */
function assertSame<A, B>(
  _same: (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false,
) {}

/** The type of the arguments that `schedule()` takes. */
type Given<T> = T extends Schedulable<infer A, unknown> ? A : never;

const Mail = z.object({ to: z.string(), copies: z.number().default(1) });
type MailInput = { to: string; copies?: number | undefined };

function _theHandlerGetsWhatTheSchemaReturns() {
  const input = z.tuple([Mail, z.number().default(5)]);
  const whole = task({ name: "x", input }, (mail, n) => {
    assertSame<typeof mail, { to: string; copies: number }>(true);
    assertSame<typeof n, number>(true);
    return n;
  });
  const destructured = task({ name: "x", input }, ({ to, copies }, n) => {
    assertSame<typeof to, string>(true);
    assertSame<typeof copies, number>(true);
    return n;
  });
  const decorated = task({ name: "x", input })(({ to, copies }, n) => {
    assertSame<typeof to, string>(true);
    assertSame<typeof copies, number>(true);
    return n;
  });
  assertSame<typeof destructured, typeof whole>(true);
  assertSame<typeof decorated, typeof whole>(true);
  assertSame<ReturnType<typeof whole>, number>(true);
  assertSame<Parameters<typeof whole>[1], number>(true);
}

async function _scheduleTakesWhatTheSchemaAccepts() {
  const send = task({ name: "x", input: z.tuple([Mail, z.number().default(5)]) }, ({ to }, n) => to.length + n);
  assertSame<Given<typeof send>, [MailInput, (number | undefined)?]>(true);
  const row = await send.schedule({ to: "a" });
  assertSame<typeof row.params, [MailInput, (number | undefined)?]>(true);
  await send.schedule({ to: "a", copies: 2 }, 3);
  await send.with({ delay: "5m" }).schedule({ to: "a" });
  await send.scheduleMany([[{ to: "a" }], [{ to: "b" }, 1]]);
  const result = await send.schedule({ to: "a" }).result();
  assertSame<typeof result, number>(true);
}

function _aSchemaMayTransform() {
  const zod = task({ name: "x", input: z.tuple([z.string().transform(Number)]) }, (n) => n.toFixed());
  assertSame<Given<typeof zod>, [string]>(true);
  const valibot = task({ name: "x", input: v.tuple([v.pipe(v.string(), v.transform(Number))]) }, (n) => n.toFixed());
  assertSame<Given<typeof valibot>, [string]>(true);
  const arktype = task({ name: "x", input: type(["string.numeric.parse"]) }, (n) => n.toFixed());
  assertSame<Given<typeof arktype>, [string]>(true);
  // What the handler alone gets is never stored.
  const url = task({ name: "x", input: z.tuple([z.string().transform((text) => new URL(text))]) }, (url) => url.href);
  assertSame<Given<typeof url>, [string]>(true);
}

function _argumentsMayBeOptionalInAnyLibrary() {
  const zod = task({ name: "x", input: z.tuple([z.string(), z.number().default(7)]) }, (s, n) => s + n.toFixed());
  zod.schedule("a");
  zod.schedule("a", 1);
  const optional = task({ name: "x", input: z.tuple([z.string(), z.number().optional()]) }, (_, n) => {
    assertSame<typeof n, number | undefined>(true);
  });
  optional.schedule("a");
  const valibot = task({ name: "x", input: v.tuple([v.string(), v.optional(v.number(), 7)]) }, (s, n) => {
    return s + n.toFixed();
  });
  valibot.schedule("a");
  valibot.schedule("a", 1);
  const arktype = task({ name: "x", input: type(["string", "number = 7"]) }, (s, n) => s + n.toFixed());
  arktype.schedule("a");
  arktype.schedule("a", 1);
}

function _listsOfAnyKindAreArguments() {
  const rest = task({ name: "x", input: z.tuple([z.string()]).rest(z.number()) }, (s, ...numbers) => {
    assertSame<typeof numbers, number[]>(true);
    return s;
  });
  rest.schedule("a", 1, 2);
  const array = task({ name: "x", input: z.array(z.string()) }, (...texts) => {
    assertSame<typeof texts, string[]>(true);
  });
  array.schedule("a", "b");
  const readonly = task({ name: "x", input: z.tuple([z.string()]).readonly() }, (s) => s.length);
  readonly.schedule("a");
  const ignored = task({ name: "x", input: z.tuple([z.string(), z.number()]) }, () => 1);
  assertSame<Given<typeof ignored>, [string, number]>(true);
}

function _keysGetWhatIsScheduled() {
  const input = z.tuple([Mail]);
  const send = task({
    name: "x",
    input,
    unique: {
      key: (mail) => {
        assertSame<typeof mail, MailInput>(true);
        return mail.to;
      },
    },
    concurrency: { limit: 1, key: ({ to }) => to },
  }, ({ copies }) => copies);
  assertSame<ReturnType<typeof send>, number>(true);
  const decorated = task({ name: "x", input, rateLimit: { limit: 1, per: "1s", key: ({ to }) => to } })((mail) => mail);
  assertSame<Awaited<ReturnType<typeof decorated>>, { to: string; copies: number }>(true);
  task({ name: "x", unique: { key: (id) => id.toFixed() } }, (id: number) => id);
  task({
    name: "x",
    unique: { key: (id: number) => `${id}` },
    concurrency: { limit: 1, key: (_: number, s: string) => s },
  })(
    (id: number, text: string) => text + id,
  );
}

async function _theResultIsWhatOutputReturns() {
  const output = z.object({ kind: z.enum(["sent", "kept"]), size: z.string().transform(Number) });
  const send = task({ name: "x", output }, async (to: string) => ({ kind: "sent", size: await to }));
  const stored = await send.schedule("a").result();
  assertSame<typeof stored, { kind: "sent" | "kept"; size: number }>(true);
  const called = await send("a");
  assertSame<typeof called.size, string>(true);
  const both = task({ name: "x", input: z.tuple([z.number()]), output: z.enum(["a", "b"]) })((n) => n > 0 ? "a" : "b");
  const letter = await both.schedule(1).result();
  assertSame<typeof letter, "a" | "b">(true);
}

function _anAnnotatedTaskMayBeAsynchronous() {
  const sync: Task<[n: number], number> = task("x", (n: number) => n);
  const async: Task<[n: number], number> = task("x", async (n: number) => await n);
  const decorated: Task<[n: number], number> = task({ name: "x" })(async (n: number) => await n);
  const schemas: Task<[n: number], string> = task(
    { name: "x", input: z.tuple([z.number()]), output: z.string() },
    async (n) => await `${n}`,
  );
  const promised: Task<[n: number], Promise<number>> = task("x", async (n: number) => await n);
  const clock: Task<[], void> = task({ name: "x", cron: "0 3 * * *" }, async () => {});
  assertSame<ReturnType<typeof async>, number | Promise<number>>(true);
  assertSame<ReturnType<typeof promised>, Promise<number>>(true);
  const any: Task[] = [task("x", (value: unknown) => value)];
  return [sync, decorated, schemas, clock, any];
}

function _aTaskFitsWhatIsGenericInTasks() {
  function call<A extends unknown[], R>(task: Task<A, R>, ...args: A): Promise<R> {
    return task.schedule(...args).result();
  }
  const result = call(task("x", async (a: string, n: number) => await a + n), "a", 1);
  assertSame<typeof result, Promise<string>>(true);
  function later<A extends unknown[], R>(task: Schedulable<A, R>): A {
    return task as never;
  }
  const given = later(task({ name: "x", input: z.tuple([z.string().transform(Number)]) }, (n) => n));
  assertSame<typeof given, [string]>(true);
  new Firefly().consume({ tasks: [task("x", (n: number) => n), task({ name: "x", output: z.any() }, () => 1)] });
}

function _optionsMayComeFromElsewhere(options: TaskOptions, some: Partial<TaskOptions<[string]>>) {
  task(options, (s: string) => s).schedule("a");
  task({ ...options, name: "x" }, (s: string) => s).schedule("a");
  task({ name: "x", ...some }, (s: string) => s).schedule("a");
  const clock = { name: "x", cron: "0 3 * * *", timezone: "UTC" };
  task(clock, () => 1).schedule();
}

function _aTaskWithACronMayHaveOptionalParameters() {
  const report = task({ name: "x", cron: "0 3 * * *" }, (day = new Date()) => day);
  assertSame<Given<typeof report>, []>(true);
  task({ name: "x", cron: "0 3 * * *", input: z.tuple([z.number().default(1)]) }, (n) => n.toFixed()).schedule();
}

function _plainFunctionsKeepTheirTypes() {
  const optional = task("x", (day: string, by = "day", ...rest: boolean[]) => [day, by, rest.length].join());
  optional.schedule("a");
  optional.schedule("a", "b", true);
  interface Tree {
    value: number;
    parent?: Tree;
    children: Map<string, Tree[]>;
  }
  task("x", (tree: Tree) => tree).schedule({ value: 1, children: new Map() });
  class _Point {
    constructor(readonly x: number, readonly y: number) {}
  }
  task("x", (point: _Point) => point.x);
}

for (
  const [library, input] of Object.entries({
    zod: z.tuple([z.string(), z.number().default(7)]),
    valibot: v.tuple([v.string(), v.optional(v.number(), 7)]),
    arktype: type(["string", "number = 7"]),
  })
) {
  Deno.test(`schedule() without an argument for which a schema of ${library} has a default sends it to the database`, async () => {
    await using ff = new Firefly({ database: "postgres://postgres@127.0.0.1:1/nowhere" });
    const echo = task({ name: taskName(), input }, (...args: unknown[]) => args);

    const error = await ff.run(() => echo.schedule("a")).then(() => undefined, (error: Error) => error);

    assertEquals(error?.name, "DatabaseUnreachable");
  });
}
