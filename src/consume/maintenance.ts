import type { Admission } from "../claim/admission.ts";
import type { Tag } from "../database/driver.ts";
import type { Emitter } from "../events.ts";
import { parkUnknownTasks, unparkKnownTasks } from "../store/waiting.ts";
import { removeExpiredConsumers, requeueUnplaced, rescueTasks } from "../store/consumers.ts";
import { deleteEndedSlots, returnIdleSlots } from "../store/limits.ts";
import { pruneTasks } from "../store/prune.ts";
import { deleteExpiredWaiters } from "../store/records.ts";
import { deleteExpiredKeys } from "../store/unique.ts";

/** What maintenance looks after. */
export interface MaintenanceOptions {
  sql: Tag;
  events: Emitter;
  /** Asked to let limited tasks in wherever a round has freed slots, or somebody may have failed to ask. */
  admission: Admission;
  queues: string[];
  names: string[];
  /** Seconds between two rounds. */
  interval: number;
  /** Called when a round failed; the next one comes all the same. */
  onError(error: unknown): void;
  /** Called after a round that did not fail. */
  onSuccess(): void;
}

/** Rounds between two looks at the records for such as stand nowhere. */
const UNPLACED_ROUNDS = 4;
/** How long a round may prune while there is more to delete, in milliseconds: rescues must not wait for it. */
const PRUNE_TIME = 1000;

/**
 * What any consumer does for all of them, with SKIP LOCKED and no leader: bury the dead, rescue their tasks, keep
 * unknown names out of the way, give idle slots of limits to others, prune old records, and put back what was left
 * nowhere.
 */
export class Maintenance {
  readonly #options: MaintenanceOptions;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #round: Promise<void> = Promise.resolve();
  #rounds = 0;
  #unplacedCursor = 0;
  #ended = false;

  constructor(options: MaintenanceOptions) {
    this.#options = options;
  }

  /** Takes back what this consumer knows and was parked as unknown, then goes round by its timer. */
  async start(): Promise<void> {
    const { sql, queues, names, interval, onError } = this.#options;
    await unparkKnownTasks(sql, { queues, names }).catch(onError);
    this.#schedule(Math.random() * interval);
  }

  /** Stops, and waits for the round under way. */
  async end(): Promise<void> {
    this.#ended = true;
    clearTimeout(this.#timer);
    await this.#round;
  }

  #schedule(seconds: number): void {
    if (this.#ended) return;
    this.#timer = setTimeout(() => {
      this.#round = this.#run()
        .then(() => this.#options.onSuccess(), (error) => this.#options.onError(error))
        .finally(() => this.#schedule(this.#options.interval));
    }, seconds * 1000);
  }

  async #run(): Promise<void> {
    const { sql, queues, names } = this.#options;
    await removeExpiredConsumers(sql);
    await this.#rescue();
    await unparkKnownTasks(sql, { queues, names });
    await parkUnknownTasks(sql, queues);
    await returnIdleSlots(sql);
    await deleteEndedSlots(sql);
    this.#options.admission.requestAll();
    await this.#prune();
    if (this.#rounds++ % UNPLACED_ROUNDS !== 0) return;
    this.#unplacedCursor = (await requeueUnplaced(sql, this.#unplacedCursor)).last;
    await deleteExpiredWaiters(sql);
    while (await deleteExpiredKeys(sql) > 0) if (this.#ended) break;
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
      for (const { id, funcName, queue, status, concurrencyKey, rateKey } of rescued) {
        this.#options.events.emit("rescued", { id, funcName, queue, failed: status === "failed" });
        this.#options.admission.requestFor(concurrencyKey, rateKey);
      }
      if (rescued.length === 0 || this.#ended) return;
    }
  }
}
