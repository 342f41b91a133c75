/** How many more may be taken in this second. Times are by `performance.now()`. */
export class Budget {
  readonly #size: number;
  #left: number;
  #refillAt = 0;

  constructor(size: number) {
    this.#size = this.#left = size;
  }

  /** How many are left. */
  left(now: number): number {
    if (this.#left === 0 && now >= this.#refillAt) this.#left = this.#size;
    return this.#left;
  }

  /** Takes one; false if none is left. */
  take(now: number): boolean {
    if (this.left(now) === 0) return false;
    if (this.#left-- === this.#size) this.#refillAt = now + 1000;
    return true;
  }
}
