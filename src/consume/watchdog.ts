import process from "node:process";
import { Worker } from "node:worker_threads";
import type { AttemptInfo, Emitter } from "../events.ts";
import { WATCHDOG_WORKER } from "./watchdog_worker.ts";

/** What is watched, and what comes of it. */
export interface WatchdogOptions {
  readonly events: Emitter;
  /** The id of the consumer, for its events. */
  consumerId(): string;
  /** Seconds of the consumer's lease. */
  readonly lease: number;
  /** The names of the tasks that may run. */
  readonly names: readonly string[];
  /** Whether it ends the process; else it only tells of a block once that is over. */
  readonly ends: boolean;
  /** Whether its last words are for people; else they are JSON. */
  readonly pretty: boolean;
}

/**
 * The part of a lease for which the event loop may be blocked. A renewal is sent every third of it, so a block begins at
 * most a third after the last one: with this, the process is gone before its lease is.
 */
const LIMIT = 0.6;
/** The part of a lease after which a block is told of: a renewal was late. */
const REMARKABLE = 1 / 3;
/** Milliseconds between two looks: a fortieth of the lease within these bounds. */
const [SHORTEST_TICK, LONGEST_TICK] = [25, 500];
/** How much later than it should a look may come, in ticks, to count. */
const PUNCTUAL = 3;

/** Where the shared memory holds what the thread reads: two integers, then the id of the task that began last. */
const [BEATS, NAME, MEMORY] = [0, 1, 16];

/** Watches the event loop, which renews the lease: a handler that blocks it keeps the whole consumer from doing so. */
export class Watchdog {
  readonly #options: WatchdogOptions;
  readonly #tick: number;
  readonly #shared = new SharedArrayBuffer(MEMORY);
  readonly #cells = new Int32Array(this.#shared, 0, 2);
  readonly #ids = new Float64Array(this.#shared, 8, 1);
  readonly #places: Map<string, number>;
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #unsubscribe: () => void;
  #worker: Worker | undefined;
  #beatAt = performance.now();
  #cpu = process.cpuUsage();
  #last: AttemptInfo | undefined;

  /** Begins to watch. */
  constructor(options: WatchdogOptions) {
    this.#options = options;
    this.#tick = Math.min(Math.max(options.lease * 25, SHORTEST_TICK), LONGEST_TICK);
    this.#places = new Map(options.names.map((name, place) => [name, place]));
    this.#cells[NAME] = -1;
    if (options.ends) this.#startThread();
    this.#unsubscribe = options.events.on("started", (attempt) => this.#began(attempt));
    this.#timer = setInterval(() => this.#beat(), this.#tick);
    this.#timer.unref();
    this.#beatAt = performance.now();
  }

  /** Watches no more. */
  async end(): Promise<void> {
    clearInterval(this.#timer);
    this.#unsubscribe();
    await this.#worker?.terminate();
  }

  #startThread(): void {
    const { names, lease, pretty, events, consumerId } = this.#options;
    const [limit, tick, late] = [lease * 1000 * LIMIT, this.#tick, this.#tick * PUNCTUAL];
    const workerData = { shared: this.#shared, names, limit, tick, late, pretty };
    const report = (error: unknown) =>
      events.emit("consumer.error", { consumerId: consumerId(), action: "watch the event loop", error });
    try {
      this.#worker = new Worker(WATCHDOG_WORKER, { eval: true, workerData });
      this.#worker.on("error", report);
      this.#worker.unref();
    } catch (error) {
      report(error);
    }
  }

  /** On the hot path: it writes to memory that the thread reads when nobody can be asked any more. */
  #began(attempt: AttemptInfo): void {
    this.#last = attempt;
    if (!this.#worker) return;
    this.#ids[0] = attempt.id;
    Atomics.store(this.#cells, NAME, this.#places.get(attempt.funcName) ?? -1);
  }

  #beat(): void {
    Atomics.add(this.#cells, BEATS, 1);
    const [since, cpuBefore] = [this.#beatAt, this.#cpu];
    this.#beatAt = performance.now();
    this.#cpu = process.cpuUsage();
    const seconds = (this.#beatAt - since - this.#tick) / 1000;
    if (seconds < this.#options.lease * REMARKABLE) return;
    const cpuSeconds = (this.#cpu.user + this.#cpu.system - cpuBefore.user - cpuBefore.system) / 1e6;
    const { events, consumerId } = this.#options;
    const { id, funcName } = this.#last ?? {};
    events.emit("consumer.blocked", { consumerId: consumerId(), seconds, cpuSeconds, id, funcName });
  }
}
