// Runs on: Node 24
// Within: 180 s
// Long
import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { check, library } from "../check.ts";
import { application, module, PROJECT, run } from "./support/app.ts";

const USE = `import { configure, consume, current, task, type Firefly, type TaskRecord } from "@firefly/tasks";
import { dashboard } from "@firefly/tasks/dashboard";
import { main } from "@firefly/tasks/main";
import { writeMetrics } from "@firefly/tasks/metrics";
import "@firefly/tasks/cli";

const ff: Firefly = configure({ encryption: { current: "a", keys: { a: "Base64" } } });
const add = task({ name: "add", maxRetries: 3, timeout: "30s" })((a: number, b: number) => a + b);
const row: TaskRecord<[number, number], number> = await add.schedule(1, 2);
const sum: number = await row.result({ timeout: "1m" });
export const doubled = task("doubled", async (n: number) => {
  current().signal.throwIfAborted();
  return n * sum;
});
// @ts-expect-error an argument of another type
await add.schedule("1", 2);
// @ts-expect-error an argument that is missing
await add.schedule(1);
// @ts-expect-error a function cannot be stored
task({ name: "stored" }, (_: () => void) => {});
// @ts-expect-error no such option
task({ name: "option", retries: 3 }, () => {});
const board = dashboard({ firefly: ff, open: true });
export const response: Response | Promise<Response> = board.fetch(new Request("http://localhost/"));
export const code: number = await main(["tasks"]);
export const metrics: string = await writeMetrics(ff);
await using consumer = consume({ concurrency: 2 });
`;
const COMMON = {
  target: "esnext",
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  skipLibCheck: false,
  noEmit: true,
  types: ["node"],
  lib: ["esnext"],
};
const MODES: Record<string, object> = {
  nodenext: { module: "nodenext", moduleResolution: "nodenext" },
  bundler: { module: "esnext", moduleResolution: "bundler" },
};
const cwd = application({ "use.ts": USE });

for (const compiler of ["typescript-5.9", "typescript-6", "typescript-7"]) {
  library(compiler);
  for (const [mode, options] of Object.entries(MODES)) {
    for (const lib of mode === "bundler" ? [["esnext"]] : [["esnext"], ["esnext", "dom", "dom.iterable"]]) {
      await check(`${compiler}, ${mode}, lib ${lib.join(" ")}`, async () => {
        const config = {
          compilerOptions: { ...COMMON, ...options, lib },
          files: ["use.ts"],
        };
        writeFileSync(join(cwd, "tsconfig.json"), JSON.stringify(config));
        const { code, stdout, stderr } = await run(
          module(compilerOf(compiler), "-p", cwd),
          { cwd },
        );
        assert.equal(code, 0, stdout + stderr);
      });
    }
  }
}

function compilerOf(name: string): string {
  const bin = join(PROJECT, "node_modules", name, "bin");
  return [join(bin, "tsc"), join(bin, "tsc.js")].find((file) => existsSync(file))!;
}
