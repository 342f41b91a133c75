import { type HandlerCall, startTimeout } from "./call_handler.ts";
import { msSince } from "./clock.ts";
import type { Steps } from "../steps/steps.ts";

/** An attempt whose handler has ended. */
export interface StepsLeft extends Pick<HandlerCall, "abortController" | "timeout"> {
  readonly began: number;
  /** The steps, if the handler has asked for them. */
  readonly usedSteps: Steps | undefined;
}

/**
 * Waits for the steps that a handler has left behind, so that nothing they do is forgotten, within what is left of its
 * timeout. If the handler has `thrown`, their signals abort.
 *
 * @throws Why the attempt was ended from outside meanwhile.
 */
export async function finishSteps(attempt: StepsLeft, thrown?: { readonly error: unknown }): Promise<void> {
  const { usedSteps: steps, began, abortController: abort } = attempt;
  const timer = startTimeout(attempt, msSince(began));
  try {
    await new Promise<void>((resolve, reject) => {
      abort.onAbort = reject;
      if (abort.aborted) reject(abort.reason);
      const finished = thrown ? steps!.fail(thrown.error) : steps!.finish();
      finished.then(resolve, reject);
    });
  } finally {
    clearTimeout(timer);
  }
}
