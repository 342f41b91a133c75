import process from "node:process";

/** What a process says of itself. */
export interface OwnReport {
  readonly pid: number;
  /** In milliseconds since 1970. */
  readonly at: number;
  /** Bytes of the heap that are in use; just after a collection of garbage, if V8 was started so that it can be asked. */
  readonly heap: number;
  /** Timers that keep the process alive. */
  readonly timers: number;
}

/** Collects the garbage and tells what is left. */
export function ownReport(): OwnReport {
  (globalThis as { gc?: () => void }).gc?.();
  const timers = process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
  return { pid: process.pid, at: Date.now(), heap: process.memoryUsage().heapUsed, timers };
}
