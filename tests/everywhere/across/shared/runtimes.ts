/** Programs on each of the runtimes. @module */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** The runtimes by the names of their programs. */
export const RUNTIMES: readonly string[] = ["deno", "node22", "node24", "bun"];

/** The runtime of this process. */
export const OWN: string = "deno" in process.versions
  ? "deno"
  : "bun" in process.versions
  ? "bun"
  : `node${process.versions.node.split(".")[0]}`;

/** The directory with the package and the programs. */
export const PROJECT: string = fileURLToPath(new URL("../../", import.meta.url));

/** How long a line may take, in milliseconds. */
const LINE_TIMEOUT = 40_000;

/** A line of JSON that a program printed. */
// deno-lint-ignore no-explicit-any
export type Line = any;

/** A program of this project on a runtime. It ends when its standard input does, so that none is left over. */
export class Program {
  readonly runtime: string;
  readonly #child: ChildProcess;
  readonly #lines: Line[] = [];
  readonly #exited: Promise<[code: number | null, signal: string | null]>;
  #errors = "";
  #changed: PromiseWithResolvers<void> = Promise.withResolvers();
  #hasEnded = false;

  /** Starts a module beside this one, or in the same place of another `project`, with a line of standard input. */
  constructor(
    runtime: string,
    module: string,
    { args = [], input, project = PROJECT, env = {} }: {
      args?: string[];
      input?: string;
      project?: string;
      env?: Record<string, string>;
    } = {},
  ) {
    this.runtime = runtime;
    const program = join(process.env.FIREFLY_EVERYWHERE_RUNTIMES!, runtime);
    const path = join(project, "across/shared", module);
    this.#child = spawn(program, [...runtime === "deno" ? ["run", "-A", "--quiet"] : [], path, ...args], {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...process.env, ...env },
    });
    this.#child.stdin!.on("error", () => {}); // it may have ended
    if (input !== undefined) this.write(input);
    this.#child.stderr!.setEncoding("utf8").on("data", (text: string) => this.#errors += text);
    createInterface({ input: this.#child.stdout! }).on("line", (line) => {
      this.#lines.push(line.startsWith("{") ? JSON.parse(line) : { text: line });
      this.#wake();
    });
    this.#exited = once(this.#child, "close") as Promise<[number | null, string | null]>;
    this.#exited.then(() => {
      this.#hasEnded = true;
      this.#wake();
    });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  get errors(): string {
    return this.#errors;
  }

  /** Writes a line to its standard input. */
  write(line: string): void {
    this.#child.stdin!.write(`${line}\n`);
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  /** Waits for the first line of those with the key. */
  async line(key: string): Promise<Line> {
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      this.#wake();
    }, LINE_TIMEOUT);
    try {
      for (;;) {
        const found = this.#lines.find((line) => key in line);
        if (found !== undefined) return found;
        if (this.#hasEnded || isLate) {
          throw new Error(`${this.runtime} printed ${JSON.stringify(this.#lines)}, but no ${key}: ${this.#errors}`);
        }
        await this.#changed.promise;
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** Sends a signal, unless it has ended. */
  kill(signal: "SIGTERM" | "SIGKILL"): void {
    // Deno takes a child that its `kill()` has signalled for ended by that signal, whatever its exit code is.
    if (!this.#hasEnded) process.kill(this.pid, signal);
  }

  /** Waits for its end; resolves to its exit code, or the signal that ended it. */
  async ended(): Promise<number | string> {
    const [code, signal] = await this.#exited;
    return signal ?? code!;
  }

  /** Ends it as a supervisor does, and checks that it ends well. */
  async stop(): Promise<void> {
    this.kill("SIGTERM");
    const code = await this.ended();
    if (code !== 0) {
      throw new Error(`The program on ${this.runtime} ended with ${code}: ${this.#errors}`);
    }
  }
}

/** Does something with a program on each runtime, and stops the programs afterwards, also after a failure. */
export async function withPrograms<T>(programs: readonly Program[], act: () => Promise<T>): Promise<T> {
  try {
    const result = await act();
    await Promise.all(programs.map((program) => program.stop()));
    return result;
  } catch (error) {
    for (const program of programs) program.kill("SIGKILL");
    const said = programs.map(({ runtime, errors }) => errors && `${runtime}: ${errors}`).filter(Boolean).join("\n");
    throw new Error(`${error instanceof Error ? error.stack : error}\n${said}`);
  }
}

/** Prints a line of JSON, for the program that started this one. */
export function tell(line: object): void {
  process.stdout.write(JSON.stringify(line) + "\n");
}
