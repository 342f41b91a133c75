import { InstanceClosed } from "./errors.ts";

/** Whether an instance is closed, for all that waits on its behalf. */
export class Closing {
  readonly #listeners = new Set<() => void>();
  #isClosed = false;

  /** Whether it is closed. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Throws if it is closed. */
  throwIfClosed(): void {
    if (this.#isClosed) throw new InstanceClosed();
  }

  /** Calls `listener` once it is closed, at once if it is. Returns a function that removes the listener. */
  onClose(listener: () => void): () => void {
    if (this.#isClosed) listener();
    else this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Closes it, for good. */
  close(): void {
    this.#isClosed = true;
    for (const listener of this.#listeners) listener();
    this.#listeners.clear();
  }
}
