import { isServerFault } from "../database/error_codes.ts";
import { DatabaseUnreachable, InstanceClosed, SchemaMismatch } from "../errors.ts";

/** A call that waits to be sent: its items, and its promise. */
interface Call<T, R> {
  readonly items: T[];
  resolve(results: R[]): void;
  reject(error: unknown): void;
}

/** How a {@linkcode Batcher} inserts. */
export interface BatcherOptions<T, R> {
  /** Inserts all items, in their order, or none. The items of the next call come after them. */
  readonly insert: (items: T[]) => Promise<R[]>;
  /** How many characters an item adds to a statement. */
  readonly sizeOf: (item: T) => number;
  /** Whether one transaction runs all statements: then one that fails ends the transaction of all calls. */
  readonly inTransaction?: boolean;
}

/** The most items and characters of one statement, unless a single call has more. */
const [MAX_ITEMS, MAX_CHARACTERS] = [1_000, 1024 * 1024];

/**
 * How many microtasks the first call waits for others. Callers that await one call after another come back 5 microtasks
 * after the answer, and their own code may take a few more: after 10, they share the next statement. That takes 1 µs,
 * where `setImmediate()` would take 50 µs, a tenth of a single call.
 */
const MICROTASKS = 10;

/** From this many calls on, a batch is sent as two statements. */
const MANY = 64;

/**
 * Combines the calls of one turn of the event loop, and those that come while a statement is under way, into one
 * statement: they share a round trip and a commit, and a single call is not delayed. Many calls make two statements, one
 * sent after the other: the callers of the first continue while the server runs the second.
 */
export class Batcher<T, R> {
  readonly #options: BatcherOptions<T, R>;
  #calls: Call<T, R>[] = [];
  #underWay = 0;
  #next: Promise<void> | undefined;

  constructor(options: BatcherOptions<T, R>) {
    this.#options = options;
  }

  /**
   * Inserts the items of one call, all or none; resolves once they are committed.
   *
   * @throws The database's error for these items, not for those of other calls, or DatabaseUnreachable.
   */
  insert(items: T[]): Promise<R[]> {
    const { promise, resolve, reject } = Promise.withResolvers<R[]>();
    this.#calls.push({ items, resolve, reject });
    this.#sendSoon();
    return promise;
  }

  /** Sends the waiting calls after the other calls of this turn have joined them. */
  #sendSoon(): void {
    this.#next ??= this.#afterTurn();
  }

  async #afterTurn(): Promise<void> {
    for (let i = 0; i < MICROTASKS; i++) await undefined;
    this.#next = undefined;
    while (this.#maySend) void this.#sendNext();
  }

  get #maySend(): boolean {
    return this.#calls.length > 0 && (this.#underWay === 0 || this.#underWay === 1 && this.#calls.length >= MANY / 2);
  }

  async #sendNext(): Promise<void> {
    const fitting = this.#countOfNext();
    const isHalf = this.#underWay === 0 && fitting >= MANY;
    this.#underWay++;
    await this.#send(this.#calls.splice(0, isHalf ? fitting >> 1 : fitting));
    this.#underWay--;
    if (this.#calls.length > 0) this.#sendSoon();
  }

  /** Counts the calls that fit into one statement. */
  #countOfNext(): number {
    let [count, items, characters] = [0, 0, 0];
    for (const call of this.#calls) {
      items += call.items.length;
      for (const item of call.items) characters += this.#options.sizeOf(item);
      if (count > 0 && (items > MAX_ITEMS || characters > MAX_CHARACTERS)) break;
      count++;
    }
    return count;
  }

  async #send(calls: Call<T, R>[]): Promise<void> {
    try {
      const [only, ...others] = calls;
      if (others.length === 0) return only!.resolve(await this.#options.insert(only!.items));
      const results = await this.#options.insert(calls.flatMap(({ items }) => items));
      let start = 0;
      for (const { items, resolve } of calls) resolve(results.slice(start, start += items.length));
    } catch (error) {
      if (calls.length === 1 || this.#options.inTransaction || concernsAll(error)) {
        for (const { reject } of calls) reject(error);
        return;
      }
      // A call that the database rejects must not fail the others: bisect to find it.
      const half = calls.length >> 1;
      await this.#send(calls.slice(0, half));
      await this.#send(calls.slice(half));
    }
  }
}

/** Whether an error concerns all calls alike, and not single rows. */
function concernsAll(error: unknown): boolean {
  const classes = [DatabaseUnreachable, InstanceClosed, SchemaMismatch];
  return classes.some((of) => error instanceof of) || isServerFault(error);
}
