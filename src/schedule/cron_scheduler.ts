import { cleanExpression, parseCron, type Slots } from "../task/cron_expression.ts";
import { namesOf, type TaskDefinition } from "../task/definition.ts";
import type { Tag } from "../database/driver.ts";
import type { TaskOptions } from "../task/options.ts";
import { newTasks } from "./new_tasks.ts";
import { fireCron, type NewCron, ownCrons, pruneCronSlots, readClock, registerCrons } from "../store/cron.ts";
import type { Tracing } from "../telemetry/tracing.ts";
import { Wakeup } from "../wakeup.ts";

/** The parameters of a {@linkcode CronScheduler}. */
export interface CronSchedulerOptions {
  sql: Tag;
  /** The tasks that the consumer knows, by name and alias. */
  definitions: ReadonlyMap<string, TaskDefinition>;
  defaults: Pick<TaskOptions, "queue" | "maxRetries" | "retryDelay" | "timeout">;
  /** The id of the consumer, which may change. */
  consumerId(): string;
  /** Traces what the crons schedule. */
  tracing?: Tracing | undefined;
  /** Seconds between two rounds, and so the longest sleep. @default 60 */
  round?: number;
  /** Called after a failure, which is retried. */
  onError(error: unknown): void;
  /** Called after success. */
  onSuccess(): void;
}

/** A cron with its slots and its progress. */
export interface PlannedCron extends NewCron {
  readonly slots: Slots;
  /** All slots up to this time were fired or skipped. */
  after: Date;
  next: Date | null;
}

/** A slot is missed if it is later than this, in milliseconds. */
const LATE = 60_000;
/** How many missed slots are fired afterwards. */
const MISSED_SLOTS = { skip: 0, one: 1, all: 1_000 } as const;

/**
 * Schedules tasks when their slots come. Every consumer has a scheduler and there is no leader: all try to fire a slot,
 * and the database accepts one. The database also decides whether a slot has come. The scheduler only wakes at about the
 * right time, by the database's clock, which it continues between two answers with a monotonic clock.
 *
 * Once a round it reads that clock, deletes old slots, and checks that each cron has a live owner: a consumer with the
 * stored definition. If all of them are gone, as after an old release was started once more during a deploy, it stores
 * its own definition instead.
 */
export class CronScheduler {
  readonly #options: CronSchedulerOptions;
  readonly #wakeup = new Wakeup();
  readonly #round: number;
  #crons: PlannedCron[] = [];
  /** The database's time, and when it was read by `performance.now()`. */
  #clock = { time: 0, readAt: 0 };
  #roundBegan: number = performance.now();
  /** Crons without a live owner in the last round. Consumers with the stored definition have until the next to own them. */
  #abandoned = new Set<string>();
  #isRegistered = false;
  /** Why a cron could not be planned: it does not keep the others. */
  #unplanned: unknown;
  #failures = 0;
  /** Whether the database's clock may have been set. */
  #isClockOld = false;
  #ended = false;
  #running: Promise<void> = Promise.resolve();

  constructor(options: CronSchedulerOptions) {
    this.#options = options;
    this.#round = (options.round ?? 60) * 1000;
  }

  /** Registers the crons, retrying if that fails, and fires their slots from then on. */
  async start(): Promise<void> {
    await this.#turn();
    this.#running = this.#run();
  }

  /** Reads the database's clock again, as it may have been set: tests do that. */
  look(): void {
    if (this.#crons.length === 0) return;
    this.#isClockOld = true;
    this.#wakeup.wake();
  }

  /** Stops, and waits for the action under way. */
  async end(): Promise<void> {
    this.#ended = true;
    this.#wakeup.wake();
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#ended) {
      await this.#wakeup.sleep(this.#pause());
      if (!this.#ended) await this.#turn();
    }
  }

  async #turn(): Promise<void> {
    try {
      if (this.#isRegistered) await this.#fireDue();
      else await this.#register();
      this.#failures = 0;
      if (this.#unplanned === undefined) this.#options.onSuccess();
      else this.#options.onError(this.#unplanned);
    } catch (error) {
      this.#failures++;
      this.#options.onError(error);
    }
  }

  /** Returns the milliseconds until the next slot, or until the retry of a failed action. */
  #pause(): number {
    if (this.#failures > 0) return Math.min(200 * 2 ** (this.#failures - 1), 5000);
    // A consumer without crons only had to register that.
    if (this.#isRegistered && this.#crons.length === 0) return Infinity;
    const next = Math.min(...this.#crons.map(({ next }) => next?.getTime() ?? Infinity));
    // Timers may fire a little early, and 0 would starve the event loop.
    return Math.min(Math.max(1, Math.ceil(next - this.#now())), this.#round);
  }

  async #register(): Promise<void> {
    const { sql, definitions, defaults } = this.#options;
    const planned = await Promise.allSettled(
      [...new Set(definitions.values())]
        .filter(({ cron }) => cron !== undefined)
        .map((definition) => planCron(definition, { defaults, schema: sql.schemaName })),
    );
    const crons = planned.flatMap((outcome) => outcome.status === "fulfilled" ? [outcome.value] : []);
    [this.#unplanned] = planned.flatMap((outcome) => outcome.status === "rejected" ? [outcome.reason] : []);
    await this.#store(crons, { names: [...definitions.keys()] });
    this.#crons = crons;
    this.#isRegistered = true;
  }

  /** Stores these definitions. */
  async #store(crons: PlannedCron[], options: { names: string[]; onlyAbandoned?: boolean }): Promise<void> {
    const { sql, consumerId } = this.#options;
    const stored = crons.map(({ slots: _, after: __, next: ___, ...cron }) => cron);
    const registered = await registerCrons(sql, { consumerId: consumerId(), crons: stored, ...options });
    for (const { name, after, at } of registered) {
      this.#setClock(at);
      const cron = crons.find((cron) => cron.name === name)!;
      [cron.after, cron.next] = [after, cron.slots.next(after)];
    }
  }

  /** Fires the due slots of each cron; a cron that fails does not hold up the others. */
  async #fireDue(): Promise<void> {
    if (this.#isClockOld) {
      this.#setClock(await readClock(this.#options.sql));
      this.#isClockOld = false;
    }
    const failures: unknown[] = [];
    for (const cron of this.#crons) {
      if (this.#ended) return;
      if (cron.next === null || cron.next.getTime() > this.#now()) continue;
      await this.#fire(cron).catch((error) => failures.push(error));
    }
    if (performance.now() - this.#roundBegan >= this.#round - 1) await this.#runRound();
    if (failures.length > 0) throw failures[0];
  }

  async #runRound(): Promise<void> {
    const { sql, consumerId } = this.#options;
    this.#roundBegan = performance.now();
    this.#setClock(await readClock(sql));
    await pruneCronSlots(sql);
    const abandoned = await ownCrons(sql, { consumerId: consumerId(), crons: this.#crons });
    const mine = this.#crons.filter(({ name }) => abandoned.has(name) && this.#abandoned.has(name));
    this.#abandoned = abandoned;
    if (mine.length > 0) await this.#store(mine, { names: [], onlyAbandoned: true });
  }

  async #fire(cron: PlannedCron): Promise<void> {
    const { sql, tracing } = this.#options;
    const until = new Date(this.#now());
    const slots = dueSlots(cron, until);
    const fire = (traceparent?: string) => fireCron(sql, { ...cron, slots, traceparent: traceparent ?? null });
    const { at } = await (tracing ? tracing.fireCron(cron, fire) : fire());
    this.#setClock(at);
    // If this clock is ahead, slots after the database's time are still to come; if it is behind, slots after its own
    // time were not considered.
    if (at < until) cron.after = at;
    else cron.after = until;
    cron.next = cron.slots.next(cron.after);
  }

  /** Returns the database's time, or a little less: an answer is as old as its way here. */
  #now(): number {
    return this.#clock.time + performance.now() - this.#clock.readAt;
  }

  #setClock(time: Date): void {
    this.#clock = { time: time.getTime(), readAt: performance.now() };
  }
}

/** Returns the slots to fire now: those less than a minute late, and as many missed ones before as the cron asks for. */
export function dueSlots(
  { slots, after, missed }: Pick<PlannedCron, "slots" | "after" | "missed">,
  until: Date,
): Date[] {
  const late = new Date(Math.max(after.getTime(), until.getTime() - LATE));
  const missedSlots = MISSED_SLOTS[missed] > 0 ? slots.between(after, late, MISSED_SLOTS[missed]) : [];
  return [...missedSlots, ...slots.between(late, until, LATE / 1000)];
}

/** Makes the cron of a definition that has one, without progress. */
export async function planCron(
  definition: TaskDefinition,
  { defaults, schema }: { defaults: CronSchedulerOptions["defaults"]; schema: string },
): Promise<PlannedCron> {
  const { name, cron = "", timezone = "UTC", missed = "skip" } = definition;
  const expression = cleanExpression(cron);
  const [task] = await newTasks(definition, [[]], { options: {}, defaults, schema });
  // The arguments are the same for all, and need not be written the same each time.
  const { params: _, ...decisive } = task!;
  return {
    name,
    names: namesOf(definition),
    expression,
    timezone,
    missed,
    task: task!,
    definition: JSON.stringify({ expression, timezone, missed, ...decisive }),
    slots: parseCron(expression, timezone, `define task "${name}"`),
    after: new Date(0),
    next: null,
  };
}
