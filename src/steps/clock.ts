import type { ReplayClock } from "./replay.ts";

/** How many milliseconds a new step, or a result, waits for code that may be about to ask for stored steps. */
const HOLD = 1000;

/** The timers of the event loop. */
export const CLOCK: ReplayClock = {
  turn: (fn) => void setImmediate(fn),
  hold(fn) {
    const timer = setTimeout(fn, HOLD);
    return () => clearTimeout(timer);
  },
};
