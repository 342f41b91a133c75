/**
 * The wall clock in milliseconds, with their fractions, so that two processes of one machine can be compared: where a
 * millisecond of `Date` begins is looked for once.
 */
export const wallClock: () => number = (() => {
  const before = Date.now();
  let now = before;
  while (now === before) now = Date.now();
  const offset = now - performance.now();
  return () => performance.now() + offset;
})();
