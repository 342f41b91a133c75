/**
 * Drains a database, and prints how much memory it has in use after a third of the tasks and at the end, in bytes.
 *
 * `deno run -A --v8-flags=--expose-gc tests/support/memory_drain.ts <url> <count>`
 */
import { Firefly, task } from "../../mod.ts";

const [url = "", count = ""] = Deno.args;
const collect = (globalThis as unknown as { gc(): void }).gc;

function used(): { heap: number; external: number } {
  collect();
  const { heapUsed: heap, external } = Deno.memoryUsage();
  return { heap, external };
}

let done = 0;
let third = used();
const work = task("memory.noop", (_text: string) => {
  if (++done === Math.round(Number(count) / 3)) third = used();
});

await using ff = new Firefly({ database: url });
await ff.consume({ tasks: [work], concurrency: 50, drain: true }).finished;
console.log(JSON.stringify({ done, third, end: used() }));
