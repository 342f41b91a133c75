/**
 * Imports from BullMQ, and kills its own process at one of the import's calls of Redis.
 *
 * Arguments: the URLs of the database and of Redis, then `after N` (when call N is answered) or `before-finish`
 * (before the first call that follows COMMIT).
 *
 * @module
 */
import process from "node:process";
import { Redis } from "ioredis";
import { importFromBullMQ } from "../../import.ts";
import { Firefly, task } from "../../mod.ts";
import { HOLD_JOBS } from "../../src/import/bullmq_scripts.ts";

task("killed.job", () => {});

const [database, url, mode, number] = Deno.args;
const redis = new Redis(url!);
let [calls, hasHeld] = [0, false];

function die(): never {
  process.kill(process.pid, "SIGKILL");
  throw new Error("the signal ends the process");
}

const connection = {
  async call(command: string, ...args: string[]): Promise<unknown> {
    calls++;
    if (mode === "before-finish" && hasHeld) die();
    const answer = await redis.call(command, ...args);
    hasHeld ||= command === "EVAL" && args[0] === HOLD_JOBS;
    if (mode === "after" && calls === Number(number)) die();
    return answer;
  },
};

await using firefly = new Firefly({ database: database! });
await importFromBullMQ({ firefly, connection });
redis.disconnect();
