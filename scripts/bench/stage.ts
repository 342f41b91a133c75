import postgres from "postgres";
import { Child, type Started } from "./child_process.ts";
import type { Setup } from "./drivers/driver.ts";
import type { Installed } from "./packages.ts";
import type { Peer } from "./peers.ts";
import { cpuOf, cpuOfMachine, cpuWithEnded, memoryOf } from "./proc.ts";
import type { Metrics } from "./results.ts";
import type { Sizes } from "./scenarios.ts";
import type { BenchServer } from "./server.ts";

/** What a stage is made of. */
export interface StageOptions {
  readonly server: BenchServer;
  readonly peer: Peer;
  readonly installed: Installed;
  readonly sizes: Sizes;
  readonly effects?: boolean;
  /** How long it may take, in milliseconds. */
  readonly timeout: number;
  readonly signal: AbortSignal;
}

/** One peer in a database of its own, with the processes that it takes; they end with the stage. */
export class Stage implements AsyncDisposable {
  readonly peer: Peer;
  readonly sizes: Sizes;
  readonly signal: AbortSignal;
  readonly #server: BenchServer;
  readonly #setup: Setup;
  readonly #programs: Installed;
  readonly #children: Child[] = [];
  #sql: postgres.Sql;
  #control: Child | undefined;
  readonly #timer: ReturnType<typeof setTimeout>;
  readonly #timeout: number;
  #isLate = false;

  private constructor(options: StageOptions, url: string, directory: string) {
    const { server, peer, installed, sizes, effects = false, timeout, signal } = options;
    [this.peer, this.sizes, this.signal, this.#server, this.#programs] = [peer, sizes, signal, server, installed];
    this.#timeout = timeout;
    const { driver, config, program = "main", tree } = peer;
    this.#setup = {
      program,
      ...(tree === undefined ? {} : { tree }),
      driver,
      url,
      directory,
      packages: installed.directory,
      effects,
      config,
    };
    this.#sql = openClient(url);
    signal.addEventListener("abort", this.#end);
    this.#timer = setTimeout(() => {
      this.#isLate = true;
      this.#end();
    }, timeout);
  }

  /** Makes a database, and has the peer make its tables there. */
  static async open(options: StageOptions): Promise<Stage> {
    // On the disk of the server, for what keeps its tasks in a file.
    const parent = options.server.directory;
    const directory = await Deno.makeTempDir({ prefix: "firefly_bench_", ...(parent ? { dir: parent } : {}) });
    const stage = new Stage(options, await options.server.freshDatabase(), directory);
    try {
      stage.#control = stage.startChild();
      await stage.control.ask("install");
      return stage;
    } catch (error) {
      await stage[Symbol.asyncDispose]();
      throw error;
    }
  }

  get url(): string {
    return this.#setup.url;
  }

  /** A client of the harness's own. */
  get sql(): postgres.Sql {
    return this.#sql;
  }

  /** Milliseconds of CPU that the server has used. */
  get serverCpu(): number {
    return this.#server.cpu();
  }

  /** The server, with what it counts. */
  get server(): BenchServer {
    return this.#server;
  }

  /** The process that makes tables, fills them, and looks at what is left. */
  get control(): Child {
    return this.#control!;
  }

  /** The number of tasks for a bulk or a drain. */
  get tasks(): number {
    return Math.ceil(this.sizes.tasks * this.peer.share);
  }

  /** Starts a process of the peer. */
  startChild(): Child {
    this.#check();
    const child = new Child(this.peer.runtime, this.#setup, this.#programs);
    this.#children.push(child);
    return child;
  }

  /** Starts a process that schedules, and has it schedule some that do not count. */
  async startProducer(at = 1): Promise<Child> {
    const child = this.startChild();
    await child.ask("schedule", { count: 10 + 10 * at, at });
    return child;
  }

  /** Starts a process, without a consumer so far, and waits until it has loaded all it needs. */
  async startIdle(): Promise<Child> {
    const child = this.startChild();
    await child.ask("latencies");
    return child;
  }

  /** Ends the sessions of the harness's own client, and waits until no other is left. */
  async endSessions(): Promise<void> {
    await this.#sql.end({ timeout: 1 });
    this.#sql = openClient(this.url);
    await this.waitFor(async () => await this.#server.sessions() === 0);
  }

  /** Leaves the tables as they are after a while: vacuumed, analyzed, and written to disk. */
  async settle(): Promise<void> {
    await this.#sql`VACUUM ANALYZE`;
    await this.#server.checkpoint();
  }

  /** Measures what `act` costs: WAL, CPU and the noise; `act` resolves to the number of tasks. */
  async account(children: readonly Child[], act: () => Promise<{ count: number; metrics: Metrics }>): Promise<Metrics> {
    await this.#server.checkpoint();
    const before = await this.#meter(children);
    const { count, metrics } = await act();
    const after = await this.#meter(children);
    const spent = (name: keyof typeof before) => after[name] - before[name];
    const capacity = spent("time") * navigator.hardwareConcurrency;
    const known = spent("server") + spent("all") + spent("other") + spent("self");
    const all = {
      wal: spent("wal") / count,
      statements: spent("statements") / count,
      serverCpu: (this.peer.redis ? spent("other") : spent("server")) * 1000 / count,
      clientCpu: children.length > 0 ? spent("children") * 1000 / count : NaN,
      memory: Math.max(...children.map(({ pid }) => memoryOf(pid).most)),
      others: Math.max(0, spent("busy") - known) / capacity,
      steal: spent("stolen") / capacity,
    };
    const found = Object.entries(all).filter(([, value]) => Number.isFinite(value));
    return { ...metrics, ...Object.fromEntries(found) };
  }

  /** Ends all processes: what they are asked is refused then, and so the measurement ends. */
  readonly #end = () => this.#children.forEach((child) => void child[Symbol.asyncDispose]());

  #check(): void {
    this.signal.throwIfAborted();
    if (this.#isLate) throw new Error(`It took longer than ${this.#timeout / 1000} s`);
  }

  async #meter(children: readonly Child[]) {
    const { cpu: other } = await this.control.ask("serverCpu");
    const wal = await this.#server.wal();
    const { busy, stolen } = cpuOfMachine();
    const self = cpuWithEnded(Deno.pid);
    const cpu = (of: readonly Child[]) => of.reduce((total, { pid }) => total + cpuOf(pid), 0);
    return {
      time: performance.now(),
      wal,
      statements: await this.#server.statements(),
      server: this.#server.cpu(),
      children: cpu(children),
      all: cpu(this.#children),
      other,
      busy,
      stolen,
      self,
    };
  }

  /** Waits until consumers have started `count` tasks, and none is left. */
  async waitUntilDone(consumers: readonly Child[], count: number): Promise<void> {
    await this.waitFor(() => startedBy(consumers) >= count);
    await this.waitFor(async () => (await this.control.ask("remaining")).remaining === 0);
  }

  /** Looks again and again. */
  async waitFor(isSo: () => boolean | Promise<boolean>): Promise<void> {
    while (!await isSo()) await this.sleep(2);
  }

  /** Waits for some milliseconds. */
  async sleep(milliseconds: number): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
    this.#check();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#timer);
    this.signal.removeEventListener("abort", this.#end);
    await Promise.all(this.#children.map((child) => child[Symbol.asyncDispose]()));
    await this.#sql.end({ timeout: 1 });
    await Deno.remove(this.#setup.directory, { recursive: true });
  }
}

function openClient(url: string): postgres.Sql {
  return postgres(url, { max: 2, onnotice() {}, fetch_types: false });
}

/** How many tasks consumers have started. */
export function startedBy(consumers: readonly { progress: Started }[]): number {
  return consumers.reduce((total, { progress }) => total + progress.started, 0);
}
