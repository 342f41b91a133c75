/** Looks on demand, one look at a time. A demand meanwhile brings one more: that in progress may have missed its cause. */
export class Look {
  readonly #look: () => Promise<void>;
  #looking: Promise<void> | undefined;
  #again = false;

  /** @param look Must not reject. */
  constructor(look: () => Promise<void>) {
    this.#look = look;
  }

  /** Whether a look is in progress. */
  get isInProgress(): boolean {
    return this.#looking !== undefined;
  }

  /** Looks now, or once more after the look in progress. */
  demand(): void {
    this.#again = this.isInProgress;
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
      if (this.#again) this.demand();
    });
  }

  /** Waits for the look in progress. */
  async idle(): Promise<void> {
    while (this.#looking) await this.#looking;
  }
}
