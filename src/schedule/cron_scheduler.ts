import { cleanExpression, parseCron, type Slots } from "../task/cron_expression.ts";
import { namesOf, type TaskDefinition } from "../task/definition.ts";
import type { Tag } from "../database/driver.ts";
import type { TaskOptions } from "../task/options.ts";
import { newTasks } from "./new_tasks.ts";
import { fireCron, keepCrons, type NewCron, pruneCronSlots, readClock, registerCrons } from "../store/cron.ts";
import { Wakeup } from "../wakeup.ts";

/** What the timer needs. */
export interface CronTimerOptions {
  sql: Tag;
  /** What the consumer knows, by name and alias. */
  definitions: ReadonlyMap<string, TaskDefinition>;
  defaults: Pick<TaskOptions, "queue" | "maxRetries" | "retryDelay" | "timeout">;
  /** The id of the consumer, which may change. */
  consumerId(): string;
  /** Seconds between two rounds, and so the longest sleep: see {@linkcode CronScheduler}. @default 60 */
  round?: number;
  /** Called when something failed; it is tried again. */
  onError(error: unknown): void;
  /** Called when all went well. */
  onSuccess(): void;
}

/** A cron, its slots, and how far it has come. */
interface Planned extends NewCron {
  readonly slots: Slots;
  /** All slots up to here have been dealt with. */
  after: Date;
  next: Date | null;
}

/** A slot that is later than this, in milliseconds, was missed. */
const LATE = 60_000;
/** How many missed slots are made up for. */
const MADE_UP = { skip: 0, one: 1, all: 1_000 } as const;

/**
 * Schedules tasks when their slots come. Every consumer has one of these and there is no leader: all try, and the
 * database lets one through. It also decides whether a slot has come: this timer only wakes at about the right time, by
 * the database's clock, which it carries on between two answers with a clock that nobody sets.
 *
 * Once in a round it reads that clock, forgets old slots, and sees to it that somebody stands for each cron: where all
 * consumers are gone that say what is stored, as when an old release was started once more in the middle of a deploy,
 * this one's definition is stored instead.
 */
export class CronScheduler {
  readonly #options: CronTimerOptions;
  readonly #wakeup = new Wakeup();
  readonly #round: number;
  #crons: Planned[] = [];
  /** The database's time, as of `performance.now()`. */
  #clock = { time: 0, readAt: 0 };
  #roundBegan: number = performance.now();
  /** Crons that nobody stood for in the last round. Those who say the same have until the next one to do so. */
  #abandoned = new Set<string>();
  #isRegistered = false;
  #failures = 0;
  #ended = false;
  #running: Promise<void> = Promise.resolve();

  constructor(options: CronTimerOptions) {
    this.#options = options;
    this.#round = (options.round ?? 60) * 1000;
  }

  /** Registers the crons, or goes on trying to, and fires their slots from then on. */
  async start(): Promise<void> {
    await this.#turn();
    this.#running = this.#run();
  }

  /** Stops, and waits for what is under way. */
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
      this.#options.onSuccess();
    } catch (error) {
      this.#failures++;
      this.#options.onError(error);
    }
  }

  /** Milliseconds until the next slot, or until something that failed is tried again. */
  #pause(): number {
    if (this.#failures > 0) return Math.min(200 * 2 ** (this.#failures - 1), 5000);
    // A consumer without crons only had to say so.
    if (this.#isRegistered && this.#crons.length === 0) return Infinity;
    const next = Math.min(...this.#crons.map(({ next }) => next?.getTime() ?? Infinity));
    // Timers may be a little early; and 0 would not let anybody else run.
    return Math.min(Math.max(1, Math.ceil(next - this.#now())), this.#round);
  }

  async #register(): Promise<void> {
    const { sql, definitions, defaults } = this.#options;
    const crons = await Promise.all(
      [...new Set(definitions.values())]
        .filter(({ cron }) => cron !== undefined)
        .map((definition) => plan(definition, { defaults, schema: sql.schemaName })),
    );
    await this.#store(crons, [...definitions.keys()]);
    this.#crons = crons;
    this.#isRegistered = true;
  }

  /** Stores these definitions; crons of the other `names` are removed. */
  async #store(crons: Planned[], names: string[]): Promise<void> {
    const { sql, consumerId } = this.#options;
    const stored = crons.map(({ slots: _, after: __, next: ___, ...cron }) => cron);
    const registered = await registerCrons(sql, { consumerId: consumerId(), names, crons: stored });
    for (const { name, after, at } of registered) {
      this.#setClock(at);
      const cron = crons.find((cron) => cron.name === name)!;
      [cron.after, cron.next] = [after, cron.slots.next(after)];
    }
  }

  /** Fires what is due of each cron; one that fails keeps none of the others from theirs. */
  async #fireDue(): Promise<void> {
    const failures: unknown[] = [];
    for (const cron of this.#crons) {
      if (this.#ended) return;
      if (cron.next === null || cron.next.getTime() > this.#now()) continue;
      await this.#fire(cron).catch((error) => failures.push(error));
    }
    if (performance.now() - this.#roundBegan >= this.#round - 1) await this.#goRound();
    if (failures.length > 0) throw failures[0];
  }

  async #goRound(): Promise<void> {
    const { sql, consumerId } = this.#options;
    this.#roundBegan = performance.now();
    this.#setClock(await readClock(sql));
    await pruneCronSlots(sql);
    const abandoned = await keepCrons(sql, { consumerId: consumerId(), crons: this.#crons });
    const mine = this.#crons.filter(({ name }) => abandoned.has(name) && this.#abandoned.has(name));
    this.#abandoned = abandoned;
    if (mine.length > 0) await this.#store(mine, []);
  }

  async #fire(cron: Planned): Promise<void> {
    const until = new Date(this.#now());
    const { at } = await fireCron(this.#options.sql, { ...cron, slots: dueSlots(cron, until) });
    this.#setClock(at);
    // Where this clock was ahead, the slots after the database's time are still to come; where it was behind, those
    // after its own were not looked at.
    if (at < until) cron.after = at;
    else cron.after = until;
    cron.next = cron.slots.next(cron.after);
  }

  /** The database's time, or a little less: an answer is as old as its way here. */
  #now(): number {
    return this.#clock.time + performance.now() - this.#clock.readAt;
  }

  #setClock(time: Date): void {
    this.#clock = { time: time.getTime(), readAt: performance.now() };
  }
}

/** The slots to fire now: those that are less than a minute late, and as many of those before as are to be made up for. */
export function dueSlots({ slots, after, missed }: Pick<Planned, "slots" | "after" | "missed">, until: Date): Date[] {
  const late = new Date(Math.max(after.getTime(), until.getTime() - LATE));
  const madeUp = MADE_UP[missed] > 0 ? slots.between(after, late, MADE_UP[missed]) : [];
  return [...madeUp, ...slots.between(late, until, LATE / 1000)];
}

async function plan(
  definition: TaskDefinition,
  { defaults, schema }: { defaults: CronTimerOptions["defaults"]; schema: string },
): Promise<Planned> {
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
