import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { defineTask } from "../../src/task/definition.ts";
import { FireflyError } from "../../src/errors.ts";
import { register } from "../../src/task/registration.ts";
import { registry } from "../../src/task/scope.ts";
import { task } from "../../src/task/task.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { PACKAGE } from "../support/project.ts";

const MESSAGE = "is already a name of task";

/** Defines a task where a stack ends with these frames. */
function define(name: string, ...frames: string[]) {
  return register(defineTask(name, () => frames), {
    stack: ["Error", ...frames.map((at) => `    at ${at}`)].join("\n"),
  });
}

/** Lets the code after it run in another turn. */
async function nextTurn(): Promise<void> {
  await Promise.resolve();
}

/** What the two frames are, and whether the second definition is refused in the same turn, and in a later one. */
const places: [what: string, first: string, second: string, refused: { now: boolean; later: boolean }][] = [
  ["of two files", "file:///app/a.ts:1:1", "file:///app/b.ts:1:1", { now: true, later: true }],
  ["of two files, imported with queries", "file:///app/a.ts?t=1:1:1", "file:///app/b.ts?t=1:1:1", {
    now: true,
    later: true,
  }],
  ["of two files of Bun", "/app/a.ts:1:1", "/app/b.ts:1:1", { now: true, later: true }],
  ["at one place", "file:///app/a.ts:1:1", "file:///app/a.ts:1:1", { now: false, later: false }],
  ["in one file", "file:///app/a.ts:1:1", "file:///app/a.ts:9:1", { now: true, later: true }],
  ["in one file of a server", "https://x.example/a.ts:1:1", "https://x.example/a.ts:9:1", { now: true, later: true }],
  ["in functions of one file", "f (file:///app/a.ts:1:1)", "async g (file:///app/a.ts:9:1)", {
    now: true,
    later: true,
  }],
  ["in one file, one below an await", "file:///app/a.ts:1:1", "async file:///app/a.ts:9:1", { now: true, later: true }],
  ["of one file with two queries", "file:///app/a.ts?t=1:1:1", "file:///app/a.ts?t=2:1:1", {
    now: false,
    later: false,
  }],
  ["moved, with two queries", "file:///app/a.ts?t=1:1:1", "file:///app/a.ts?t=2:9:1", { now: false, later: false }],
  ["moved, with the first query", "file:///app/a.ts:1:1", "file:///app/a.ts?v=abc:9:1", { now: false, later: false }],
  ["moved, with a fragment", "file:///app/a.ts:1:1", "file:///app/a.ts#2:9:1", { now: false, later: false }],
  ["in one file with the same query", "file:///app/a.ts?t=1:1:1", "file:///app/a.ts?t=1:9:1", {
    now: true,
    later: true,
  }],
  ["in one file of Bun", "/app/a.ts:1:1", "/app/a.ts:9:1", { now: true, later: false }],
  ["in one file of Bun, without a column", "/app/a.ts:1", "/app/a.ts:9", { now: true, later: false }],
  ["in one file of CommonJS", "Object.<anonymous> (/app/a.js:1:1)", "Object.<anonymous> (/app/a.js:9:1)", {
    now: true,
    later: false,
  }],
  ["in one file of Windows", "Object.<anonymous> (C:\\app\\a.js:1:1)", "Object.<anonymous> (C:\\app\\a.js:9:1)", {
    now: true,
    later: false,
  }],
  ["in evaluated code", "eval (file:///app/a.ts, <anonymous>:1:1)", "eval (file:///app/a.ts, <anonymous>:9:1)", {
    now: false,
    later: false,
  }],
  [
    "of two files that Next built",
    "/app/.next/server/chunks/[root-of-the-server]__0z_8._.js:1:1456",
    "/app/.next/server/chunks/_01u._.js:1:1181",
    { now: false, later: false },
  ],
  [
    "of two files that Next built on Windows",
    "Object.<anonymous> (C:\\app\\.next\\server\\instrumentation.js:1:1)",
    "Object.<anonymous> (C:\\app\\.next\\server\\chunks\\1.js:1:1)",
    { now: false, later: false },
  ],
  [
    "of two layers of Next's webpack",
    "eval (webpack-internal:///(instrument)/./tasks.ts:9:1)",
    "eval (webpack-internal:///(rsc)/./tasks.ts:9:1)",
    { now: false, later: false },
  ],
  ["in one file that Next built", "/app/.next/server/chunks/1.js:1:1", "/app/.next/server/chunks/1.js:1:99", {
    now: true,
    later: false,
  }],
  ["of a file that Next built and another one", "/app/.next/server/chunks/1.js:1:1", "/app/a.js:1:1", {
    now: true,
    later: true,
  }],
  ["at unknown places", "", "", { now: true, later: false }],
];

for (const [what, first, second, refused] of places) {
  for (const turn of ["now", "later"] as const) {
    Deno.test(`register() ${refused[turn] ? "refuses" : "replaces"} tasks of one name ${what}, ${turn}`, async () => {
      const name = taskName();
      define(name, first);
      if (turn === "later") await nextTurn();

      if (refused[turn]) assertThrows(() => define(name, second), FireflyError, MESSAGE);
      else assertEquals(define(name, second).handler(), [second]);
      await nextTurn();
    });
  }
}

Deno.test("register() names both places, without the functions they are in", () => {
  const name = taskName();
  define(name, "defineAll (file:///app/a.ts:1:2)", "file:///app/main.ts:3:4");

  const { message } = assertThrows(() => define(name, "async file:///app/b.ts:5:6"), FireflyError);

  assertStringIncludes(message, `at file:///app/b.ts:5:6 as "${name}" ${MESSAGE} "${name}" at file:///app/a.ts:1:2`);
});

Deno.test("register() names a place below a folder in parentheses, as those of Next's route groups", () => {
  const name = taskName();
  define(name, "Object.<anonymous> (/app/(shop)/a.ts:1:2)");

  const { message } = assertThrows(() => define(name, "Object.<anonymous> (/app/(admin)/b.ts:5:6)"), FireflyError);

  assertStringIncludes(message, `at /app/(admin)/b.ts:5:6 as "${name}" ${MESSAGE} "${name}" at /app/(shop)/a.ts:1:2`);
});

Deno.test("register() takes the stack from the function that calls task(), as Bun needs", () => {
  const { captureStackTrace } = Error;
  const callers: unknown[] = [];
  Error.captureStackTrace = (trace: object, caller?: unknown) => {
    callers.push(caller);
    // Bun leaves an empty stack unless its caller is the function that was given.
    const [, , frame] = new Error().stack!.split("\n");
    const isCaller = frame!.includes(` ${(caller as { name: string }).name} (`);
    Object.assign(trace, { stack: isCaller ? "Error\n    at /app/a.ts:1:1" : "Error" });
  };
  const [whole, decorated] = [taskName(), taskName()];
  try {
    task(whole, () => 1);
    task(decorated)(() => 1);
  } finally {
    Error.captureStackTrace = captureStackTrace;
  }

  assertEquals(callers.length, 2);
  assertEquals([whole, decorated].map((name) => registry.get(name)!.site), ["/app/a.ts:1:1", "/app/a.ts:1:1"]);
});

Deno.test("a module that was edited and is imported again replaces its tasks, also for a running consumer", async () => {
  await using test = await testInstance();
  const [name, alias] = [taskName(), taskName()];
  const directory = await Deno.makeTempDir();
  const write = (before: string, options: string, result: string) =>
    Deno.writeTextFile(
      `${directory}/tasks.ts`,
      `${before}import { task } from "${PACKAGE}";
      export const work = task({ name: "${name}"${options} }, () => ${result});`,
    );
  const load = async (query: string) => (await import(`file://${directory}/tasks.ts${query}`)).work;
  await write("", ", maxRetries: 3", '"first"');
  const first = await load("");
  await using consumer = test.ff.consume();
  await consumer.ready;
  const result = (work: typeof first) => test.ff.run(() => work.schedule().result({ timeout: "20s" }));
  assertEquals(await result(first), "first");

  await write("// an edit moves the task\n\n", `, aliases: ["${alias}"]`, '"second"');
  const second = await load("?t=1");

  assertEquals([await result(second), await result(first), second(), first()], Array(4).fill("second"));
  assertEquals(registry.get(name)!.definition.maxRetries, undefined);
  await write("", "", '"third"');
  const third = await load("?t=2");
  assertEquals([await result(third), await result(first), third(), first()], Array(4).fill("third"));
  await Deno.remove(directory, { recursive: true });
});
