import process from "node:process";

/** The timers of `setTimeout` and `setInterval` that have not ended; kept where the runtime does not tell. */
const live = new Set<unknown>();

/** Counts timers from now on: call it before anything is imported that sets one. */
export function watchTimers(): void {
  if (!("Deno" in globalThis)) return;
  const { setTimeout, clearTimeout, setInterval, clearInterval } = globalThis;
  globalThis.setTimeout = ((fn: (...args: unknown[]) => void, ms?: number, ...args: unknown[]) => {
    const id = setTimeout(() => {
      live.delete(id);
      fn(...args);
    }, ms);
    live.add(id);
    return id;
  }) as typeof setTimeout;
  globalThis.setInterval = ((...args: Parameters<typeof setInterval>) => {
    const id = setInterval(...args);
    live.add(id);
    return id;
  }) as typeof setInterval;
  globalThis.clearTimeout = ((id?: number) => {
    live.delete(id);
    clearTimeout(id);
  }) as typeof clearTimeout;
  globalThis.clearInterval = ((id?: number) => {
    live.delete(id);
    clearInterval(id);
  }) as typeof clearInterval;
}

/** How many timers there are. */
export function countTimers(): number {
  if ("Deno" in globalThis) return live.size;
  return process.getActiveResourcesInfo().filter((kind) => kind === "Timeout" || kind === "Immediate").length;
}
