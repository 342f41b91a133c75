// Runs on: Node 22, Node 24
// Within: 240 s
// Long
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { check, library } from "../check.ts";
import { checkLife } from "./support/life.ts";
import { EXAMPLES, start, within } from "./support/server.ts";

library("next");

const NEXT = fileURLToPath(new URL("../node_modules/next/dist/bin/next", import.meta.url));
const env = { NEXT_TELEMETRY_DISABLED: "1", NEXT_MANUAL_SIG_HANDLE: "true" };

// A copy, as Next writes beside what it builds. Within the project, where it finds the packages.
const copy = await mkdtemp(fileURLToPath(new URL("../next-", import.meta.url)));
const cwd = `${copy}/next`;
try {
  await cp(EXAMPLES, copy, { recursive: true });

  await check("next build takes it, with its types", async () => {
    const tsconfig = await readFile(`${cwd}/tsconfig.json`, "utf8");
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [NEXT, "build"], {
      cwd,
      env: { ...process.env, ...env },
    }).catch(({ stdout, stderr }) => assert.fail(stdout + stderr));
    assert.doesNotMatch(stdout + stderr, /warning/i);
    assert.equal(await readFile(`${cwd}/tsconfig.json`, "utf8"), tsconfig);
  });

  await checkLife({ command: [process.execPath, NEXT, "start", "--port", "0"], cwd, tasks: copy, env, malformed: 422 });

  await check("next dev runs an edited task in the consumer that was there before", async () => {
    const dev = start([process.execPath, NEXT, "dev", "--port", "0"], { cwd, env });
    try {
      const [, port] = await dev.printed(/Local:.*?:\/\/[^\s/]+:(\d+)/);
      const url = `http://localhost:${port}`;
      const sum = async (): Promise<unknown> => {
        const scheduled = await fetch(`${url}/sums`, { method: "POST", body: '{"i":1,"j":2}' });
        assert.equal(scheduled.status, 202, dev.output());
        for (;; await sleep(50)) {
          const result = await fetch(url + scheduled.headers.get("location"));
          if (result.status === 202) continue;
          assert.equal(result.status, 200, dev.output());
          return (await result.json() as { returned: unknown }).returned;
        }
      };
      assert.equal(await within(sum(), dev.output), 3);
      for (const factor of [10, 100]) {
        const tasks = await readFile(`${copy}/tasks.ts`, "utf8");
        await writeFile(
          `${copy}/tasks.ts`,
          tasks.replace(/return .*;/, `return (BigInt(i) + BigInt(j)) * ${factor}n;`),
        );
        await within(
          (async () => {
            while (await sum() !== 3 * factor) await sleep(100);
          })(),
          dev.output,
        );
      }
    } finally {
      await dev.end("SIGTERM"); // not by SIGKILL: it has a process of its own
    }
  });
} finally {
  await rm(copy, { recursive: true, force: true, maxRetries: 10 });
}
