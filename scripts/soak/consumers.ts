import { fileURLToPath } from "node:url";
import { TcpProxy } from "../../tests/support/tcp_proxy.ts";
import type { Watched } from "./probe.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const CLI = fileURLToPath(new URL("../../cli.ts", import.meta.url));
const IMPORTS = ["./tasks.ts", "./reporting.ts", "../demo/end_with_parent.ts"].map((file) =>
  fileURLToPath(new URL(file, import.meta.url))
);

/** How soon others run the tasks of a consumer that died, in seconds. */
export const LEASE = 5;

/** What each consumer of a soak is given. */
export interface ConsumerOptions {
  readonly url: string;
  /** The directory for its log and its reports. */
  readonly out: string;
  /** Milliseconds between two reports. */
  readonly interval: number;
}

/** `cli.ts consume` as a user starts it, behind a proxy of its own; when it ends, another takes its place. */
export class SoakConsumer {
  readonly name: string;
  /** How often a process ended that nobody had told to. */
  unasked = 0;
  readonly #options: ConsumerOptions;
  readonly #proxy: TcpProxy;
  readonly #log: Deno.FsFile;
  #child: Deno.ChildProcess | undefined;
  #asked = false;
  #ending = false;
  #life: Promise<void> = Promise.resolve();

  private constructor(name: string, options: ConsumerOptions, proxy: TcpProxy, log: Deno.FsFile) {
    [this.name, this.#options, this.#proxy, this.#log] = [name, options, proxy, log];
  }

  /** Starts one. */
  static async start(name: string, options: ConsumerOptions): Promise<SoakConsumer> {
    const proxy = await TcpProxy.start(options.url);
    const log = await Deno.open(`${options.out}/${name}.log`, { create: true, append: true });
    const consumer = new SoakConsumer(name, options, proxy, log);
    consumer.#life = consumer.#live();
    return consumer;
  }

  /** How to look at its process. */
  get watched(): Watched | undefined {
    return this.#child && { name: this.name, pid: this.#child.pid, report: this.#report };
  }

  /** Ends its process by a signal, after which another one is started. */
  replace(signal: "SIGKILL" | "SIGTERM"): void {
    this.#asked = true;
    this.signal("SIGCONT");
    this.signal(signal);
  }

  /** Sends a signal to its process, if it still runs. */
  signal(signal: Deno.Signal): void {
    try {
      this.#child?.kill(signal);
    } catch {
      // It has ended.
    }
  }

  /** Resets all of its connections. */
  cut(): void {
    this.#proxy.cut({ reset: true });
  }

  /** Lets nothing through any more, and tells nobody; `heal` breaks off what hangs. */
  hole(): void {
    this.#proxy.mode = "hole";
  }

  /** Lets everything through again. */
  heal(): void {
    if (this.#proxy.mode === "pass") return;
    this.#proxy.mode = "pass";
    this.cut();
  }

  /** Stops its process, gracefully if it does so within `timeout` milliseconds. */
  async end(timeout: number): Promise<void> {
    this.#ending = true;
    this.heal();
    this.signal("SIGCONT");
    this.signal(timeout > 0 ? "SIGTERM" : "SIGKILL");
    const timer = setTimeout(() => this.signal("SIGKILL"), timeout);
    await this.#life;
    clearTimeout(timer);
    await this.#proxy[Symbol.asyncDispose]();
    this.#log.close();
  }

  async #live(): Promise<void> {
    while (!this.#ending) {
      this.#asked = false;
      const child = this.#child = this.#spawn();
      const logged = this.#write(child.stderr);
      await child.status;
      await logged;
      await child.stdin.close().catch(() => {});
      if (this.#ending || this.#asked) continue;
      this.unasked++;
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
    this.#child = undefined;
  }

  async #write(stderr: ReadableStream<Uint8Array>): Promise<void> {
    for await (const chunk of stderr) await this.#log.write(chunk);
  }

  #spawn(): Deno.ChildProcess {
    const url = new URL(this.#proxy.through(this.#options.url));
    url.searchParams.set("application_name", this.name);
    return new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "-A", "--no-check", CLI, "consume", "--json", "--database", url.href, "--lease", `${LEASE}s`],
        ...IMPORTS.flatMap((file) => ["--import", file]),
      ],
      cwd: ROOT,
      env: {
        NO_COLOR: "1",
        DENO_V8_FLAGS: "--expose-gc", // so that its reports are of what is used, and not of garbage
        FIREFLY_SOAK_REPORT: this.#report,
        FIREFLY_SOAK_INTERVAL: String(this.#options.interval),
      },
      detached: true, // Ctrl-C is for the soak, which stops it
      stdin: "piped", // it ends when this closes
      stdout: "null",
      stderr: "piped",
    }).spawn();
  }

  get #report(): string {
    return `${this.#options.out}/${this.name}.report.json`;
  }
}
