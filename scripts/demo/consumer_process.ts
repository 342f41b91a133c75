import { fileURLToPath } from "node:url";

const CLI = fileURLToPath(new URL("../../cli.ts", import.meta.url));
const END_WITH_PARENT = fileURLToPath(new URL("./end_with_parent.ts", import.meta.url));
const ROOT = fileURLToPath(new URL("../../", import.meta.url));
/** How long a consumer has to end after SIGTERM, in milliseconds. */
const TIMEOUT = 10_000;
/** How much of its log is kept for the case that it ends too soon, in lines. */
const KEPT = 10;

/** What a consumer serves. */
interface Served {
  readonly queues: readonly string[];
  readonly concurrency: number;
  /** The module of its tasks, beside this one. */
  readonly tasks: "tasks" | "shop";
  readonly schema?: string;
  readonly release?: string;
  /** How long it waits for running tasks when it is told to stop. */
  readonly shutdownTimeout?: string;
}

/** `cli.ts consume` in a process of its own. */
export class ConsumerProcess {
  /** Rejects if the process ends before it was told to. */
  readonly lost: Promise<never>;
  readonly #process: Deno.ChildProcess;
  readonly #log: string[] = [];
  readonly #reading: Promise<void>;
  #stopping: Promise<void> | undefined;

  constructor({ queues, concurrency, tasks, schema = "firefly", release = "demo", shutdownTimeout = "30s" }: Served) {
    const module = fileURLToPath(new URL(`./${tasks}.ts`, import.meta.url));
    this.#process = new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "-A", CLI, "consume", "--quiet", "--json", "--schema", schema, "--release", release],
        ...["--queue", queues.join(), "--concurrency", String(concurrency), "--shutdown-timeout", shutdownTimeout],
        ...["--import", module, "--import", END_WITH_PARENT],
      ],
      cwd: ROOT,
      env: { NO_COLOR: "1" },
      detached: true, // Ctrl-C is for the demo, which stops it
      stdin: "piped",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    this.#reading = this.#read();
    this.lost = this.#watch();
    this.lost.catch(() => {});
  }

  /** The number of the process. */
  get pid(): number {
    return this.#process.pid;
  }

  /** Tells it to stop, and waits until it has. */
  stop(): Promise<void> {
    return this.#stopping ??= this.#end();
  }

  async #end(): Promise<void> {
    const kill = (signal: Deno.Signal) => {
      try {
        this.#process.kill(signal);
      } catch {
        // It has ended already.
      }
    };
    kill("SIGTERM");
    const timer = setTimeout(() => kill("SIGKILL"), TIMEOUT);
    await this.#process.status;
    clearTimeout(timer);
    await this.#reading;
    await this.#process.stdin.close().catch(() => {});
  }

  async #watch(): Promise<never> {
    const { code, signal } = await this.#process.status;
    if (this.#stopping) return await new Promise<never>(() => {});
    await this.#reading;
    const last = this.#log.map((line) => `\n  ${line}`).join("");
    throw new Error(`The consumer ended too soon, with ${signal ?? `exit code ${code}`}. It said last:${last}`);
  }

  async #read(): Promise<void> {
    let rest = "";
    for await (const text of this.#process.stderr.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      this.#log.push(...lines);
      this.#log.splice(0, this.#log.length - KEPT);
    }
  }
}
