// Within: 180 s
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { check, library } from "../check.ts";

const AREA = dirname(fileURLToPath(import.meta.url));
const VITEST = join(AREA, "../node_modules/vitest/vitest.mjs");

/** What a runner did: the number of tests that passed, as it prints it, and what it printed. */
interface Run {
  readonly succeeded: boolean;
  readonly output: string;
}

/** Runs tests in a process of their own. */
function run(args: readonly string[], env: Record<string, string> = {}): Promise<Run> {
  const options = { cwd: AREA, env: { ...process.env, ...env, NO_COLOR: "1" } };
  return new Promise((resolve) => {
    execFile(process.execPath, args, options, (error, stdout, stderr) => {
      resolve({ succeeded: error === null, output: stdout + stderr });
    });
  });
}

/** Checks that a runner runs the tests, and shows the message of one that fails. */
async function checkRunner(name: string, args: readonly string[], passed: RegExp): Promise<void> {
  await check(`${name} runs tests with the kit`, async () => {
    const { succeeded, output } = await run(args);
    assert.ok(succeeded, output);
    assert.match(output, passed);
  });
  await check(`${name} shows how a record differs`, async () => {
    const { succeeded, output } = await run(args, { FAILS: "1" });
    assert.equal(succeeded, false, output);
    assert.match(output, /Task "remind" was not scheduled as expected/);
    assert.match(output, /id 1: args: \[ 'Ada' \]/);
  });
}

library("@firefly/tasks");
const { deno, bun } = process.versions;
if (deno) {
  const test = ["test", "-A", "--no-check", "--config=../deno.json", "specs/deno.ts"];
  await checkRunner("deno test", test, /4 passed \| 0 failed/);
  const sanitized = [...test.slice(0, 3), "--sanitize-ops", "--sanitize-resources", ...test.slice(3)];
  await checkRunner("deno test with all sanitizers", sanitized, /4 passed \| 0 failed/);
} else if (bun) {
  await checkRunner("bun test", ["test", "./specs/bun.ts"], /3 pass\n\s+0 fail/);
} else {
  await checkRunner("node --test", ["--test", "specs/node.ts"], /pass 3\n.*fail 0/);
  library("vitest");
  await checkRunner("vitest", [VITEST, "run", "--root", ".", "specs/vitest.spec.ts"], /Tests\s+4 passed \(4\)/);
}
