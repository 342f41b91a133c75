/** A sleep that can be ended from outside. A wake-up without a sleep ends the next sleep at once. */
export class Wakeup {
  #pending = false;
  #end: (() => void) | undefined;

  /** Ends the sleep. */
  wake(): void {
    this.#pending = true;
    this.#end?.();
  }

  /**
   * Sleeps until {@linkcode Wakeup.wake} is called, at most `ms` milliseconds. With `isIdle`, the process may end
   * meanwhile.
   */
  async sleep(ms: number, { isIdle = false } = {}): Promise<void> {
    if (!this.#pending && ms > 0) {
      await new Promise<void>((resolve) => {
        // Timers hold 31 bits: a longer sleep ends after 24 days.
        const timer = setTimeout(resolve, Math.min(ms, 2 ** 31 - 1));
        if (isIdle) timer.unref();
        this.#end = () => {
          this.#end = undefined; // the sleep may be told many times to end
          clearTimeout(timer);
          resolve();
        };
      });
      this.#end = undefined;
    }
    this.#pending = false;
  }
}
