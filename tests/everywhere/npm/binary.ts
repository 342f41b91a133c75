// Runs on: Bun
// Within: 120 s
import { configure, task } from "@firefly/tasks";
import assert from "node:assert/strict";
import { mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { check, library } from "../check.ts";
import { application, run, start } from "./support/app.ts";

library("@firefly/tasks");
const ff = configure({});
const cwd = application({
  "app.ts": `import { main } from "@firefly/tasks/main";
import process from "node:process";
import "./tasks.ts";

process.exitCode = await main(process.argv.slice(2));
`,
  "tasks.ts": `import { task } from "@firefly/tasks";

export const add = task({ name: "add" }, (a: number, b: number) => a + b);
export const failing = task({ name: "failing" }, () => {
  throw new Error("by design");
});
export const blocking = task({ name: "blocking" }, () => {
  for (;;);
});
`,
});
const elsewhere = mkdtempSync(join(tmpdir(), "firefly-binary-"));
const binary = join(elsewhere, "app");
const add = task({ name: "add" }, (_a: number, _b: number) => 0);

await check("bun build --compile makes one binary", async () => {
  const built = await run([
    process.execPath,
    "build",
    "--compile",
    "app.ts",
    "--outfile",
    "app",
  ], { cwd });
  assert.equal(built.code, 0, built.stderr);
  renameSync(join(cwd, "app"), binary);
});

await check("it lists the tasks that are compiled in", async () => {
  const { stdout, stderr } = await run([binary, "tasks"], { cwd: elsewhere });
  const names = stdout.trim().split("\n").map((line) => JSON.parse(line).func_name);
  assert.deepEqual([names.sort(), stderr], [
    ["add", "blocking", "failing"],
    "",
  ]);
});

await check("it searches no directory for others", async () => {
  const { stdout, stderr } = await run([binary, "tasks"], { cwd });
  assert.equal(stdout.trim().split("\n").length, 3, stderr);
});

await check(
  "it runs a task, stores an error, and stops at SIGTERM",
  async () => {
    const consumer = start([binary, "consume"], { cwd: elsewhere });
    assert.equal(await add.schedule(1, 3).result({ timeout: "15s" }), 4);
    const failing = await task("failing", () => {}).schedule();
    await assert.rejects(failing.result({ timeout: "15s" }), /by design/);
    consumer.kill("SIGTERM");
    assert.equal((await consumer.ended).code, 0);
  },
);

await check("its watchdog ends it", async () => {
  const consumer = start([binary, "consume", "--lease", "2s"], {
    cwd: elsewhere,
  });
  await task("blocking", () => {}).schedule();
  const { code, signal, stderr } = await consumer.ended;
  assert.ok(signal === "SIGKILL" || code === 137, stderr);
});

await ff.close();
rmSync(elsewhere, { recursive: true });
