/** Schedules a unique task for each of the keys that it reads, all at once, and tells what became of each. @module */
import { configure } from "@firefly/tasks";
import process from "node:process";
import { createInterface } from "node:readline";
import { tell } from "./runtimes.ts";
import { once } from "./tasks.ts";

const ff = configure({});
await ff.queues(); // connects
process.once("SIGTERM", () => process.exit());
tell({ ready: true });
for await (const line of createInterface({ input: process.stdin })) {
  const keys: string[] = JSON.parse(line);
  const records = await Promise.all(keys.map((key) => once.schedule(key)));
  tell({ scheduled: records.map(({ id, inserted }) => ({ id, inserted })) });
  break;
}
await ff.close();
process.exit();
