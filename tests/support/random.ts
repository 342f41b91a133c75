/** Random choices that a seed determines (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** A number from 0 to less than 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let bits = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  }

  /** An integer from 0 to less than `limit`. */
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  /** One of `choices`. */
  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }

  /** True with a chance of 1 in `times`. */
  once(times: number): boolean {
    return this.below(times) === 0;
  }

  /** Up to `limit` of `choices`, each at most once. */
  some<T>(choices: readonly T[], limit: number): T[] {
    const left = [...choices];
    const picked: T[] = [];
    while (left.length > 0 && picked.length < limit) picked.push(...left.splice(this.below(left.length), 1));
    return picked;
  }
}
