/**
 * Suspends tasks, each with 100 kB in the scope of its handler, and prints how many were, how much memory is in use once
 * all are suspended and was before, in bytes, and how many timers are left.
 *
 * `deno run -A --v8-flags=--expose-gc tests/support/memory_sleepers.ts <url> <count>`
 */
import { current, Firefly, signal, task } from "../../mod.ts";

const [url = "", count = ""] = Deno.args;
const collect = (globalThis as unknown as { gc(): void }).gc;

async function used(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    await new Promise((resolve) => setTimeout(resolve, 200));
    collect();
  }
  const { heapUsed, external } = Deno.memoryUsage();
  return heapUsed + external;
}

const never = signal("never");
const sleeper = task({ name: "memory.sleeper", timeout: "1h" }, async (i: number) => {
  const { step } = current();
  const scope = new Array<number>(12_500).fill(i);
  current().signal.addEventListener("abort", () => scope.length);
  await Promise.race([step.sleep("30d"), step.waitFor(never, { timeout: "60d" })]);
  return scope;
});

await using ff = new Firefly({ database: url });
const consumer = ff.consume({ tasks: [sleeper], concurrency: 50 });
await consumer.ready;
async function suspend(many: number) {
  let suspended = 0;
  const all = Promise.withResolvers<void>();
  const off = ff.on("suspended", () => ++suspended === many && all.resolve());
  await ff.run(() => sleeper.scheduleMany(Array.from({ length: many }, (_, i) => [i])));
  await all.promise;
  off();
}
await suspend(1000); // warms up
const before = await used();
await suspend(Number(count));
console.log(JSON.stringify({ before, after: await used() }));
await consumer.stop();
