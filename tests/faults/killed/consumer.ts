import type * as library from "../../../mod.ts";

/** A consumer of the workflows, of the database and with the concurrency that its arguments say. */

const { configure }: typeof library = await import(`${Deno.env.get("ROOT") ?? "../../.."}/mod.ts`);
const tasks = await import("./workflow_tasks.ts");
const [database, concurrency] = Deno.args;

const firefly = configure({ database: database! });
await firefly.consume({
  tasks: [tasks.ten, tasks.waits, tasks.saga, tasks.note, tasks.part, tasks.approve],
  concurrency: Number(concurrency),
  lease: "60s",
  watchdog: false,
}).finished;
