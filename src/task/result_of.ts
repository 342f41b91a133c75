import { readProperty } from "../thrown.ts";
import type { ResultSource } from "./scheduled_call.ts";

/**
 * The key under which a value says whose result it stands for: a {@linkcode ResultSource}. For the compiler, it is the
 * type of that result.
 *
 * @internal
 */
export const RESULT: unique symbol = Symbol.for("firefly.result") as never;

/**
 * Stands for the result of a scheduled task, of type `R`: its record, or the promise of it that `schedule()` returns. It
 * may be an argument where `R` may, and makes the task that takes it depend on the one that it stands for.
 */
export interface ResultOf<R> {
  /** @internal */
  readonly [RESULT]: R;
}

/** An argument of type `T`; or the task whose result it is; or, for a list, a list in which some elements are such. */
export type Argument<T> =
  | T
  | ResultOf<T>
  | (T extends readonly (infer E)[] ? readonly (E | ResultOf<E>)[] | ResultOf<readonly E[]> : never);

/** The arguments that `schedule()` takes for those of a handler. */
export type Arguments<A extends unknown[]> = { [K in keyof A]: Argument<A[K]> };

/** Returns the tasks that a value stands for the results of; undefined if it is any other value. */
export function resultSourceOf(value: unknown): ResultSource | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const source = readProperty(value, RESULT);
  return typeof source === "object" && source !== null ? source as ResultSource : undefined;
}
