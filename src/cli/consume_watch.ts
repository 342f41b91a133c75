import { watch } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { isMainThread, type MessagePort, parentPort, Worker, workerData } from "node:worker_threads";
import { EXIT } from "./exit_code.ts";
import type { Log } from "./log.ts";

/** Files whose change starts the consumer again: code, but not that of packages, nor hidden files. */
const CODE = /\.(ts|tsx|mts|js|jsx|mjs|cjs)$/;
const LEFT_OUT = /(^|[\\/])(node_modules|\.[^\\/]+)[\\/]/;
/** Milliseconds to wait for more changes: editors and checkouts write several files. */
const SETTLING = 100;
const SIGNAL_CODES = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/**
 * The module that exports `main()`: beside this one, as `src/cli/main.ts`, and in the npm package, as `dist/main.js`. In
 * a thread its graph of modules is its own, so that the thread imports each module as it is now.
 */
const MAIN = import.meta.url.replace(/[^/]*(\.\w+)$/, "main$1");
/** The code of the thread: it runs the command line that it was given, and posts the exit code, as it may end before. */
const THREAD = `const { parentPort, workerData } = require("node:worker_threads");
import(${
  JSON.stringify(MAIN)
}).then(({ main }) => main(workerData.args)).then((code) => parentPort.postMessage(code));`;

/** The port on which a thread of `consume --watch` is asked to stop; undefined elsewhere. */
export function watcherPort(): MessagePort | undefined {
  return isMainThread || !workerData?.fireflyConsume ? undefined : parentPort ?? undefined;
}

/**
 * `consume --watch`: runs the consumer in a thread, and starts another one whenever code in this directory changes. A thread
 * that ended, as its modules cannot be imported, waits for the next change, too.
 */
export async function consumeWatching(args: readonly string[], log: Log): Promise<number> {
  const directory = process.cwd();
  const changes = new Changes(directory);
  const thread = new ConsumerThread(args.filter((argument) => argument !== "--watch"));
  let signalled: keyof typeof SIGNAL_CODES | undefined;
  const onSignal = (signal: keyof typeof SIGNAL_CODES) => {
    if (signalled) process.exit(SIGNAL_CODES[signal]);
    signalled = signal;
    thread.stop();
    changes.end();
  };
  const signals = Object.keys(SIGNAL_CODES) as (keyof typeof SIGNAL_CODES)[];
  for (const signal of signals) process.on(signal, onSignal);
  log.add({ level: "info", event: "watching", text: `${directory}: starts again when its code changes` });
  try {
    while (!signalled) {
      const ended = thread.start();
      ended.then((code) => {
        const text = `The consumer ended with exit code ${code}: waiting for a change`;
        if (!thread.isStopping) log.add({ level: code === 0 ? "info" : "error", event: "waiting", text });
      });
      const file = await changes.next();
      if (file !== undefined) log.add({ level: "info", event: "changed", text: file });
      thread.stop();
      const code = await ended;
      if (signalled) return code;
    }
    return EXIT.done;
  } finally {
    changes.end();
    for (const signal of signals) process.off(signal, onSignal);
  }
}

/** A thread in which a consumer runs; one after another. */
class ConsumerThread {
  readonly #args: readonly string[];
  #worker: Worker | undefined;
  /** Whether it was asked to stop. */
  isStopping = false;

  constructor(args: readonly string[]) {
    this.#args = args;
  }

  /** Starts a thread; resolves to the exit code of its consumer. */
  async start(): Promise<number> {
    this.isStopping = false;
    const workerData = { fireflyConsume: true, args: this.#args };
    // A worker takes only URLs of files, and this package may come from a registry.
    const worker = this.#worker = new Worker(THREAD, { eval: true, workerData });
    const failed = new Promise<number>((resolve) => worker.on("error", () => resolve(EXIT.unexpected)));
    let posted: number | undefined;
    worker.on("message", (code) => posted = code);
    const ended = new Promise<number>((resolve) => worker.on("exit", (code) => resolve(posted ?? code)));
    const code = await Promise.race([failed, ended]);
    this.#worker = undefined;
    return code;
  }

  /** Asks it to hand its tasks back, and to end. */
  stop(): void {
    this.isStopping = true;
    this.#worker?.postMessage("stop");
  }
}

/** Changes of the code in a directory. */
class Changes {
  readonly #directory: string;
  readonly #watcher: ReturnType<typeof watch>;
  #since = Date.now();
  #resolve: ((file: string | undefined) => void) | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #changed: string | undefined;
  #hasEnded = false;

  constructor(directory: string) {
    this.#directory = directory;
    this.#watcher = watch(directory, { recursive: true }, (_, file) => file !== null && this.#onEvent(String(file)));
  }

  /** Resolves to the next file that changes, or to undefined when it ends. */
  next(): Promise<string | undefined> {
    if (this.#hasEnded) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      this.#resolve = resolve;
      if (this.#changed !== undefined) this.#report(this.#changed);
    });
  }

  /** Stops watching. */
  end(): void {
    this.#hasEnded = true;
    clearTimeout(this.#timer);
    this.#watcher.close();
    this.#resolve?.(undefined);
  }

  /** Some systems also report that a file was read: only one that was written or removed has changed. */
  async #onEvent(file: string): Promise<void> {
    if (!CODE.test(file) || LEFT_OUT.test(file)) return;
    const written = await stat(join(this.#directory, file)).then(({ mtimeMs }) => mtimeMs, () => Infinity);
    if (written <= this.#since || this.#hasEnded) return;
    this.#changed ??= file;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#report(file), SETTLING);
  }

  #report(file: string): void {
    if (!this.#resolve) return;
    this.#since = Date.now();
    this.#changed = undefined;
    this.#resolve(file);
    this.#resolve = undefined;
  }
}
