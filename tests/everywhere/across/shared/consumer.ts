/**
 * A consumer of the tasks of a module and the queues that its arguments name, until SIGTERM or the end of its standard
 * input.
 *
 * @module
 */
import { configure, type Task } from "@firefly/tasks";
import process from "node:process";
import { OWN, tell } from "./runtimes.ts";

const [module, ...queues] = process.argv.slice(2);
// deno-lint-ignore no-explicit-any
const tasks: Task<any, any>[] = Object.values(await import(`./${module}.ts`)).filter((it) => typeof it === "function");
const ff = configure({});
const consumer = ff.consume({ tasks, queues, lease: "3s" });
process.once("SIGTERM", () => consumer.stop());
process.stdin.once("end", () => consumer.stop());
process.stdin.resume();
await consumer.ready;
tell({ ready: OWN });
await consumer.finished;
await ff.close();
process.exit();
