import { assert, assertEquals, assertMatch, assertNotMatch, assertStringIncludes } from "@std/assert";
import { testDatabase } from "../support/database.ts";
import { jsonLines, PACKAGE, testProject } from "../support/project.ts";

/** A module that defines tasks. */
function defining(...names: string[]): string {
  return `import { task } from ${JSON.stringify(PACKAGE)};\n${
    names.map((name) => `task("${name}", () => {});`).join("\n")
  }`;
}

/** The names of the tasks that are found in a project of `files`. */
async function found(files: Record<string, string>, ...args: string[]): Promise<string[]> {
  await using project = await testProject({ files });
  const { code, stdout, stderr } = await project.run("tasks", ...args);
  assertEquals([code, stderr], [0, ""]);
  return jsonLines(stdout).map(({ func_name }) => func_name);
}

Deno.test("importTasks() finds tasks in the default places, and nowhere else", async () => {
  const places = ["tasks.ts", "tasks/a.js", "tasks/deep/b.mjs", "src/tasks.ts", "src/tasks/c.ts"];
  const others = ["tasks/d_test.ts", "tasks/e.test.ts", "tasks/node_modules/x/f.js", "src/g.ts", "lib/tasks.ts"];
  const files = Object.fromEntries([...places, ...others].map((path) => [path, defining(path.replaceAll("/", "."))]));

  const names = await found({ ...files, "tasks/types.d.ts": "not even code" });

  assertEquals(names, places.map((path) => path.replaceAll("/", ".")).sort());
});

Deno.test("importTasks() takes the configuration's globs, relative to its directory", async () => {
  const files = {
    "etc/firefly.config.ts": `export default { tasks: ["jobs/**/*.ts", "../more.ts"] };`,
    "etc/jobs/mail/send.ts": defining("send"),
    "more.ts": defining("more"),
    "tasks.ts": defining("unused"),
  };

  assertEquals(await found(files, "--config", "etc/firefly.config.ts"), ["more", "send"]);
});

for (const name of ["firefly.config.ts", "firefly.config.js", "firefly.config.mjs"]) {
  Deno.test(`loadConfig() finds ${name}`, async () => {
    const files = { [name]: `export default { tasks: "jobs.ts" };`, "jobs.ts": defining("job") };

    assertEquals(await found(files), ["job"]);
  });
}

Deno.test("importTasks() adds what --import names, as a path or a URL", async () => {
  const files = { "tasks.ts": defining("a"), "lib/b.ts": defining("b"), "lib/c.ts": defining("c") };
  await using other = await testProject({ files: { "d.ts": defining("d") } });

  const names = await found(
    files,
    "--import",
    "lib/b.ts",
    "--import",
    "./lib/c.ts",
    "--import",
    `file://${other.directory}/d.ts`,
  );

  assertEquals(names, ["a", "b", "c", "d"]);
});

Deno.test("importTasks() lists the places it searched when it finds no modules", async () => {
  await using project = await testProject({ files: {} });

  for (const args of [["tasks"], ["schedule", "nap"]]) {
    const { code, stdout, stderr } = await project.run(...args);

    assertEquals([code, stdout], [1, ""]);
    for (const place of ["firefly.config.ts", "tasks.{ts,js,mjs}", "src/tasks/**/*", "--import", project.directory]) {
      assertStringIncludes(stderr, place);
    }
  }
});

Deno.test("importTasks() refuses globs of the configuration that match nothing", async () => {
  await using project = await testProject({ files: { "firefly.config.ts": `export default { tasks: "jobs/*.ts" };` } });

  const { code, stderr } = await project.run("tasks");

  assertEquals(code, 1);
  assertStringIncludes(stderr, "none of jobs/*.ts");
  assertStringIncludes(stderr, "as firefly.config.ts says");
});

Deno.test("importTasks() refuses modules that define no tasks", async () => {
  await using project = await testProject({ files: { "tasks.ts": "export const nothing = 1;" } });

  const { code, stderr } = await project.run("tasks");

  assertEquals([code, stderr], [1, "error: Cannot find any tasks as no module calls task(): tasks.ts\n"]);
});

const broken: Record<string, [files: Record<string, string>, message: string | RegExp]> = {
  "throws": [
    { "tasks.ts": `function fail() {\n  throw new RangeError("too\\nbad");\n}\nfail();` },
    "RangeError: too at tasks.ts:2:9",
  ],
  "throws what is no error": [{ "tasks.ts": `throw "bad";` }, "it throws bad"],
  "rejects at its top level": [
    { "tasks.ts": `\nawait Promise.reject(new Error("bad"));` },
    "Error: bad at tasks.ts:2:22",
  ],
  "imports what throws": [
    { "tasks.ts": `import "./lib/a.ts";`, "lib/a.ts": `\n  null!.x;` },
    "TypeError: Cannot read properties of null (reading 'x') at lib/a.ts:2:9",
  ],
  "cannot be parsed": [{ "tasks.ts": "export const = 1;" }, /^SyntaxError: .* at tasks\.ts:1:14$/],
  "imports what cannot be parsed": [
    { "tasks.ts": `import "./lib/a.ts";`, "lib/a.ts": "\nexport const x = ;" },
    "SyntaxError: Expression expected at lib/a.ts:2:18",
  ],
  "imports what is not there": [
    { "tasks.ts": `\nimport "./gone.ts";` },
    'TypeError: Module not found "gone.ts" at tasks.ts:2:8',
  ],
  "imports an unknown package": [
    { "tasks.ts": `import x from "no-such-package";` },
    /^TypeError: Import "no-such-package" not a dependency.* at tasks\.ts:1:15$/,
  ],
  "imports a name that is not exported": [
    { "tasks.ts": `import { b } from "./a.ts";\nb();`, "a.ts": "export const a = 1;" },
    /^SyntaxError: .* does not provide an export named 'b' at tasks\.ts:1:10$/,
  ],
  "imports JSON without its type": [
    { "tasks.ts": `import x from "./a.json";\nx();`, "a.json": "{}" },
    /^TypeError: .* attribute in the import statement at tasks\.ts:1:15$/,
  ],
  "imports JSON that cannot be parsed": [
    { "tasks.ts": `import x from "./a.json" with { type: "json" };\nx();`, "a.json": "{" },
    /^SyntaxError: (?!.*cli\.ts)/,
  ],
  "calls a function of a library that throws": [
    {
      "tasks.ts": `import { a } from "./node_modules/a/a.js";\na();`,
      "node_modules/a/a.js": `export const a = () => { throw new Error("bad"); };`,
    },
    "Error: bad at tasks.ts:2:1",
  ],
  "defines a task that is wrong": [
    { "tasks.ts": `import { task } from ${JSON.stringify(PACKAGE)};\ntask({ name: "a", timeout: -1 }, () => 1);` },
    /^RangeError: Cannot read "timeout" .* at tasks\.ts:2:1$/,
  ],
  "defines a task twice": [
    { "tasks.ts": defining("a", "a") },
    /^FireflyError: Cannot define task "a" at .*tasks\.ts:2:1$/,
  ],
};

for (const [what, [files, message]] of Object.entries(broken)) {
  Deno.test(`importTasks() names a module that ${what}, and the place, in one line`, async () => {
    await using project = await testProject({ files });

    const { code, stdout, stderr } = await project.run("tasks");

    assertEquals([code, stdout], [1, ""]);
    const [, reason] = /^error: Cannot import tasks\.ts: (.*)\n$/.exec(stderr)!;
    if (typeof message === "string") assertEquals(reason, message);
    else assertMatch(reason!, message);
  });
}

Deno.test("importTasks() shows the stack of a module that throws with --verbose only", async () => {
  await using project = await testProject({ files: { "tasks.ts": `throw new Error("bad");` } });

  assertNotMatch((await project.run("tasks")).stderr, /^ +at /m);
  assertMatch((await project.run("tasks", "--verbose")).stderr, /^ +at .*tasks\.ts:\d+/m);
});

const misconfigured: Record<string, [files: Record<string, string>, args: string[], message: string]> = {
  "exports none": [{ "firefly.config.ts": "export const config = {};" }, [], "default export is not a configuration"],
  "has an unknown option": [
    { "firefly.config.ts": `export default { shema: "x" };` },
    [],
    'Cannot use firefly.config.ts as there is no option "shema", did you mean "schema"?',
  ],
  "throws": [{ "firefly.config.ts": `throw new Error("bad");` }, [], "Cannot import firefly.config.ts: Error: bad"],
  "is not there": [{}, ["--config", "gone.ts"], "Cannot use the configuration gone.ts as there is no such file"],
};

for (const [what, [files, args, message]] of Object.entries(misconfigured)) {
  Deno.test(`loadConfig() refuses a configuration that ${what}`, async () => {
    await using project = await testProject({ files });

    for (const command of ["list", "tasks"]) {
      const { code, stderr } = await project.run(command, ...args);

      assertEquals(code, 1);
      assertStringIncludes(stderr, message);
    }
  });
}

Deno.test("loadConfig() accepts every option of an instance, including onFailed", async () => {
  await using project = await testProject({
    files: {
      "firefly.config.ts": "export default { onFailed() {}, redact: [], queues: {}, onProgress() {} };",
      "tasks.ts": "",
    },
  });

  const { stderr } = await project.run("tasks");

  assert(!stderr.includes("firefly.config.ts"), stderr);
});

Deno.test("readSettings() takes database and schema from the configuration, and lets flags override them", async () => {
  await using db = await testDatabase();
  const config = { database: db.url, schema: "nowhere" };
  const files = { "firefly.config.ts": `export default ${JSON.stringify(config)};` };
  await using project = await testProject({ files });

  await using without = await testProject({ files, env: { FIREFLY_DATABASE_URL: "" } });

  const configured = await without.run("list");
  const flagged = await without.run("list", "--schema", "firefly");
  const overridden = await project.run("list");

  assertEquals([configured.code, flagged.code, overridden.code], [3, 0, 3]);
  assertStringIncludes(configured.stderr, "nowhere");
  assertStringIncludes(overridden.stderr, "FIREFLY_DATABASE_URL overrides the database of the configuration");
});

Deno.test("readSettings() takes the database that task modules configure", async () => {
  await using db = await testDatabase();
  const tasks = `
    import { configure, task } from ${JSON.stringify(PACKAGE)};
    configure({ database: ${JSON.stringify(db.url)} });
    task("fine", () => 1);
  `;
  await using project = await testProject({ files: { "tasks.ts": tasks } });

  const scheduled = await project.run("schedule", "fine");
  const consumed = await project.run("consume", "--drain");
  const listed = await project.run("list");

  assertEquals([scheduled.code, consumed.code, listed.code], [0, 0, 0]);
  assertEquals(jsonLines(listed.stdout).map(({ status }) => status), ["completed"]);
});

Deno.test("readSettings() ignores a broken task module that may name the database, for commands that need no tasks", async () => {
  await using db = await testDatabase();
  const tasks = `import { configure } from ${
    JSON.stringify(PACKAGE)
  }; configure({ redact: [] }); throw new Error("bad");`;
  await using project = await testProject({ database: db.url, files: { "tasks.ts": tasks } });

  const { code, stderr } = await project.run("list");

  assertEquals([code, stderr], [
    0,
    `warning: Cannot import tasks.ts: Error: bad at tasks.ts:1:${tasks.indexOf("new Error") + 1}\n`,
  ]);
});

Deno.test("main() takes the tasks that a program has defined, and searches for no others", async () => {
  const main = new URL("../../main.ts", import.meta.url).href;
  await using project = await testProject({
    files: {
      "app.ts": `import { main } from "${main}";
import process from "node:process";
import "./own.ts";
process.exitCode = await main(process.argv.slice(2));`,
      "own.ts": defining("own"),
      "tasks.ts": defining("found"),
      "more.ts": defining("more"),
    },
  });
  const config = new URL("../../deno.json", import.meta.url).pathname;
  const namesOf = async (...flags: string[]) => {
    const args = ["run", "-A", "--no-check", "--config", config, "app.ts", "tasks", ...flags];
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), { args, cwd: project.directory }).output();
    assertEquals(new TextDecoder().decode(stderr), "");
    return jsonLines(new TextDecoder().decode(stdout)).map(({ func_name }) => func_name);
  };

  assertEquals(await namesOf(), ["own"]);
  assertEquals(await namesOf("--import", "more.ts"), ["more", "own"]);
});
