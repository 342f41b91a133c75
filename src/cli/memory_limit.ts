import process from "node:process";
import { formatBytes } from "./bytes.ts";

/** Milliseconds between two looks. */
const INTERVAL = 1000;

/** Calls `onReached` once, with a sentence, when the process has more memory than `limit` bytes. Returns a function that ends it. */
export function watchMemory(limit: number, onReached: (text: string) => void): () => void {
  const timer = setInterval(() => {
    const used = process.memoryUsage.rss();
    if (used <= limit) return;
    clearInterval(timer);
    onReached(`The process has ${formatBytes(used)} of memory, more than --max-memory ${formatBytes(limit)}: stopping`);
  }, INTERVAL);
  timer.unref();
  return () => clearInterval(timer);
}
