import { isExhausted } from "../database/error_codes.ts";
import { DatabaseUnreachable, SchemaMismatch } from "../errors.ts";

/** Calls that go out together: what one of them inserts, and who waits for it. */
interface Call<T, R> {
  readonly items: T[];
  resolve(results: R[]): void;
  reject(error: unknown): void;
}

/** What a {@linkcode Batcher} does with what it was given. */
export interface BatcherOptions<T, R> {
  /** Inserts all of them, in their order, or none; what it is given by the next call comes after them. */
  readonly insert: (items: T[]) => Promise<R[]>;
  /** How much of a statement an item takes, in characters. */
  readonly sizeOf: (item: T) => number;
}

/** How many items one statement takes, and how many characters, unless a single call has more. */
const [MAX_ITEMS, MAX_CHARACTERS] = [1_000, 1024 * 1024];

/** How many turns of promises a call may take behind another and still go out with it: those who await one call again. */
const TURNS = 10;

/** So many calls go out as two statements. */
const MANY = 64;

/**
 * Makes one statement of the calls of one turn of the event loop, and of those that come while a statement is under
 * way: they share one round trip and one commit, and a single call is not delayed. Many calls make two, sent one behind
 * the other: the callers of the first go on while the server is at the second.
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
   * @throws What the database says against these very items, or that it cannot be reached.
   */
  insert(items: T[]): Promise<R[]> {
    const { promise, resolve, reject } = Promise.withResolvers<R[]>();
    this.#calls.push({ items, resolve, reject });
    this.#sendSoon();
    return promise;
  }

  /** Sends what there is once the other calls of this turn have come along. */
  #sendSoon(): void {
    this.#next ??= this.#afterTurn();
  }

  async #afterTurn(): Promise<void> {
    // Not by setImmediate(): that takes 50 µs, a tenth of a lone call, and these take one.
    for (let i = 0; i < TURNS; i++) await undefined;
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

  /** How many of the calls fit into one statement. */
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
      const results = await this.#options.insert(calls.flatMap(({ items }) => items));
      let start = 0;
      for (const { items, resolve } of calls) resolve(results.slice(start, start += items.length));
    } catch (error) {
      if (calls.length === 1 || concernsAll(error)) {
        for (const { reject } of calls) reject(error);
        return;
      }
      // One that the database refuses must not fail its neighbours: it is found by halves.
      const half = calls.length >> 1;
      await this.#send(calls.slice(0, half));
      await this.#send(calls.slice(half));
    }
  }
}

/** Whether an error says nothing of single rows. */
function concernsAll(error: unknown): boolean {
  return error instanceof DatabaseUnreachable || error instanceof SchemaMismatch || isExhausted(error);
}
