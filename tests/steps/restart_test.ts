import { assertEquals } from "@std/assert";
import { current, Firefly, task } from "../../mod.ts";
import { startServer } from "../faults/servers.ts";
import { taskName } from "../support/instance.ts";
import { until } from "../support/waiting.ts";

Deno.test("a sleeping task survives a crash of the server and a restart of the consumers", async () => {
  const calls: string[] = [];
  const nap = task({ name: taskName() }, async (word: string) => {
    const { step } = current();
    await step("before", () => void calls.push(`before ${word}`));
    await step.sleep("2s");
    return await step("after", () => (calls.push(`after ${word}`), word));
  });
  await using server = await startServer();
  await using early = new Firefly({ database: server.url });
  await early.migrate();
  const [first, second] = await early.run(() => nap.scheduleMany([["a"], ["b"]]));
  const stopped = early.consume({ tasks: [nap], concurrency: 1 });
  const suspended = async () => (await early.tasks.counts()).default?.suspended === 2;
  await until(suspended);
  await stopped.stop();
  const [before] = await first!.steps();

  await server.stop("immediate");
  await server.start();
  await using late = new Firefly({ database: server.url });
  await using kept = late.consume({ tasks: [nap] });
  await kept.ready;
  await server.stop("immediate"); // this consumer lives on
  await server.start();

  const records = await Promise.all([first!, second!].map(({ id }) => late.tasks.get(id)));
  assertEquals(await Promise.all(records.map((record) => record.result())), ["a", "b"]);
  assertEquals(calls.toSorted(), ["after a", "after b", "before a", "before b"]);
  assertEquals((await late.tasks.steps(first!.id))[0], before);
});
