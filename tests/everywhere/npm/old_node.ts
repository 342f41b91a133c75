// Runs on: Node 24
import assert from "node:assert/strict";
import { check, library } from "../check.ts";
import { application, PACKAGE, run, runtimeAt } from "./support/app.ts";

library("@firefly/tasks");
const node = runtimeAt("node20");
const cwd = application({});
const SENTENCE = /Cannot run Firefly on Node 20\.\d+\.\d+: it needs Node 22\.18 or newer/;

await check(
  "the command line says which Node it needs, and nothing else",
  async () => {
    const { code, stdout, stderr } = await run([
      node,
      `${PACKAGE}/dist/firefly.js`,
      "--version",
    ], { cwd });
    assert.equal(code, 1);
    assert.equal(stdout, "");
    assert.match(stderr, new RegExp(`^${SENTENCE.source}\n$`));
  },
);

for (const entry of ["", "/cli", "/main", "/dashboard", "/metrics"]) {
  await check(`@firefly/tasks${entry} says which Node it needs`, async () => {
    const args = [
      "--input-type=module",
      "--eval",
      `import "@firefly/tasks${entry}"`,
    ];
    const { code, stderr } = await run([node, ...args], { cwd });
    assert.equal(code, 1);
    assert.match(stderr, SENTENCE);
  });
}
