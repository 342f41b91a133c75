import type { ConsumerConfig } from "../attempt/consumer_config.ts";
import type { Admission } from "../claim/admission.ts";
import type { Dependants } from "../claim/dependants.ts";
import type { ServedQueues } from "../claim/served_queues.ts";
import type { Tag } from "../database/driver.ts";
import { isServerFault } from "../database/error_codes.ts";
import { DatabaseUnreachable, InstanceClosed } from "../errors.ts";
import type { Emitter } from "../events.ts";
import { type ParkedTasks, parkUnknownTasks, unparkKnownTasks } from "../store/waiting.ts";
import { removeExpiredConsumers } from "../store/consumers.ts";
import { requeueUnplaced } from "../store/unplaced.ts";
import { deleteGoneProcesses } from "../store/consumer_records.ts";
import { Rescuer } from "./rescuer.ts";
import { deleteEndedSlots, returnIdleSlots } from "../store/limits.ts";
import { Pruner } from "../records/pruner.ts";
import { deleteExpiredWaiters } from "../store/records.ts";
import { repairFailedTasks } from "../store/failed_tasks.ts";
import { deleteExpiredKeys } from "../store/unique.ts";
import type { Statistics } from "../statistics/statistics.ts";

/** What {@linkcode Maintenance} works with. */
export interface MaintenanceOptions {
  readonly sql: Tag;
  readonly events: Emitter;
  readonly config: Pick<ConsumerConfig, "names" | "leaseMs" | "drain">;
  readonly queues: Pick<ServedQueues, "names">;
  /** Gets a request where a round has freed slots of limits, or where a crashed consumer may have made none. */
  readonly admission: Admission;
  /** Gets a request in each round: an end may have been noted by a statement of another program. */
  readonly dependants: Pick<Dependants, "requestAll" | "idle">;
  /** What counts the attempts of this consumer; undefined if that is switched off. */
  readonly statistics?: Statistics | undefined;
  /** Called when a step failed, or left a record out; the next round repeats it. */
  onError(step: string, error: unknown): void;
  /** Called after a step that did not fail. */
  onSuccess(step: string): void;
}

/** Rounds between two searches for unplaced tasks. */
const UNPLACED_ROUNDS = 4;
/** How long a round may prune while there is more to delete, in milliseconds: rescues must not wait for it. */
const PRUNE_TIME = 1000;
/** How long a consumer that drains searches for unplaced tasks before it claims any, in milliseconds. */
const DRAIN_TIME = 2000;
/** The most names and queues whose tasks are reported as parked. */
const MOST_REPORTED = 1000;
/** The longest pause between two rounds, in milliseconds; with short leases it is a sixth of one. */
const LONGEST_PAUSE = 5_000;

/** One step of a round: its name, and what it does. */
type Step = [name: string, run: () => unknown];

/**
 * The work that every consumer does for all of them, with SKIP LOCKED and no leader: removes expired consumers and
 * rescues their tasks, releases the dependants of tasks that have ended, parks tasks of unknown names, returns idle
 * slots of limits, prunes old records, requeues unplaced tasks, and repairs the list of failed ones. It writes its own
 * statistics in between.
 */
export class Maintenance {
  readonly #options: MaintenanceOptions;
  readonly #pruner: Pruner;
  readonly #rescuer: Rescuer;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #round: Promise<void> = Promise.resolve();
  #rounds = 0;
  readonly #reported = new Set<string>();
  #unplacedCursor = 0;
  #failedCursor = 0;
  #ended = false;

  constructor(options: MaintenanceOptions) {
    this.#options = options;
    this.#pruner = new Pruner(options.sql);
    this.#rescuer = new Rescuer(options);
  }

  /**
   * Unparks tasks that this consumer knows, then starts its timer. A consumer that drains may be gone before the first
   * round: it first puts back what crashed consumers have left, and what stands nowhere.
   */
  async start(): Promise<void> {
    const { sql, config: { names, drain }, queues, dependants } = this.#options;
    const release: Step = ["release dependants", () => dependants.idle()];
    const unpark: Step = ["unpark tasks", () => unparkKnownTasks(sql, { queues: queues.names, names })];
    const until = performance.now() + DRAIN_TIME;
    await this.#runSteps(
      drain ? [...this.#rescueSteps, unpark, ["requeue tasks", () => this.#requeue(until)], release] : [unpark],
    );
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
      this.#round = this.#runSteps(this.#nextSteps()).finally(() => this.#schedule(this.#pause));
    }, ms);
  }

  get #rescueSteps(): Step[] {
    const { sql } = this.#options;
    return [
      ["remove expired consumers", () => removeExpiredConsumers(sql)],
      ["rescue tasks", () => this.#rescuer.rescue(() => this.#ended)],
      ["look for dependants", () => this.#options.dependants.requestAll()],
    ];
  }

  #nextSteps(): Step[] {
    const { sql, config: { names }, queues: { names: queues } } = this.#options;
    const steps: Step[] = [
      ...this.#rescueSteps,
      ["unpark tasks", () => unparkKnownTasks(sql, { queues, names })],
      ["park tasks", async () => this.#report(await parkUnknownTasks(sql, queues))],
      ["return slots", () => returnIdleSlots(sql)],
      ["delete ended slots", () => deleteEndedSlots(sql)],
      ["admit tasks", () => this.#options.admission.requestAll()],
      ["prune records", () => this.#prune()],
      ["write statistics", () => this.#options.statistics?.maintain()],
    ];
    if (this.#rounds++ % UNPLACED_ROUNDS !== 0) return steps;
    return [
      ...steps,
      ["requeue tasks", () => this.#requeue(0)],
      ["repair failed tasks", () => this.#repairFailed()],
      ["delete expired waiters", () => deleteExpiredWaiters(sql)],
      ["delete gone processes", () => deleteGoneProcesses(sql)],
      ["delete expired keys", () => this.#deleteKeys()],
    ];
  }

  /** Runs the steps of a round. One that fails does not keep the others from it, unless the server itself is at fault. */
  async #runSteps(steps: Step[]): Promise<void> {
    const { onError, onSuccess } = this.#options;
    for (const [name, run] of steps) {
      if (this.#ended) return;
      try {
        await run();
        onSuccess(name);
      } catch (error) {
        onError(name, error);
        if (isServerFault(error) || error instanceof DatabaseUnreachable || error instanceof InstanceClosed) return;
      }
    }
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
      ({ full } = await this.#pruner.prune({ after: null }));
    }
    if (this.#pruner.problem) throw this.#pruner.problem;
  }

  /** Searches for unplaced tasks: one batch of records, and more until a time. */
  async #requeue(until: number): Promise<void> {
    do {
      this.#unplacedCursor = (await requeueUnplaced(this.#options.sql, this.#unplacedCursor)).last;
    } while (this.#unplacedCursor > 0 && !this.#ended && performance.now() < until);
  }

  async #repairFailed(): Promise<void> {
    this.#failedCursor = (await repairFailedTasks(this.#options.sql, this.#failedCursor)).last;
  }

  async #deleteKeys(): Promise<void> {
    while (await deleteExpiredKeys(this.#options.sql) > 0) if (this.#ended) break;
  }
}
