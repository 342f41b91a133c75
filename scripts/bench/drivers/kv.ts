import { join } from "node:path";
import type { Driver, Payload, Setup } from "./driver.ts";

/** Deno KV in a file. */
export function openDriver({ directory }: Setup): Driver {
  const file = join(directory, "queue.db");
  return {
    install: () => Promise.resolve(),
    async producer() {
      const kv = await Deno.openKv(file);
      return {
        one: (payload) => kv.enqueue(payload),
        many: (payloads) => payloads.reduce((all, payload) => all.enqueue(payload), kv.atomic()).commit(),
      };
    },
    async consumer(onTask) {
      const kv = await Deno.openKv(file);
      void kv.listenQueue((payload: Payload) => onTask(payload));
    },
    // It does not tell: a drain ends with its last handler.
    remaining: () => Promise.resolve(0),
  };
}
