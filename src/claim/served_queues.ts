import type { ConsumerConfig } from "../attempt/consumer_config.ts";
import type { Tag } from "../database/driver.ts";
import { findQueues, storeServedQueues } from "../store/served_queues.ts";

/**
 * The most queues that a consumer of all queues keeps: it listens on a channel and takes a wake lock for each. Beyond
 * them it forgets those without tasks, and polls about once a second.
 */
const MOST = 100;

/** What {@linkcode ServedQueues} works with. */
export interface ServedQueuesOptions {
  readonly sql: Tag;
  readonly config: Pick<ConsumerConfig, "queues" | "allQueues" | "names">;
  /** The id under which the consumer is registered now. */
  readonly consumerId: () => string;
  /** Called when the list has changed, before the consumer's row has. */
  readonly onChange: () => void;
}

/**
 * The queues that a consumer serves: those that it was given or, if it serves all, those that have tasks.
 *
 * Producers save NOTIFY for a queue if a consumer lists it in its row and does not sleep, since that one will look for
 * tasks once more before it sleeps. So a new queue gets into the list, from which claims are made and wake locks taken,
 * before it gets into the row. For a queue that no row lists, they also notify the channel of new queues.
 */
export class ServedQueues {
  readonly #options: ServedQueuesOptions;
  #names: string[];
  #stored: string[] | undefined;

  constructor(options: ServedQueuesOptions) {
    this.#options = options;
    this.#names = this.#stored = options.config.queues;
  }

  /** Their names: a new list with each change. */
  get names(): string[] {
    return this.#names;
  }

  /** Whether wake locks are taken for them, so that the consumer may sleep until it is notified. */
  get areLockable(): boolean {
    return !this.#options.config.allQueues || this.#names.length <= MOST;
  }

  /** Looks for queues, if the consumer serves all; stores them in its row if it `isRegistered`. */
  async refresh({ isRegistered = true } = {}): Promise<void> {
    const { sql, config, consumerId, onChange } = this.#options;
    if (!config.allQueues) return;
    const found = await findQueues(sql, config.names);
    const all = new Set([...this.#names, ...found]);
    const next = all.size <= MOST ? all : new Set([...config.queues, ...found]);
    if (next.size !== this.#names.length || this.#names.some((name) => !next.has(name))) {
      this.#names = [...next];
      onChange();
    }
    const names = this.#names;
    if (isRegistered && this.#stored !== names) await storeServedQueues(sql, consumerId(), names);
    this.#stored = names;
  }
}
