/** How many beginnings of a millisecond are looked for. */
const LOOKS = 25;

/**
 * The wall clock in milliseconds, with their fractions, so that two processes of one machine can be compared: where a
 * millisecond of `Date` begins is looked for once. Whoever is interrupted while it looks finds it too late, and never too
 * early: of many looks the earliest is right.
 */
export const wallClock: () => number = (() => {
  let offset = -Infinity;
  for (let look = 0; look < LOOKS; look++) {
    const before = Date.now();
    let now = before;
    while (now === before) now = Date.now();
    offset = Math.max(offset, now - performance.now());
  }
  return () => performance.now() + offset;
})();
