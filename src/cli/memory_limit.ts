import process from "node:process";
import type { Firefly } from "../firefly/firefly.ts";
import { formatBytes } from "./bytes.ts";

/** Milliseconds between two looks. */
const INTERVAL = 1000;

/**
 * Calls `onReached` once, with a sentence, when the process has more memory than `limit` bytes and has begun a task: a
 * fresh process would have no less before that. Returns a function that ends it.
 */
export function watchMemory(ff: Firefly, limit: number, onReached: (text: string) => void): () => void {
  let timer: ReturnType<typeof setInterval> | undefined;
  const forget = ff.on("started", () => {
    forget();
    timer = setInterval(look, INTERVAL);
    timer.unref();
  });
  function look(): void {
    const used = process.memoryUsage.rss();
    if (used <= limit) return;
    clearInterval(timer);
    onReached(`The process has ${formatBytes(used)} of memory, more than --max-memory ${formatBytes(limit)}: stopping`);
  }
  return () => {
    forget();
    clearInterval(timer);
  };
}
