import type { Emitter } from "../events.ts";
import type { Middleware } from "./middleware.ts";
import type { TaskRecord } from "../task/record.ts";
import { toError } from "../thrown.ts";

/** Called with a task that failed for good. */
export type OnFailed = (task: TaskRecord, error: Error) => void | Promise<void>;

/** The instance that hooks belong to. */
export interface HooksHost {
  readonly events: Emitter;
  readonly onFailed: OnFailed | undefined;
  /** Functions to call at the end. */
  readonly subscriptions?: readonly (() => void)[];
  get(id: number): Promise<TaskRecord>;
  /** Runs `fn` as code of the instance, outside any attempt. */
  run<T>(fn: () => T): T;
}

/** The hooks of an instance around its attempts: middleware, and `onFailed`. */
export class Hooks {
  readonly #host: HooksHost;
  readonly #calls = new Set<Promise<void>>();
  readonly #subscriptions: (() => void)[];
  #middleware: readonly Middleware[];

  /** `middleware` wraps attempts from the start. */
  constructor(host: HooksHost, middleware: readonly Middleware[] = []) {
    this.#host = host;
    this.#middleware = middleware;
    const { onFailed, events } = host;
    this.#subscriptions = [...host.subscriptions ?? []];
    if (onFailed === undefined) return;
    if (typeof onFailed !== "function") {
      throw new TypeError(`Cannot make an instance as "onFailed" must be a function: current value is ${onFailed}`);
    }
    this.#subscriptions.push(
      events.on("failed", ({ id, funcName, error }) => this.#callOnFailed(onFailed, { id, funcName, error })),
      events.on("rescued", ({ id, funcName, failed }) => {
        if (failed) this.#callOnFailed(onFailed, { id, funcName });
      }),
    );
  }

  /** Stops calling `onFailed`, and ends the other subscriptions: another instance has its own. */
  end(): void {
    for (const unsubscribe of this.#subscriptions) unsubscribe();
  }

  /** The middleware of attempts that start now, outermost first. */
  get middleware(): readonly Middleware[] {
    return this.#middleware;
  }

  /**
   * Adds middleware inside the middleware that was added before.
   *
   * @throws {TypeError} If it is no function.
   */
  use(middleware: Middleware): void {
    if (typeof middleware !== "function") {
      throw new TypeError(`Cannot use the middleware as it must be a function: current value is ${String(middleware)}`);
    }
    this.#middleware = [...this.#middleware, middleware]; // attempts in progress keep their list
  }

  /** Resolves when all calls of `onFailed` have ended. */
  async idle(): Promise<void> {
    while (this.#calls.size > 0) await Promise.all(this.#calls);
  }

  /** Not awaited by the consumer's loop until it stops. */
  #callOnFailed(onFailed: OnFailed, { id, funcName, error }: { id: number; funcName: string; error?: unknown }): void {
    const { events, get, run } = this.#host;
    const call = run(async () => {
      try {
        const record = await get(id);
        await onFailed(record, toError(error ?? record.error));
      } catch (error) {
        events.emit("hook.error", { hook: "onFailed", id, funcName, error });
      }
    });
    this.#calls.add(call);
    call.then(() => this.#calls.delete(call));
  }
}
