/** Schedules 5 tasks every 50 ms, counted from its argument, until it reads a line; then tells how many. @module */
import { configure } from "@firefly/tasks";
import process from "node:process";
import { tell } from "./runtimes.ts";
import { added, write } from "./roll.ts";

const ff = configure({});
const first = Number(process.argv[2]);
let isStopped = false;
process.stdin.once("data", () => isStopped = true);
process.stdin.once("end", () => process.exit());
process.once("SIGTERM", () => process.exit());

let count = 0;
while (!isStopped) {
  const calls = Array.from({ length: 5 }, (_, i): [number] => [first + count + i]);
  await write.scheduleMany(calls);
  await added?.scheduleMany(calls);
  count += calls.length;
  await new Promise((resolve) => setTimeout(resolve, 50));
}
tell({ writes: count, added: added ? count : 0 });
await ff.close();
process.exit();
