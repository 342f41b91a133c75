/** What is told apart by a label: the first so many of this process, so that a counter keeps its labels and never falls. */
export class Known {
  readonly #most: number;
  readonly #keys = new Set<string>();

  constructor(most: number) {
    this.#most = most;
  }

  /** Whether it is one of the first. */
  has(key: string): boolean {
    if (this.#keys.size < this.#most) this.#keys.add(key);
    return this.#keys.has(key);
  }
}
