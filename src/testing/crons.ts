import { randomUUID } from "node:crypto";
import { planCron, type PlannedCron } from "../schedule/cron_scheduler.ts";
import type { Tag } from "../database/driver.ts";
import type { FireflyOptions } from "../firefly/options.ts";
import { FireflyError } from "../errors.ts";
import { fireCron, registerCrons } from "../store/cron.ts";
import { namesOf, type TaskDefinition } from "../task/definition.ts";

/** The most slots that pass at once: each costs a few statements. */
const MOST_SLOTS = 10_000;

/**
 * The crons of a test: where its clock passes their slots, it schedules their tasks, as the consumers of an application
 * would have done in that time.
 */
export class TestCrons {
  readonly #defaults: NonNullable<FireflyOptions["defaults"]>;
  /** No consumer is registered under this id, so that those of the test may own the crons. */
  readonly #id = randomUUID();
  readonly #known = new Set<TaskDefinition>();
  readonly #crons: PlannedCron[] = [];

  constructor(defaults: FireflyOptions["defaults"] = {}) {
    this.#defaults = defaults;
  }

  /** Starts the crons of those of `definitions` that are new: they have slots from now on. */
  async register(sql: Tag, definitions: Iterable<TaskDefinition>): Promise<void> {
    const fresh = [...new Set(definitions)].filter((it) => it.cron !== undefined && !this.#known.has(it));
    if (fresh.length === 0) return;
    const crons = await Promise.all(
      fresh.map((definition) => planCron(definition, { defaults: this.#defaults, schema: sql.schemaName })),
    );
    const stored = crons.map(({ slots: _, after: __, next: ___, ...cron }) => cron);
    const registered = await registerCrons(sql, {
      consumerId: this.#id,
      names: fresh.flatMap(namesOf),
      crons: stored,
    });
    for (const { name, after } of registered) {
      const cron = crons.find((cron) => cron.name === name)!;
      [cron.after, cron.next] = [after, cron.slots.next(after)];
      this.#crons.push(cron);
    }
    for (const definition of fresh) this.#known.add(definition);
  }

  /** The next slot of all; null if there is none. */
  get next(): Date | null {
    const times = this.#crons.flatMap(({ next }) => next ? [next.getTime()] : []);
    return times.length > 0 ? new Date(Math.min(...times)) : null;
  }

  /**
   * Checks that there are not too many slots up to `until` to pass them one by one.
   *
   * @throws {FireflyError} If there are.
   */
  check(until: Date): void {
    for (const { name, slots, after } of this.#crons) {
      if (slots.between(after, until, MOST_SLOTS + 1).length <= MOST_SLOTS) continue;
      throw new FireflyError(
        `Cannot travel to ${until.toISOString()} as cron "${name}" has more than ${MOST_SLOTS} slots until then: ` +
          "pass cron: false, or tasks without it, to testFirefly()",
      );
    }
  }

  /** Schedules the tasks of all slots up to `now`, the time of the database's clock. */
  async fire(sql: Tag, now: Date): Promise<void> {
    for (const cron of this.#crons) {
      while (cron.next !== null && cron.next <= now) {
        await fireCron(sql, { ...cron, slots: [cron.next] });
        [cron.after, cron.next] = [cron.next, cron.slots.next(cron.next)];
      }
    }
  }
}
