/**
 * What the compiler says about mistakes in calls of `task()`: one error, at the place of the mistake, with a sentence that
 * tells what to do. All programs are checked by one process.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";

const ROOT = new URL("../../", import.meta.url);
const HEADER = `
import { type } from "arktype";
import * as v from "valibot";
import { z } from "zod";
import { settled, type Task, task } from "${new URL("mod.ts", ROOT).href}";
const R = z.object({ image: z.number(), name: z.string() });
`.trimStart();
/** How many lines an error may have, with the line of the program and places of declarations. */
const LONGEST = 16;

/** The mistake stands between « and »; `says` is part of the message, and `code` the number of the error. */
interface Mistake {
  program: string;
  says: string;
  code?: number;
}

const PLAIN = "Task arguments and results must be plain data: ";

const mistakes: Record<string, Mistake> = {
  // What schemas say is what the handler gets, in both forms.
  "a member of an argument is used as another type": {
    program: `task({ name: "x", input: z.tuple([R]) }, ({ image }) => { const «wrong»: Date = image; return wrong; });`,
    says: "Type 'number' is not assignable to type 'Date'",
  },
  "a member of an argument is used as another type, in a decorator": {
    program:
      `task({ name: "x", input: z.tuple([R]) })(({ image }) => { const «wrong»: string = image; return wrong; });`,
    says: "Type 'number' is not assignable to type 'string'",
  },
  "a schema lets another type through": {
    program: `task({ name: "x", input: z.tuple([z.string()]) }, «(n: number) => n»);`,
    says: "Type 'string' is not assignable to type 'number'",
  },
  "a schema lets another type through, in a decorator": {
    program: `task({ name: "x", input: z.tuple([z.string()]) })(«(n: number) => n»);`,
    says: "Type 'string' is not assignable to type 'number'",
  },
  "a schema of valibot lets another type through": {
    program: `task({ name: "x", input: v.tuple([v.string()]) }, «(n: number) => n»);`,
    says: "Type 'string' is not assignable to type 'number'",
  },
  "a schema of arktype lets another type through": {
    program: `task({ name: "x", input: type(["string"]) }, «(n: number) => n»);`,
    says: "Type 'string' is not assignable to type 'number'",
  },
  "a schema leaves an argument out": {
    program: `task({ name: "x", input: z.tuple([z.string()]) }, «(s: string, n: number) => s + n»);`,
    says: "Expected 2 or more, but got 1",
  },
  "a schema is none of a list": {
    program: `task({ name: "x", «input»: z.string() }, (s) => s);`,
    says: "The schema of input must be one of the list of arguments, such as z.tuple([z.string()])",
  },
  "a schema is none": {
    program: `task({ name: "x", «input»: (args: unknown[]) => args }, (s: string) => s);`,
    says: "is not assignable to type 'StandardSchemaV1<any, any>'",
  },
  "a handler returns what output refuses": {
    program: `task({ name: "x", output: z.number() }, () => «"x"»);`,
    says: "Type 'string' is not assignable to type 'number | Promise<number>'",
  },
  "a handler resolves to what output refuses": {
    program: `task({ name: "x", output: z.object({ n: z.number() }) }, «async (s: string) => ({ n: s })»);`,
    says: "Type 'string' is not assignable to type 'number'",
  },
  "an argument has another type": {
    program: `task({ name: "x", input: z.tuple([z.string()]) }, (s) => s).schedule(«1»);`,
    says: "Argument of type 'number' is not assignable to parameter of type 'Argument<string>'",
  },
  "an argument without a default is missing": {
    program: `task({ name: "x", input: z.tuple([z.string(), z.number().default(1)]) }, (s) => s).«schedule»();`,
    says: "Expected 1-2 arguments, but got 0",
  },
  "a key is computed from what the schema does not have": {
    program: `task({ name: "x", input: z.tuple([R]), unique: { key: (r) => r.«imag» } }, (r) => r);`,
    says: "Property 'imag' does not exist",
  },
  "a task whose result is another type stands for an argument": {
    program: `const give = task("g", () => 1); task("x", (s: string) => s).schedule(«give.schedule()»);`,
    says: "is not assignable to parameter of type 'Argument<string>'",
  },
  "a record whose result is another type stands for an argument": {
    program:
      `const give = task("g", () => 1); const record = await give.schedule(); task("x", (s: string) => s).schedule(«record»);`,
    says: "is not assignable to parameter of type 'Argument<string>'",
  },
  "an element of a list is a task whose result is another type": {
    program: `const give = task("g", () => 1); task("x", (s: string[]) => s).schedule(["a", «give.schedule()»]);`,
    says: "Type 'Scheduled<[], number>' is not assignable to type 'string'",
  },
  "an outcome stands for a result": {
    program: `const give = task("g", () => 1); task("x", (n: number) => n).schedule(«settled(give.schedule())»);`,
    says: "Argument of type 'ResultOf<Settled<number>>' is not assignable to parameter of type 'Argument<number>'",
  },
  "a promise that is no task stands for an argument": {
    program: `task("x", (n: number) => n).schedule(«Promise.resolve(1)»);`,
    says: "Argument of type 'Promise<number>' is not assignable to parameter of type 'Argument<number>'",
  },
  "after is given something else": {
    program: `task("x", (n: number) => n).with({ «after»: ["7"] }).schedule(1);`,
    says: "Type 'string' is not assignable to type 'number | ResultOf<any>'",
  },
  // Never any in silence.
  "a parameter has no type": {
    program: `task("x", («x») => x);`,
    says: "Parameter 'x' implicitly has an 'any' type",
    code: 7006,
  },
  "a parameter has no type, with options": {
    program: `task({ name: "x", maxRetries: 3 }, («x») => x);`,
    says: "Parameter 'x' implicitly has an 'any' type",
    code: 7006,
  },
  "a parameter has no type, in a decorator": {
    program: `task({ name: "x" })(async («x») => x);`,
    says: "Parameter 'x' implicitly has an 'any' type",
    code: 7006,
  },
  "a destructured parameter has no type": {
    program: `task("x", ({ «to» }) => to);`,
    says: "Binding element 'to' implicitly has an 'any' type",
    code: 7031,
  },
  "a destructured parameter has no type, in a decorator": {
    program: `task({ name: "x" })(({ «to» }) => to);`,
    says: "Binding element 'to' implicitly has an 'any' type",
    code: 7031,
  },
  "a rest parameter has no type": {
    program: `task("x", («...args») => args);`,
    says: "Rest parameter 'args' implicitly has an 'any[]' type",
    code: 7019,
  },
  "a parameter has no type, and the result a schema": {
    program: `task({ name: "x", output: z.string() }, «(x) => "a"»);`,
    says: "Declare the types of the handler's parameters, or set input",
  },
  "a parameter of a key has no type, in a decorator": {
    program: `task({ name: "x", unique: { key: ({ «id» }) => id } })((c: { id: string }) => c.id);`,
    says: "Binding element 'id' implicitly has an 'any' type",
    code: 7031,
  },
  // What cannot be stored, and where it is.
  "an argument is a function": { program: `task("x", «(f: () => void) => f()»);`, says: `${PLAIN}[0] is a function` },
  "an argument is a function, in a decorator": {
    program: `task("x")(«(f: () => void) => f()»);`,
    says: `${PLAIN}[0] is a function`,
  },
  "a member of an argument is a function": {
    program: `task("x", «(a: string, o: { f: () => void }) => a»);`,
    says: `${PLAIN}[1].f is a function`,
  },
  "a function is deep inside": {
    program: `task("x", «(o: { nested: { onDone?: () => void }[] }) => o.nested.length»);`,
    says: `${PLAIN}[0].nested[].onDone is a function`,
  },
  "a type that contains itself holds a function": {
    program: `interface Node { next?: Node; call(): void } task("x", «(node: Node) => 1»);`,
    says: `${PLAIN}[0].call is a function`,
  },
  "an instance has methods": { program: `task("x", «(request: Request) => 1»);`, says: `${PLAIN}[0].` },
  "an argument is a symbol": { program: `task("x", «(s: symbol) => 1»);`, says: `${PLAIN}[0] is a symbol` },
  "an argument is a promise": { program: `task("x", «(p: Promise<1>) => 1»);`, says: `${PLAIN}[0] is a promise` },
  "one of the types of an argument is a function": {
    program: `task("x", «(s: string | (() => void)) => 1»);`,
    says: `${PLAIN}[0] is a function`,
  },
  "values of a Map are functions": {
    program: `task("x", «(m: Map<string, () => void>) => 1»);`,
    says: `${PLAIN}a value of [0] is a function`,
  },
  "a result holds a function": {
    program: `task("x", «() => ({ close() {} })»);`,
    says: `${PLAIN}result.close is a function`,
  },
  "an awaited result is a symbol": {
    program: `task({ name: "x" }, «async () => Symbol()»);`,
    says: `${PLAIN}result is a symbol`,
  },
  "a schema accepts a function": {
    program: `task({ name: "x", input: z.tuple([z.custom<() => void>()]) }, «(f) => f()»);`,
    says: `${PLAIN}[0] is a function`,
  },
  // Crons: one error, where the mistake is.
  "a handler with a cron takes an argument": {
    program: `task({ name: "x", cron: "0 3 * * *" }, «(n: number) => n»).schedule();`,
    says: "A task with a cron takes no arguments",
  },
  "a handler with a cron takes an argument, in a decorator": {
    program: `task({ name: "x", cron: "0 3 * * *" })(«(n: number) => n»).schedule();`,
    says: "A task with a cron takes no arguments",
  },
  "a task with a cron has a schema of arguments": {
    program: `task({ name: "x", cron: "0 3 * * *", input: z.tuple([z.number()]) }, «(n) => n»).schedule();`,
    says: "A task with a cron takes no arguments",
  },
  "a time zone comes without a cron": {
    program: `task({ name: "x", «timezone»: "Europe/Warsaw" }, () => 1);`,
    says: "timezone requires cron",
  },
  "missed comes without a cron": {
    program: `task({ name: "x", «missed»: "one" }, () => 1);`,
    says: "missed requires cron",
  },
  "missed has another value": {
    program: `task({ name: "x", cron: "0 3 * * *", «missed»: "some" }, () => 1);`,
    says: `Type '"some"' is not assignable to type '"skip" | "one" | "all"`,
  },
  "a cron is no text": {
    program: `task({ name: "x", «cron»: 5 }, () => 1);`,
    says: "Type 'number' is not assignable to type 'string'",
  },
  // Options.
  "an option is misspelled": {
    program: `task({ name: "x", «maxRetrys»: 3 }, (n: number) => n).schedule(1);`,
    says: "Did you mean to write 'maxRetries'?",
  },
  "an option is misspelled, in a decorator": {
    program: `task({ name: "x", «maxRetrys»: 3 })((n: number) => n).schedule(1);`,
    says: "Did you mean to write 'maxRetries'?",
  },
  "an option has another type": {
    program: `task({ name: "x", «priority»: "high" }, (n: number) => n).schedule(1);`,
    says: "Type 'string' is not assignable to type 'number'",
  },
  "the name is missing": {
    program: `task(«{ queue: "x" }», (n: number) => n).schedule(1);`,
    says: "Property 'name' is missing",
  },
  "a duration has another unit": {
    program: `task({ name: "x", «timeout»: "30 seconds" }, (n: number) => n).schedule(1);`,
    says: "is not assignable to type 'Duration",
  },
  "a key is computed from other arguments": {
    program: `task({ name: "x", unique: { key: «(id: number) => String(id)» } }, (customer: string) => customer);`,
    says: "Type 'string' is not assignable to type 'number'",
  },
  "a limit is not complete": {
    program: `task({ name: "x", «rateLimit»: { limit: 1 } }, (n: number) => n).schedule(1);`,
    says: "Property 'per' is missing",
  },
  "an annotation has other arguments": {
    program: `const «x»: Task<[n: number], number> = task("x", async (n: string) => n.length);`,
    says: "Type 'number' is not assignable to type 'Argument<string>'",
  },
  "an annotation has another result": {
    program: `const «x»: Task<[n: number], string> = task("x", async (n: number) => n);`,
    says: "Type 'number' is not assignable to type 'string'",
  },
};

/** An error of the compiler: its number, its message of several lines, and its place as `line:column`. */
interface CompilerError {
  code: number;
  message: string;
  place: string;
}

/** Checks programs, and returns the errors of each. */
async function check(programs: string[]): Promise<CompilerError[][]> {
  const directory = await Deno.realPath(await Deno.makeTempDir({ prefix: "firefly_types_" }));
  try {
    const files = programs.map((_, i) => `${directory}/${i}.ts`);
    await Promise.all(files.map((file, i) => Deno.writeTextFile(file, HEADER + programs[i])));
    const { stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["check", "--quiet", "--config", new URL("deno.json", ROOT).pathname, ...files],
      env: { NO_COLOR: "1" },
      stdout: "null",
      stderr: "piped",
    }).output();
    const [text] = new TextDecoder().decode(stderr).split(/^Found \d+ errors?\.$/m);
    const errors = text!.split(/^(?=TS\d+ \[ERROR\]: )/m);
    return files.map((file) => errors.filter((error) => placeOf(error).startsWith(`file://${file}:`)).map(readError));
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** The place of an error is the first one named; others are those of declarations. */
function placeOf(error: string): string {
  return /^ {4}at (file:.*)$/m.exec(error)?.[1] ?? "";
}

function readError(error: string): CompilerError {
  return {
    code: Number(/^TS(\d+)/.exec(error)![1]),
    message: error,
    place: placeOf(error).split(":").slice(-2).join(":"),
  };
}

const errors = await check(Object.values(mistakes).map(({ program }) => program.replaceAll(/[«»]/g, "")));

for (const [i, [what, { program, says, code }]] of Object.entries(mistakes).entries()) {
  Deno.test(`the compiler says once, and where, that ${what}`, () => {
    const [error, ...others] = errors[i]!;

    assertEquals(others, []);
    assertStringIncludes(error!.message, says);
    assertEquals(error!.place, `${HEADER.split("\n").length}:${program.indexOf("«") + 1}`);
    if (code !== undefined) assertEquals(error!.code, code);
    assert(error!.message.split("\n").length <= LONGEST, error!.message);
  });
}
