import { current, task } from "@firefly/tasks";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";

const input = z.tuple([z.int(), z.int(), z.number().min(0).max(60).default(0)]);

/** Adds two integers after some seconds of work. JSON has no bigint, which the result is, as it may need more digits. */
export const add = task({ name: "math.add", input, timeout: "2m" }, async (i, j, seconds) => {
  await sleep(seconds * 1000, undefined, { signal: current().signal });
  return BigInt(i) + BigInt(j);
});
