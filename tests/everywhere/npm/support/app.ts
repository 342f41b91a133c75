import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** The directory of the project, in whose `node_modules` the package is. */
export const PROJECT: string = join(
  dirname(fileURLToPath(import.meta.url)),
  "../..",
);

/** The package as npm installed it. */
export const PACKAGE: string = join(PROJECT, "node_modules/@firefly/tasks");

/** What this program runs on. */
export const RUNTIME: "deno" | "bun" | "node" = process.versions.deno ? "deno" : process.versions.bun ? "bun" : "node";

/** The path of another runtime: `node20`, `node22`, `node24`, `bun` or `deno`. */
export function runtimeAt(name: string): string {
  return join(process.env.FIREFLY_EVERYWHERE_RUNTIMES!, name);
}

/** A program that was started. */
export interface Started {
  readonly pid: number;
  /** What it has printed until now, on both streams. */
  readonly printed: () => string;
  /** Resolves once it has printed what matches. */
  waitFor(pattern: RegExp): Promise<RegExpExecArray>;
  kill(signal: NodeJS.Signals): void;
  readonly ended: Promise<Ended>;
}

/** A program that has ended. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

const WAIT = 20_000; // milliseconds

/** Starts a program. */
export function start(
  command: readonly string[],
  { cwd = PROJECT, env = {} }: RunOptions = {},
): Started {
  const [program, ...args] = command;
  const child = spawn(program!, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => stdout += text);
  child.stderr.setEncoding("utf8").on("data", (text: string) => stderr += text);
  const printed = () => stdout + stderr;
  let hasEnded = false;
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      hasEnded = true;
      resolve({ code, signal, stdout, stderr });
    });
  });
  async function waitFor(pattern: RegExp): Promise<RegExpExecArray> {
    for (const until = Date.now() + WAIT; Date.now() < until;) {
      const found = pattern.exec(printed());
      if (found) return found;
      if (hasEnded) break;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error(
      `Waited for ${pattern} in what ${command.join(" ")} printed:\n${printed()}`,
    );
  }
  // Not child.kill(): in Deno, a child that ends with 0 after it has no exit code.
  const kill = (signal: NodeJS.Signals) => void process.kill(child.pid!, signal);
  return { pid: child.pid!, printed, waitFor, kill, ended };
}

/** Where a program runs. */
export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Record<string, string>;
}

/** Runs a program to its end. */
export async function run(
  command: readonly string[],
  options: RunOptions = {},
): Promise<Ended> {
  return await start(command, options).ended;
}

/** The command line of Firefly on the runtime of this program. */
export function firefly(...args: string[]): string[] {
  if (RUNTIME !== "deno") {
    return [process.execPath, join(PACKAGE, "dist/firefly.js"), ...args];
  }
  return [
    process.execPath,
    "run",
    "-A",
    "--quiet",
    join(PROJECT, "firefly/cli.ts"),
    ...args,
  ];
}

/** A module on the runtime of this program. */
export function module(path: string, ...args: string[]): string[] {
  return [
    process.execPath,
    ...RUNTIME === "deno" ? ["run", "-A", "--quiet"] : [],
    path,
    ...args,
  ];
}

/** A directory inside the project with an application's files, removed at the end of the process. */
export function application(files: Record<string, string>): string {
  const directory = mkdtempSync(join(PROJECT, "app-"));
  process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(directory, name), text);
  }
  return directory;
}

/** The version of the package. */
export function version(): string {
  return JSON.parse(readFileSync(join(PACKAGE, "package.json"), "utf8"))
    .version;
}
