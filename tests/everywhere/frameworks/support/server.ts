/**
 * Starts the examples of docs/frameworks in processes of their own, as a user would, on the runtime that this runs on.
 *
 * @module
 */
import { spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** Where the examples are in the project: with the sources of the package. */
export const EXAMPLES: string = fileURLToPath(new URL("../../firefly/docs/frameworks/", import.meta.url));

/** The runtime of this process. */
export const RUNTIME: "Deno" | "Bun" | "Node" = process.versions.deno ? "Deno" : process.versions.bun ? "Bun" : "Node";

/** Deno takes the package from its sources, all others from npm. */
const CLI = fileURLToPath(
  new URL(
    RUNTIME === "Deno" ? "../../firefly/cli.ts" : "../../node_modules/@firefly/tasks/dist/cli.js",
    import.meta.url,
  ),
);

/** Longer than anything takes on a busy machine, in milliseconds, and shorter than a program of the area may take. */
const TIMEOUT = 30_000;

/** A process under way. */
export interface Running {
  /** What it has printed. */
  readonly output: () => string;
  /** Resolves to what a line of its output, from the beginning of the process, matched. */
  printed(pattern: RegExp): Promise<RegExpExecArray>;
  /** Sends a signal; resolves to how the process ended, and to the milliseconds that it took. */
  end(signal: "SIGTERM" | "SIGINT"): Promise<{ code: number | null; signal: string | null; ms: number }>;
  /** Kills it, if it has not ended. Node 22 has no `await using`. */
  dispose(): Promise<void>;
}

/** How to start a process. */
export interface Start {
  readonly cwd?: string;
  readonly env?: Record<string, string>;
}

/** Starts a program. */
export function start(command: readonly string[], { cwd = EXAMPLES, env = {} }: Start = {}): Running {
  const child = spawn(command[0]!, command.slice(1), {
    cwd,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  let onOutput = () => {};
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      onOutput();
    });
  }
  const ended = new Promise<{ code: number | null; signal: string | null }>((resolve, reject) => {
    child.on("error", reject).on("exit", (code, signal) => resolve({ code, signal }));
  });
  return {
    output: () => output,
    printed: (pattern) =>
      within(
        Promise.race([
          new Promise<RegExpExecArray>((resolve) => {
            (onOutput = () => {
              const match = pattern.exec(output);
              if (match) resolve(match);
            })();
          }),
          ended.then(({ code, signal }) => {
            throw new Error(`${command.join(" ")} ended with ${signal ?? code}:\n${output}`);
          }),
        ]),
        () => `Nothing printed matches ${pattern}:\n${output}`,
      ),
    async end(signal) {
      const began = performance.now();
      process.kill(child.pid!, signal); // after child.kill(), Deno reports the signal, whatever the exit code is
      const end = await within(ended, () => `It did not end after ${signal}:\n${output}`);
      return { ...end, ms: performance.now() - began };
    },
    async dispose() {
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
      await ended;
    },
  };
}

/** The command that runs a module on this runtime. */
export function runs(module: string): string[] {
  return [process.execPath, ...(RUNTIME === "Deno" ? ["run", "-A"] : []), module];
}

/** Starts the command line's consumer beside the tasks of a directory, and waits until it consumes. */
export async function startConsumer(cwd: string = EXAMPLES): Promise<Running> {
  const consumer = start([...runs(CLI), "consume"], { cwd });
  await consumer.printed(/"event":"ready"/);
  return consumer;
}

/** Rejects if a promise takes too long. */
export async function within<T>(promise: Promise<T>, message: () => string): Promise<T> {
  let timer: ReturnType<typeof setTimeout>;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(message())), TIMEOUT);
  });
  return await Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
