function ignore(): void {}

/**
 * An AbortController whose signal is made on first use: few handlers use it, and making one costs as much as the rest of a
 * short attempt.
 */
export class LazyAbortController {
  #controller: AbortController | undefined;
  #aborted = false;
  #reason: unknown;
  /** Called once when it aborts. */
  onAbort: (reason: unknown) => void = ignore;

  /** Whether it has aborted. */
  get aborted(): boolean {
    return this.#aborted;
  }

  /** Why it has aborted. */
  get reason(): unknown {
    return this.#reason;
  }

  /** The signal, for code that takes nothing else. */
  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      if (this.#aborted) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  /** Aborts, unless it has aborted already. */
  abort(reason: unknown): void {
    if (this.#aborted) return;
    this.#aborted = true;
    this.#reason = reason;
    this.#controller?.abort(reason);
    this.onAbort(reason);
  }
}
