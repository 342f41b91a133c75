import type { ConsumerConfig } from "../attempt/consumer_config.ts";
import type { Admission } from "../claim/admission.ts";
import type { ServedQueues } from "../claim/served_queues.ts";
import type { Tag } from "../database/driver.ts";
import type { Emitter } from "../events.ts";
import { type ParkedTasks, parkUnknownTasks, unparkKnownTasks } from "../store/waiting.ts";
import { removeExpiredConsumers, requeueUnplaced, rescueTasks } from "../store/consumers.ts";
import { deleteGoneProcesses } from "../store/consumer_records.ts";
import { deleteEndedSlots, returnIdleSlots } from "../store/limits.ts";
import { pruneTasks } from "../store/prune.ts";
import { deleteExpiredWaiters } from "../store/records.ts";
import { deleteExpiredKeys } from "../store/unique.ts";

/** What {@linkcode Maintenance} works with. */
export interface MaintenanceOptions {
  readonly sql: Tag;
  readonly events: Emitter;
  readonly config: Pick<ConsumerConfig, "names" | "leaseMs">;
  readonly queues: Pick<ServedQueues, "names">;
  /** Gets a request where a round has freed slots of limits, or where a crashed consumer may have made none. */
  readonly admission: Admission;
  /** Called when a round failed; the next one follows as planned. */
  onError(error: unknown): void;
  /** Called after a round that did not fail. */
  onSuccess(): void;
}

/** Rounds between two searches for unplaced tasks. */
const UNPLACED_ROUNDS = 4;
/** How long a round may prune while there is more to delete, in milliseconds: rescues must not wait for it. */
const PRUNE_TIME = 1000;
/** The most names and queues whose tasks are reported as parked. */
const MOST_REPORTED = 1000;
/** The longest pause between two rounds, in milliseconds; with short leases it is a sixth of one. */
const LONGEST_PAUSE = 5_000;

/**
 * The work that every consumer does for all of them, with SKIP LOCKED and no leader: removes expired consumers and
 * rescues their tasks, parks tasks of unknown names, returns idle slots of limits, prunes old records, and requeues
 * unplaced tasks.
 */
export class Maintenance {
  readonly #options: MaintenanceOptions;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #round: Promise<void> = Promise.resolve();
  #rounds = 0;
  readonly #reported = new Set<string>();
  #unplacedCursor = 0;
  #ended = false;

  constructor(options: MaintenanceOptions) {
    this.#options = options;
  }

  /** Unparks tasks that this consumer knows, then starts its timer. */
  async start(): Promise<void> {
    const { sql, config: { names }, queues, onError } = this.#options;
    await unparkKnownTasks(sql, { queues: queues.names, names }).catch(onError);
    this.#schedule(Math.random() * this.#pause);
  }

  /** Stops, and waits for the round in progress. */
  async end(): Promise<void> {
    this.#ended = true;
    clearTimeout(this.#timer);
    await this.#round;
  }

  get #pause(): number {
    return Math.min(this.#options.config.leaseMs / 6, LONGEST_PAUSE);
  }

  #schedule(ms: number): void {
    if (this.#ended) return;
    this.#timer = setTimeout(() => {
      this.#round = this.#run()
        .then(() => this.#options.onSuccess(), (error) => this.#options.onError(error))
        .finally(() => this.#schedule(this.#pause));
    }, ms);
  }

  async #run(): Promise<void> {
    const { sql, config: { names }, queues: { names: queues } } = this.#options;
    await removeExpiredConsumers(sql);
    await this.#rescue();
    await unparkKnownTasks(sql, { queues, names });
    this.#report(await parkUnknownTasks(sql, queues));
    await returnIdleSlots(sql);
    await deleteEndedSlots(sql);
    this.#options.admission.requestAll();
    await this.#prune();
    if (this.#rounds++ % UNPLACED_ROUNDS !== 0) return;
    this.#unplacedCursor = (await requeueUnplaced(sql, this.#unplacedCursor)).last;
    await deleteExpiredWaiters(sql);
    await deleteGoneProcesses(sql);
    while (await deleteExpiredKeys(sql) > 0) if (this.#ended) break;
  }

  /** Emits `parked`, once for each name and queue: more of them may come with every round. */
  #report(parked: readonly ParkedTasks[]): void {
    for (const { funcName, queue, count } of parked) {
      const key = `${queue}:${funcName}`;
      if (this.#reported.has(key) || this.#reported.size >= MOST_REPORTED) continue;
      this.#reported.add(key);
      this.#options.events.emit("parked", { funcName, queue, count });
    }
  }

  async #prune(): Promise<void> {
    const until = performance.now() + PRUNE_TIME;
    for (let full = true; full && !this.#ended && performance.now() < until;) {
      ({ full } = await pruneTasks(this.#options.sql, { after: null }));
    }
  }

  async #rescue(): Promise<void> {
    for (;;) {
      const rescued = await rescueTasks(this.#options.sql);
      for (const { id, funcName, queue, status, attemptedBy, concurrencyKey, rateKey } of rescued) {
        this.#options.events.emit("rescued", { id, funcName, queue, failed: status === "failed", attemptedBy });
        this.#options.admission.requestFor(concurrencyKey, rateKey);
      }
      if (rescued.length === 0 || this.#ended) return;
    }
  }
}
