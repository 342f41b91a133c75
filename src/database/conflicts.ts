import { setTimeout as sleep } from "node:timers/promises";
import { isConflict } from "./error_codes.ts";

/** How often a transaction is run again that conflicted with another one. */
const TRIES = 6;
/** Milliseconds before the first time; doubled with each. A random part of it, so that they do not meet again. */
const DELAY = 5;

/** Runs a transaction, or a statement alone, and runs it again if it conflicts with another: nothing of it was stored. */
export async function retryConflicts<T>(run: () => Promise<T>): Promise<T> {
  for (let tries = 0;; tries++) {
    try {
      return await run();
    } catch (error) {
      if (tries === TRIES || !isConflict(error)) throw error;
    }
    await sleep(Math.random() * DELAY * 2 ** tries);
  }
}
