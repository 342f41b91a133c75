import { FireflyError } from "../errors.ts";
import type { AttemptInfo } from "../events.ts";

/**
 * Wraps every attempt. Gets the attempt and `next`, which runs the rest and resolves to the handler's result; resolves to
 * the result of the attempt.
 */
export type Middleware = (attempt: AttemptInfo, next: () => Promise<unknown>) => Promise<unknown>;

/** Calls `innermost` inside `layers`, of which the first is the outermost. */
export function callThrough(
  layers: readonly Middleware[],
  attempt: AttemptInfo,
  innermost: () => Promise<unknown>,
): Promise<unknown> {
  async function enter(depth: number): Promise<unknown> {
    const layer = layers[depth];
    if (!layer) return await innermost();
    let called = false;
    return await layer(attempt, async () => {
      // A second call would run the handler twice, with all of its effects.
      if (called) throw new FireflyError("Cannot call next() as this middleware has called it before");
      called = true;
      return await enter(depth + 1);
    });
  }
  return enter(0);
}
