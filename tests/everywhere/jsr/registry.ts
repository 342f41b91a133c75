// Runs on: Deno
// Within: 180 s
// Long
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import process from "node:process";
import { check } from "../check.ts";

/*
 * JSR's form of the package runs from a registry that the tests of tools make: what they report is reported here, so that
 * one table has every form.
 */
const { FIREFLY_EVERYWHERE_ROOT: cwd, FIREFLY_DATABASE_URL: _, ...env } = process.env;
const { status, stdout, stderr } = spawnSync(
  process.execPath,
  ["test", "-A", "--no-check", "tests/tools/jsr_test.ts"],
  {
    cwd,
    env,
    encoding: "utf8",
  },
);

const results = [...stdout.matchAll(/^ *(\S.*) \.\.\. (ok|FAILED)\b/gm)];
for (const [, name, result] of results) await check(name!, () => assert.equal(result, "ok", stdout));
await check("all tests of JSR's form have run", () => {
  assert.equal(status, 0, stdout + stderr);
  assert.ok(results.length > 5, stdout);
});
