import { type CliProcess, startCli } from "../../support/process.ts";
import { TcpProxy } from "../../support/tcp_proxy.ts";
import { until } from "../../support/waiting.ts";

/** The program of a consumer, which starts in two thirds of the time of `cli.ts consume`. */
const PROGRAM = new URL("./consumer.ts", import.meta.url).pathname;
/** How long a machine may take to start one that does much else, in milliseconds. */
const TIMEOUT = 300_000;

/** How consumers are started. */
export interface SpareOptions {
  readonly concurrency: number;
  /** Where their source is. @default this repository */
  readonly root?: string | undefined;
}

/**
 * A consumer in a process of its own, behind a proxy of its own. It has been started, and its connections wait at the
 * proxy: to start a process takes far longer than what a test does with it.
 */
export class Spare implements AsyncDisposable {
  readonly process: CliProcess;
  readonly proxy: TcpProxy;
  readonly #opened: PromiseWithResolvers<void>;

  private constructor(process: CliProcess, proxy: TcpProxy, opened: PromiseWithResolvers<void>) {
    this.process = process;
    this.proxy = proxy;
    this.#opened = opened;
  }

  /** Starts one, and waits until it connects. */
  static async start(url: string, { concurrency, root }: SpareOptions): Promise<Spare> {
    const proxy = await TcpProxy.start(url);
    const opened = Promise.withResolvers<void>();
    proxy.gate = opened.promise;
    const process = startCli([proxy.through(url), String(concurrency)], {
      program: PROGRAM,
      root,
      ...(root === undefined ? {} : { env: { ROOT: root } }),
    });
    const spare = new Spare(process, proxy, opened);
    try {
      await until(() => proxy.accepted > 0, TIMEOUT);
      return spare;
    } catch (error) {
      await spare[Symbol.asyncDispose]();
      throw new Error(`A consumer did not connect: ${spare.process.log.join("\n")}`, { cause: error });
    }
  }

  /** Lets it at the database. */
  readonly open = (): void => {
    this.proxy.gate = undefined;
    this.#opened.resolve();
  };

  /** Ends it as a crash does, and its connections, as the system does for a process that is gone. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.process[Symbol.asyncDispose]();
    await this.proxy[Symbol.asyncDispose]();
  }
}

/** Spares of one database, of which some are always being started. */
export class Spares implements AsyncDisposable {
  readonly #start: () => Promise<Spare>;
  readonly #waiting: Promise<Spare>[];

  /** Begins to start `count` of them. */
  constructor(url: string, count: number, options: SpareOptions) {
    this.#start = () => {
      const starting = Spare.start(url, options);
      starting.catch(() => {}); // take() throws it
      return starting;
    };
    this.#waiting = Array.from({ length: count }, this.#start);
  }

  /** The one that was started first; another takes its place. */
  async take(): Promise<Spare> {
    const first = this.#waiting.shift()!;
    this.#waiting.push(this.#start());
    return await first;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const spares = await Promise.allSettled(this.#waiting);
    await Promise.all(spares.map((spare) => spare.status === "fulfilled" && spare.value[Symbol.asyncDispose]()));
  }
}
