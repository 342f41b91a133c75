// Long
// Runs on: Node 24
// Within: 180 s
import { execFile } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { check, library } from "../check.ts";
import { generatePrisma } from "./support/generate_prisma.ts";

const AREA = fileURLToPath(new URL(".", import.meta.url));
const { FIREFLY_EVERYWHERE_RUNTIMES } = process.env;

/** Runs a program in this folder; what it prints is the failure's message. */
function run(program: string, args: string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile(program, args, { cwd: AREA }, (error, stdout, stderr) => {
      if (error) reject(new Error(`${stdout}${stderr}` || error.message));
      else resolve();
    });
  });
}

library("typescript");
await generatePrisma();
await check(
  "tsc takes the programs and the libraries without a cast, and refuses databases and pools",
  () => run(process.execPath, ["../node_modules/typescript/bin/tsc", "--project", "tsconfig.json"]),
);
await check(
  "deno check takes the same",
  () => run(`${FIREFLY_EVERYWHERE_RUNTIMES}/deno`, ["check", "--quiet", "*.ts", "support", "examples"]),
);
