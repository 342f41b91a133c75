import { setTimeout as sleep } from "node:timers/promises";

/** Callbacks of {@linkcode Requests}. */
export interface RequestHooks {
  /** Called when tasks got a place, and when all requests are done. */
  onProgress(): void;
  /** Called when a statement failed; it is retried. */
  onError(error: unknown): void;
  /** Called after a round that did not fail. */
  onSuccess(): void;
}

/** Milliseconds before a round that failed is retried. */
const RETRY_DELAY = 250;

/**
 * Serves requests in rounds, one at a time: those that come while one is in progress share the next. A round that failed
 * is retried, so what it had taken must be requested again by then.
 */
export abstract class Requests {
  readonly #hooks: RequestHooks;
  #serving: Promise<void> | undefined;
  #abandoned = false;

  constructor(hooks: RequestHooks) {
    this.#hooks = hooks;
  }

  /** Whether anything is requested that no round has taken. */
  protected abstract readonly isRequested: boolean;

  /** Takes requests, and does what they ask for. */
  protected abstract serve(): Promise<void>;

  /** Whether all requests are done. */
  get isIdle(): boolean {
    return this.#serving === undefined;
  }

  /** Resolves when all requests are done. */
  async idle(): Promise<void> {
    while (this.#serving) await this.#serving;
  }

  /** Stops: other consumers make up for requests that are lost. */
  abandon(): void {
    this.#abandoned = true;
  }

  /** Starts the rounds, if none is in progress and anything is requested. */
  protected start(): void {
    if (!this.#goesOn) return;
    this.#serving ??= this.#serveAll().finally(() => {
      this.#serving = undefined;
      this.#hooks.onProgress();
      this.start();
    });
  }

  /** Says that tasks got a place. */
  protected onProgress(): void {
    this.#hooks.onProgress();
  }

  get #goesOn(): boolean {
    return !this.#abandoned && this.isRequested;
  }

  async #serveAll(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve)); // takes along what ends in this turn of the event loop
    while (this.#goesOn) {
      try {
        await this.serve();
        this.#hooks.onSuccess();
      } catch (error) {
        this.#hooks.onError(error);
        await sleep(RETRY_DELAY);
      }
    }
  }
}
