/**
 * A program that a watchdog must end, for any runtime: it runs by itself, and with an argument it blocks no more than it
 * may, and ends well.
 */
import process from "node:process";
import { writeSync } from "node:fs";
import { Emitter } from "../../src/events.ts";
import { Watchdog } from "../../src/consume/watchdog.ts";

const events = new Emitter();
events.on("consumer.error", ({ error }) => writeSync(2, new TextEncoder().encode(`${error}\n`)));
const options = { consumer: { id: "c1" }, config: { leaseMs: 1000, names: ["a", "b"], watchdog: true } };

const first = new Watchdog({ ...options, events });
await new Promise((resolve) => setTimeout(resolve, 1000)); // longer than the limit, but nobody blocks anything
await first.end();
block(1000); // and nobody watches
writeSync(2, new TextEncoder().encode("unwatched\n"));

new Watchdog({ ...options, events });
await new Promise((resolve) => setTimeout(resolve, 200));
events.emit("started", { id: 2 ** 40, funcName: "b", queue: "default", attempt: 1 });
block(5000);
process.exit(99);

function block(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}
