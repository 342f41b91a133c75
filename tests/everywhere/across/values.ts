// Within: 90 s
/**
 * Every value of the wire format, scheduled on the runtime of this program, run on each runtime, and awaited on each: so
 * every triple of runtimes, once the program has run on all of them.
 *
 * @module
 */
import { configure } from "@firefly/tasks";
import assert from "node:assert/strict";
import { check, library } from "../check.ts";
import { OWN, Program, RUNTIMES, withPrograms } from "./shared/runtimes.ts";
import { echo } from "./shared/tasks.ts";
import { exists, make, NAMES, UNSTORABLE } from "./shared/values.ts";

library("@firefly/tasks");
const ff = configure({});
const consumers = RUNTIMES.map((runtime) => new Program(runtime, "./consumer.ts", { args: ["tasks", runtime] }));
const names = NAMES.filter(exists);
const lacks = (runtime: string, name: string) => runtime === "node22" && name === "golden: Float16Array";

/** Schedules every value once for each consumer. */
async function scheduleAll() {
  return await Promise.all(RUNTIMES.flatMap((runtime) =>
    names.map(async (name) => {
      const { id } = await echo.with({ queue: runtime }).schedule(name, make(name).from);
      return { name, id, runs: !lacks(runtime, name) };
    })
  ));
}

await withPrograms(consumers, async () => {
  const tasks = await scheduleAll();
  const input = JSON.stringify(tasks);
  for (const runtime of RUNTIMES) {
    await check(`${names.length} values of ${OWN}, run on each runtime, are awaited on ${runtime}`, async () => {
      const { awaited, failures } = await new Program(runtime, "./awaiter.ts", { input }).line("awaited");
      assert.deepEqual(failures, []);
      assert.equal(awaited, names.length * RUNTIMES.length);
    });
  }
  await check(`every consumer ran every value that ${OWN} has`, async () => {
    const counts = await ff.tasks.counts();
    for (const runtime of RUNTIMES) {
      const missing = names.filter((name) => lacks(runtime, name)).length;
      assert.equal(counts[runtime]?.completed, names.length - missing, runtime);
      assert.equal(counts[runtime]?.failed, missing, runtime);
    }
  });
});

for (const [name, value] of Object.entries(UNSTORABLE)) {
  await check(`${name} is refused when it is scheduled`, async () => {
    await assert.rejects(() => echo.schedule(name, value()), {
      name: "DataCloneError",
      message: /could not be cloned/,
    });
  });
}
await ff.close();
