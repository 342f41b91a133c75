/** A sleep that anyone can end. A wake-up that comes while nobody sleeps ends the next sleep at once. */
export class Wakeup {
  #pending = false;
  #end: (() => void) | undefined;

  /** Ends the sleep. */
  wake(): void {
    this.#pending = true;
    this.#end?.();
  }

  /** Sleeps until somebody wakes it, and at most `ms` milliseconds. */
  async sleep(ms: number): Promise<void> {
    if (!this.#pending && ms > 0) {
      await new Promise<void>((resolve) => {
        // Timers hold 31 bits; whoever sleeps for longer looks again after 24 days.
        const timer = setTimeout(resolve, Math.min(ms, 2 ** 31 - 1));
        this.#end = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#end = undefined;
    }
    this.#pending = false;
  }
}
