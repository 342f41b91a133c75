import { execFile } from "node:child_process";
import { mkdir, rm, stat, writeFile } from "node:fs/promises";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
const EXAMPLES = path("../examples");
const LOCK = path("../prisma.lock");
const DONE = path("../prisma.lock/done");

/** Generates the client of examples/schema.prisma, once for all programs that run beside this one. */
export async function generatePrisma(): Promise<void> {
  while (
    !(await stat(DONE).then(
      () => true,
      () => false,
    ))
  ) {
    if (
      await mkdir(LOCK).then(
        () => true,
        () => false,
      )
    ) {
      await generate();
    } else await setTimeout(100);
  }
}

async function generate(): Promise<void> {
  try {
    await writeFile(`${EXAMPLES}/prisma.config.ts`, 'export default { schema: "schema.prisma" };\n');
    await promisify(execFile)("node", [path("../../node_modules/prisma/build/index.js"), "generate"], {
      cwd: EXAMPLES,
      // To generate, Prisma never calls the engine that it would download.
      env: {
        ...process.env,
        PRISMA_SCHEMA_ENGINE_BINARY: "/bin/true",
        CHECKPOINT_DISABLE: "1",
      },
    });
    await writeFile(DONE, "");
  } catch (error) {
    await rm(LOCK, { recursive: true });
    throw error;
  }
}
