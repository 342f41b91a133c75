import { task } from "@firefly/tasks";
import assert from "node:assert/strict";
import { cpSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { check, library } from "../check.ts";
import { application, module, PACKAGE, PROJECT, run, RUNTIME } from "./support/app.ts";

library("@firefly/tasks");

await check(
  "two tasks of one name are refused, with the places of both",
  async () => {
    const cwd = application({
      "one.ts": `import { task } from "@firefly/tasks";\n\ntask({ name: "twice" }, () => 1);\n`,
      "two.ts": `import { task } from "@firefly/tasks";\n\n\ntask({ name: "twice" })(() => 2);\n`,
    });
    await import(pathToFileURL(join(cwd, "one.ts")).href);
    const error = await import(pathToFileURL(join(cwd, "two.ts")).href).then(
      () => undefined,
      (error) => error,
    );
    assert.match(
      String(error?.message),
      /"twice" at .*two\.ts:4:\d+ as "twice" is already .* at .*one\.ts:3:\d+/,
    );
  },
);

await check("a second task of one name in the same file is refused", () => {
  const make = (n: number) => task({ name: "same_file" }, () => n);
  task({ name: "same_file" }, () => 0);
  assert.throws(() => make(1), /already a name of task "same_file"/);
});

if (RUNTIME !== "deno") {
  await check('require("@firefly/tasks") is the same module', () => {
    const required = createRequire(import.meta.url)("@firefly/tasks");
    assert.equal(required.task, task);
  });

  await check("all entries share one copy", async () => {
    const cwd = application({
      "app.mjs": `import "./tasks.mjs";
import { main } from "@firefly/tasks/main";
import process from "node:process";
process.exitCode = await main(process.argv.slice(2));
`,
      "tasks.mjs": `import { task } from "@firefly/tasks";\ntask({ name: "compiled_in" }, () => {});\n`,
    });
    const { stdout, stderr } = await run(
      module(join(cwd, "app.mjs"), "tasks"),
      { cwd: PROJECT },
    );
    assert.equal(JSON.parse(stdout).func_name, "compiled_in", stderr);
  });
}

if (RUNTIME !== "deno") {
  await check("the program of another copy finds the tasks of this one, as a global one does", async () => {
    const global = join(application({}), "node_modules/@firefly/tasks");
    cpSync(PACKAGE, global, { recursive: true });
    const cwd = application({
      "tasks.mjs": `import { task } from "@firefly/tasks";\ntask({ name: "of_this_copy" }, () => {});\n`,
    });
    const { stdout, stderr } = await run(module(join(global, "dist/firefly.js"), "tasks"), { cwd });
    assert.equal(JSON.parse(stdout || "{}").func_name, "of_this_copy", stderr);
  });
}

if (RUNTIME === "bun") {
  await check(
    "bun build keeps an import of the command line for its side effect",
    async () => {
      const cwd = application({ "app.ts": `import "@firefly/tasks/cli";\n` });
      const built = await run([
        process.execPath,
        "build",
        "app.ts",
        "--target",
        "bun",
        "--outdir",
        "out",
      ], { cwd });
      assert.equal(built.code, 0, built.stderr);
      const { stdout, stderr } = await run(
        module(join(cwd, "out/app.js"), "--version"),
        { cwd },
      );
      assert.match(stdout, /^\d+\.\d+\.\d+\n$/, stderr);
    },
  );
}

if (RUNTIME === "deno") {
  await check("Deno takes the sources that JSR would serve", () => {
    assert.match(import.meta.resolve("@firefly/tasks"), /\/firefly\/mod\.ts$/);
    assert.match(import.meta.resolve("@firefly/tasks/dashboard"), /\/firefly\/dashboard\.ts$/);
  });
}
