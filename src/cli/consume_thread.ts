/**
 * The thread of `consume --watch`: runs the command line that it was given.
 *
 * @module
 */
import { workerData } from "node:worker_threads";
import { watcherPort } from "./consume_watch.ts";
import { main } from "./main.ts";

if (watcherPort()) await main(workerData.args);
