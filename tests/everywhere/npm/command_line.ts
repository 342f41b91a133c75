// Within: 90 s
import { configure, task } from "@firefly/tasks";
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { check, library } from "../check.ts";
import { application, firefly, PROJECT, run, RUNTIME, start, version } from "./support/app.ts";

library("@firefly/tasks");
const TASKS = `import { task } from "@firefly/tasks";
export const add = task({ name: "add" }, (a: number, b: number) => a + b);
`;
const ff = configure({});
const cwd = application({ "tasks.ts": TASKS });
const lines = (text: string) => text.trim().split("\n").map((line) => JSON.parse(line));

await check("--version", async () => {
  assert.deepEqual(
    await run(firefly("--version"), { cwd }),
    ended(`${version()}\n`),
  );
});

await check("tasks, schedule, consume --drain, show and list", async () => {
  const tasks = await run(firefly("tasks"), { cwd });
  assert.deepEqual(lines(tasks.stdout).map(({ func_name }) => func_name), [
    "add",
  ]);
  const scheduled = await run(firefly("schedule", "add", "[1, 3]"), { cwd });
  assert.equal(scheduled.code, 0, scheduled.stderr);
  const drained = await run(firefly("consume", "--drain"), { cwd });
  assert.equal(drained.code, 0, drained.stderr);
  const { items: [record] } = await ff.tasks.list();
  assert.deepEqual(await record!.result(), 4);
  const [listed] = lines((await run(firefly("list"), { cwd })).stdout);
  assert.deepEqual([listed.id, listed.func_name, listed.status], [
    record!.id,
    "add",
    "completed",
  ]);
});

await check("doctor finds nothing wrong", async () => {
  const { code, stdout, stderr } = await run(firefly("doctor"), { cwd });
  assert.equal(code, 0, stdout + stderr);
});

await check("firefly.config.ts and its globs are found", async () => {
  const other = application({
    "firefly.config.ts": `import { defineConfig } from "@firefly/tasks";
export default defineConfig({ tasks: "jobs/*.ts", consume: { concurrency: 3 } });
`,
    "jobs.ts": "",
  });
  const { stdout } = await run(firefly("config"), { cwd: other });
  const concurrency = lines(stdout).find(({ setting }) => setting === "concurrency");
  assert.deepEqual([concurrency.value, concurrency.from], [
    3,
    "firefly.config.ts",
  ]);
});

await check("an error names the place in the module of the user", async () => {
  const broken = application({
    "tasks.ts": `import { task } from "@firefly/tasks";\n\ntask({ name: "bad", maxRetries: -1 }, () => {});\n`,
  });
  const { code, stderr } = await run(firefly("consume"), { cwd: broken });
  assert.notEqual(code, 0);
  assert.match(
    stderr,
    /Cannot import tasks\.ts: .*maxRetries.* at tasks\.ts:3:\d+/,
  );
});

await check(
  "a stored stack shows the handler, and folds the frames of Firefly",
  async () => {
    const failing = application({
      "tasks.ts": `import { task } from "@firefly/tasks";
task({ name: "failing" }, () => {
  throw new Error("by design");
});
`,
    });
    const row = await task("failing", () => {}).schedule();
    await run(firefly("consume", "--drain"), { cwd: failing });
    const { errors } = await row.refresh();
    assert.match(errors[0]!.stack!, /tasks\.ts:3:\d+/);
    assert.match(errors[0]!.stack!, /… \d+ frames of Firefly/);
  },
);

await check("consume --watch starts again when a module changes", async () => {
  const watched = application({ "tasks.ts": TASKS });
  const consumer = start(firefly("consume", "--watch"), { cwd: watched });
  await consumer.waitFor(/"event":"ready"/);
  writeFileSync(join(watched, "tasks.ts"), TASKS.replace("a + b", "a * b"));
  await consumer.waitFor(/"event":"changed"[^]*"event":"ready"/);
  const row = await task({ name: "add" }, (_a: number, _b: number) => 0)
    .schedule(5, 6);
  assert.equal(await row.result({ timeout: "10s" }), 30);
  consumer.kill("SIGTERM");
  assert.equal((await consumer.ended).code, 0);
});

if (RUNTIME === "node") {
  await check("npx firefly", async () => {
    assert.deepEqual(
      await run(["npx", "firefly", "--version"], { cwd: PROJECT }),
      ended(`${version()}\n`),
    );
  });

  const ENUM = `import { task } from "@firefly/tasks";
enum Kind { A = "a" }
task({ name: "kind" }, () => Kind.A);
`;
  await check("an enum fails with a hint, and runs through tsx", async () => {
    const enums = application({ "tasks.ts": ENUM });
    const failed = await run(firefly("tasks", "--quiet"), { cwd: enums });
    assert.match(
      failed.stderr,
      /Node only removes types from TypeScript.*NODE_OPTIONS=--import=tsx/,
    );
    const { stdout, stderr } = await run(firefly("tasks"), {
      cwd: enums,
      env: { NODE_OPTIONS: "--import=tsx" },
    });
    assert.equal(lines(stdout)[0]?.func_name, "kind", stderr);
  });

  await check("./helper.js for helper.ts fails with a hint", async () => {
    const helped = application({
      "tasks.ts": `import { helper } from "./helper.js";\n${TASKS}helper;\n`,
      "helper.ts": "export const helper = 1;\n",
    });
    const { stderr } = await run(firefly("tasks", "--quiet"), { cwd: helped });
    assert.match(stderr, /helper\.js.*Node only removes types from TypeScript/);
  });
}

if (RUNTIME === "bun") {
  await check("bunx --bun firefly", async () => {
    const bunx = [process.execPath, "x", "--bun", "firefly", "--version"];
    assert.deepEqual(
      (await run(bunx, { cwd: PROJECT })).stdout,
      `${version()}\n`,
    );
  });
}

await ff.close();

/** What a program prints and ends with that does all it should. */
function ended(stdout: string): object {
  return { code: 0, signal: null, stdout, stderr: "" };
}
