/** A step at which a handler waits until the test opens it. */
export function gate(): { reached: Promise<void>; open(): void; wait(): Promise<void> } {
  const [reached, opened] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  return {
    reached: reached.promise,
    open: opened.resolve,
    async wait() {
      reached.resolve();
      await opened.promise;
    },
  };
}
