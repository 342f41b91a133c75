import type { Emitter } from "../events.ts";
import type { Middleware } from "./middleware.ts";
import type { TaskRecord } from "../task/record.ts";

/** Told of a task that failed for good. */
export type OnFailed = (task: TaskRecord, error: Error) => void | Promise<void>;

/** What the hooks of an instance need of it. */
export interface HooksHost {
  readonly events: Emitter;
  readonly onFailed: OnFailed | undefined;
  get(id: number): Promise<TaskRecord>;
  /** Runs `fn` as code of the instance, outside of any attempt. */
  run<T>(fn: () => T): T;
}

/** What users hang around the attempts of an instance: middleware, and `onFailed`. */
export class Hooks {
  readonly #host: HooksHost;
  readonly #calls = new Set<Promise<void>>();
  readonly #subscriptions: (() => void)[] = [];
  #middleware: readonly Middleware[];

  /** `middleware` is what surrounds attempts from the beginning. */
  constructor(host: HooksHost, middleware: readonly Middleware[] = []) {
    this.#host = host;
    this.#middleware = middleware;
    const { onFailed, events } = host;
    if (onFailed === undefined) return;
    if (typeof onFailed !== "function") {
      throw new TypeError(`Cannot make an instance as "onFailed" must be a function: current value is ${onFailed}`);
    }
    this.#subscriptions.push(
      events.on("failed", ({ id, funcName, error }) => this.#tell(onFailed, { id, funcName, error })),
      events.on("rescued", ({ id, funcName, failed }) => {
        if (failed) this.#tell(onFailed, { id, funcName });
      }),
    );
  }

  /** Calls `onFailed` no more: another instance does. */
  end(): void {
    for (const unsubscribe of this.#subscriptions) unsubscribe();
  }

  /** The middleware of the attempts that begin now, the outermost first. */
  get middleware(): readonly Middleware[] {
    return this.#middleware;
  }

  /**
   * Adds middleware inside of what was added before.
   *
   * @throws {TypeError} If it is no function.
   */
  use(middleware: Middleware): void {
    if (typeof middleware !== "function") {
      throw new TypeError(`Cannot use the middleware as it must be a function: current value is ${String(middleware)}`);
    }
    this.#middleware = [...this.#middleware, middleware]; // attempts under way keep the list that they began with
  }

  /** Resolves when `onFailed` has returned from everything that it was told of. */
  async idle(): Promise<void> {
    while (this.#calls.size > 0) await Promise.all(this.#calls);
  }

  /** Beside the consumer's loop, which waits for nothing here before it stops. */
  #tell(onFailed: OnFailed, { id, funcName, error }: { id: number; funcName: string; error?: unknown }): void {
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

/** Handlers may throw anything; and of what a rescue says of a task, only the record tells. */
function toError(thrown: unknown): Error {
  if (thrown instanceof Error) return thrown;
  if (typeof thrown !== "object" || thrown === null) return new Error(String(thrown), { cause: thrown });
  const { name, message } = thrown as Partial<Error>;
  return Object.assign(new Error(String(message ?? "Something was thrown that is no error")), {
    name: String(name ?? "Error"),
    cause: thrown,
  });
}
