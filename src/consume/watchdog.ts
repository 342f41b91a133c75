import process from "node:process";
import { Worker } from "node:worker_threads";
import { Attempt } from "../attempt/attempt.ts";
import type { ConsumerConfig } from "../attempt/consumer_config.ts";
import type { AttemptInfo, Emitter } from "../events.ts";
import { WATCHDOG_WORKER } from "./watchdog_worker.ts";

/** What a {@linkcode Watchdog} works with. */
export interface WatchdogOptions {
  /** With `watchdog` it ends the process; without, it only reports a block once that is over. */
  readonly config: Pick<ConsumerConfig, "leaseMs" | "names" | "watchdog">;
  readonly events: Emitter;
  /** Its id goes into events. */
  readonly consumer: { readonly id: string };
}

/**
 * The part of a lease for which the event loop may be blocked. A renewal is sent every third of it, so a block begins at
 * most a third after the last one: with this, the process is gone before its lease is.
 */
const LIMIT = 0.6;
/** The part of a lease after which a block is reported: a renewal was late. */
const REPORTED = 1 / 3;
/** Milliseconds between two looks: a fortieth of the lease, within these bounds. */
const [SHORTEST_TICK, LONGEST_TICK] = [25, 500];
/** An interval counts if it lasts no longer than this many ticks. */
const PUNCTUAL = 3;

/** The layout of the shared memory that the thread reads: two integers, then the id of the task that started last. */
const [BEATS, NAME, MEMORY] = [0, 1, 16];

/** Watches the event loop: while a handler blocks it, the consumer cannot renew its lease. See docs/watchdog.md. */
export class Watchdog {
  readonly #options: WatchdogOptions;
  readonly #tick: number;
  readonly #shared = new SharedArrayBuffer(MEMORY);
  readonly #cells = new Int32Array(this.#shared, 0, 2);
  readonly #ids = new Float64Array(this.#shared, 8, 1);
  readonly #places: Map<string, number>;
  readonly #timer: ReturnType<typeof setInterval>;
  #unsubscribe: (() => void) | undefined;
  #worker: Worker | undefined;
  #beatAt = performance.now();
  #cpu = process.cpuUsage();

  /** Starts watching. */
  constructor(options: WatchdogOptions) {
    this.#options = options;
    this.#tick = Math.min(Math.max(options.config.leaseMs / 40, SHORTEST_TICK), LONGEST_TICK);
    this.#places = new Map(options.config.names.map((name, place) => [name, place]));
    this.#cells[NAME] = -1;
    if (options.config.watchdog) this.#startThread();
    this.#timer = setInterval(() => this.#beat(), this.#tick);
    this.#timer.unref();
    this.#beatAt = performance.now();
  }

  /** Stops watching. */
  async end(): Promise<void> {
    clearInterval(this.#timer);
    this.#unsubscribe?.();
    await this.#worker?.terminate();
  }

  #startThread(): void {
    const { config: { names, leaseMs }, events, consumer } = this.#options;
    const [limit, tick, late] = [leaseMs * LIMIT, this.#tick, this.#tick * PUNCTUAL];
    const workerData = { shared: this.#shared, names, limit, tick, late };
    const report = (error: unknown) =>
      events.emit("consumer.error", { consumerId: consumer.id, action: "watch the event loop", error });
    try {
      this.#worker = new Worker(WATCHDOG_WORKER, { eval: true, workerData });
      this.#worker.on("error", report);
      this.#worker.unref();
      this.#unsubscribe = events.on("started", (attempt) => this.#onStarted(attempt));
    } catch (error) {
      report(error);
    }
  }

  /** On the hot path: writes to memory, which the thread can still read while the event loop is blocked. */
  #onStarted(attempt: AttemptInfo): void {
    this.#ids[0] = attempt.id;
    Atomics.store(this.#cells, NAME, this.#places.get(attempt.funcName) ?? -1);
  }

  #beat(): void {
    Atomics.add(this.#cells, BEATS, 1);
    const [since, cpuBefore] = [this.#beatAt, this.#cpu];
    this.#beatAt = performance.now();
    this.#cpu = process.cpuUsage();
    const seconds = (this.#beatAt - since - this.#tick) / 1000;
    if (seconds * 1000 < this.#options.config.leaseMs * REPORTED) return;
    const cpuSeconds = (this.#cpu.user + this.#cpu.system - cpuBefore.user - cpuBefore.system) / 1e6;
    const { events, consumer } = this.#options;
    const { id, funcName } = Attempt.latest ?? {};
    events.emit("consumer.blocked", { consumerId: consumer.id, seconds, cpuSeconds, id, funcName });
  }
}
