import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { type } from "arktype";
import * as v from "valibot";
import { z } from "zod";
import { current, Firefly, type StandardSchemaV1, task, ValidationFailed } from "../../mod.ts";
import { testDatabase } from "../support/database.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { insertTask, recordOf } from "../support/records.ts";
import { until } from "../support/waiting.ts";
import { testProject } from "../support/project.ts";

interface Mail {
  email: string;
  copies: number;
}

/** The same list of arguments in the words of each library. */
const libraries: Record<string, StandardSchemaV1<unknown, [mail: Mail]>> = {
  zod: z.tuple([z.object({ email: z.email(), copies: z.number().int() })]),
  valibot: v.tuple([v.object({ email: v.pipe(v.string(), v.email()), copies: v.pipe(v.number(), v.integer()) })]),
  arktype: type([{ email: "string.email", copies: "number.integer" }]),
};

/** A schema by hand: `check` resolves to a value, or throws, or gives issues. */
function schemaOf<T>(check: (value: unknown) => unknown): StandardSchemaV1<unknown, T> {
  return { "~standard": { version: 1, vendor: "test", validate: check as never } };
}

/** An instance whose database is nowhere: whatever asks it fails. */
function unreachable(): Firefly {
  return new Firefly({ database: "postgres://postgres@127.0.0.1:1/nowhere" });
}

for (const [library, input] of Object.entries(libraries)) {
  Deno.test(`schedule() refuses arguments that do not fit a schema of ${library}, before any I/O, and says where`, async () => {
    await using ff = unreachable();
    const send = task({ name: taskName(), input }, (_mail: Mail) => "sent");

    const error = await assertRejects(
      () => ff.run(() => send.schedule({ email: "nobody", copies: 1.5 })),
      ValidationFailed,
      `Cannot schedule task "${send.funcName}" as its arguments are not valid: [0].`,
    );

    assertEquals(error.issues.length, 2);
    for (const place of ["[0].email: ", "[0].copies: "]) assertStringIncludes(error.message, place);
  });

  Deno.test(`a consumer calls the handler with what fits a schema of ${library}, and fails what SQL has put there`, async () => {
    await using test = await testInstance();
    const called: Mail[] = [];
    const send = task({ name: taskName(), input, maxRetries: 5 }, (mail: Mail) => void called.push(mail));
    const mail = { email: "a@b.example", copies: 2 };
    await test.ff.run(() => send.schedule(mail));
    const params = btoa(JSON.stringify([{ email: "nobody", copies: 2 }]));
    const wrong = await insertTask(test.db, { func_name: send.funcName, params, max_retries: 5 });

    assertEquals(await test.drain({ tasks: [send] }), { completed: 1, failed: 1 });

    assertEquals(called, [mail]);
    const { status, errors, retry_attempts } = await recordOf(test.db, wrong);
    assertEquals([status, retry_attempts], ["failed", 0]);
    const [{ name, message }] = errors as [{ name: string; message: string }];
    assertEquals(name, "ValidationFailed");
    assertStringIncludes(message, `Cannot run task "${send.funcName}" as its arguments are not valid: [0].email: `);
  });
}

Deno.test("scheduleMany() refuses all calls and names those that do not fit", async () => {
  await using ff = unreachable();
  const send = task({ name: taskName(), input: z.tuple([z.string()]) }, (_: string) => {});

  await assertRejects(
    () => ff.run(() => send.scheduleMany([["a"], ["b"], [3 as never]])),
    ValidationFailed,
    `as the arguments of calls[2] are not valid: [0]: `,
  );
});

Deno.test("a schema that transforms is applied once: what is stored is what was given", async () => {
  await using test = await testInstance();
  const input = z.tuple([z.string().transform((text) => `${text}!`), z.number().default(7)]);
  const shout = task({ name: taskName(), input }, (text: string, times: number) => `${text} ${times}`);
  const row = await test.ff.run(() => shout.schedule("hey", undefined));

  assertEquals(row.params, ["hey", undefined]);
  await test.drain({ tasks: [shout] });

  const { params, returned } = await row.refresh();
  assertEquals(params, ["hey", undefined]);
  assertEquals(returned, "hey! 7");
});

Deno.test("schemas may be asynchronous, for arguments and results", async () => {
  await using test = await testInstance();
  const input = z.tuple([z.string()]).refine(async ([text]) => await Promise.resolve(text !== "no"));
  const output = z.string().transform(async (text) => await Promise.resolve(text.toUpperCase()));
  const echo = task({ name: taskName(), input, output }, (text: string) => text);

  await assertRejects(() => test.ff.run(() => echo.schedule("no")), ValidationFailed);
  const row = await test.ff.run(() => echo.schedule("yes"));
  await test.drain({ tasks: [echo] });

  assertEquals((await row.refresh()).returned, "YES");
});

Deno.test("a result that does not fit fails without retries and rolls the effects back; one that fits is stored as checked", async () => {
  await using test = await testInstance();
  await test.db.sql`CREATE TABLE effect (n int)`;
  const output = z.object({ total: z.number() });
  const count = task({ name: taskName(), output, maxRetries: 5 }, async (total: unknown) => {
    await current().sql`INSERT INTO effect VALUES (1)`;
    return { total: total as number, secret: "dropped by the schema" };
  });
  const [wrong, right] = await test.ff.run(() => count.scheduleMany([["many"], [3]]));

  assertEquals(await test.drain({ tasks: [count] }), { completed: 1, failed: 1 });

  const failed = await wrong!.refresh();
  assertEquals([failed.status, failed.retryAttempts], ["failed", 0]);
  assertStringIncludes(
    failed.error!.message,
    `Cannot complete task "${count.funcName}" as its result is not valid: total: `,
  );
  assertEquals((await right!.refresh()).returned, { total: 3 } as never);
  assertEquals((await test.db.sql`SELECT FROM effect`).length, 1);
});

Deno.test("a validator that throws is an ordinary failure: of the call, and of an attempt, which is tried again", async () => {
  await using test = await testInstance();
  const mistake = new RangeError("the validator's own mistake");
  let calls = 0;
  const input = schemaOf<[]>((value) => {
    if (++calls < 3) throw mistake;
    return { value };
  });
  const work = task({ name: taskName(), input, maxRetries: 1, retryDelay: 0 }, () => "done");

  assertEquals(await assertRejects(() => test.ff.run(() => work.schedule())), mistake);
  const id = await insertTask(test.db, { func_name: work.funcName });
  await test.drain({ tasks: [work] });

  const record = await test.ff.tasks.get(id);
  assertEquals([record.status, record.returned, record.retryAttempts], ["completed", "done", 1]);
  assertEquals(record.errors[0]!.message, mistake.message);
});

Deno.test("a schema that does not return a list of arguments is rejected as an error of the definition", async () => {
  await using ff = unreachable();
  const work = task({ name: taskName(), input: schemaOf<[]>(() => ({ value: {} })) }, () => {});

  await assertRejects(() => ff.run(() => work.schedule()), TypeError, `the schema "input" does not return a list`);
});

Deno.test("a handler that schedules what is not valid fails, and is tried again", async () => {
  await using test = await testInstance();
  const next = task({ name: taskName(), input: z.tuple([z.string()]) }, (_: string) => {});
  let calls = 0;
  const first = task({ name: taskName(), maxRetries: 1, retryDelay: 0 }, async () => {
    await next.schedule(++calls === 1 ? 1 as never : "one");
  });
  const row = await test.ff.run(() => first.schedule());
  await test.drain({ tasks: [first, next] });

  const { status, errors } = await row.refresh();
  assertEquals([status, errors.map(({ name }) => name)], ["completed", ["ValidationFailed"]]);
});

Deno.test("a handler is not called when its time is over before its arguments are checked", async () => {
  await using test = await testInstance();
  const checked = Promise.withResolvers<void>();
  let called = false;
  const input = schemaOf<[]>(async (value) => {
    await checked.promise;
    return { value };
  });
  const work = task({ name: taskName(), input, timeout: "50ms" }, () => void (called = true));
  const id = await insertTask(test.db, { func_name: work.funcName });
  await test.drain({ tasks: [work] });
  assertEquals((await recordOf(test.db, id)).status, "failed");

  checked.resolve();
  await new Promise((resolve) => setTimeout(resolve, 0));

  assert(!called);
});

Deno.test("new ValidationFailed() says where each issue is, and how many more there are", () => {
  const cases: [path: readonly (PropertyKey | { key: PropertyKey })[] | undefined, place: string][] = [
    [undefined, ""],
    [[], ""],
    [[0], "[0]: "],
    [["name"], "name: "],
    [[0, "lines", 12, "price"], "[0].lines[12].price: "],
    [[{ key: 1 }, { key: "straße" }], "[1].straße: "],
    [[0, "two words", ""], '[0]["two words"][""]: '],
    [[0, Symbol("s")], "[0][Symbol(s)]: "],
  ];
  for (const [path, place] of cases) {
    const issue = path === undefined ? { message: "is wrong" } : { message: "is wrong", path };
    assertEquals(new ValidationFailed("Cannot", [issue]).message, `Cannot: ${place}is wrong`);
  }

  const { message, issues } = new ValidationFailed("Cannot", Array.from({ length: 12 }, () => ({ message: "no" })));
  assertEquals(message, `Cannot: ${Array(10).fill("no").join("; ")}; and 2 more`);
  assertEquals(issues.length, 12);
});

Deno.test("firefly schedule refuses arguments that do not fit, as a wrong command line, and inserts nothing", async () => {
  await using db = await testDatabase();
  const zod = import.meta.resolve("zod");
  const mod = new URL("../../mod.ts", import.meta.url).href;
  await using project = await testProject({
    database: db.url,
    files: {
      "tasks.ts": `
        import { task } from ${JSON.stringify(mod)};
        import { z } from ${JSON.stringify(zod)};
        export const send = task({ name: "mail.send", input: z.tuple([z.email()]) }, (_to: string) => {});
      `,
    },
  });

  const { code, stderr } = await project.run("schedule", "mail.send", '["nobody"]');

  assertEquals(code, 2, stderr);
  assertStringIncludes(stderr, 'Cannot schedule task "mail.send" as its arguments are not valid: [0]: Invalid email');
  assertEquals((await db.sql`SELECT FROM firefly.task`).length, 0);
  assertEquals((await project.run("schedule", "mail.send", '["a@b.example"]')).code, 0);
  await until(async () => (await db.sql`SELECT FROM firefly.task`).length === 1);
});
