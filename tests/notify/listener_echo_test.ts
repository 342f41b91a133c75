import { assertEquals, assertLess } from "@std/assert";
import { testDatabase } from "../support/database.ts";
import { listenTo, notify, terminateListener } from "../support/listening.ts";
import { until } from "../support/waiting.ts";

Deno.test("end() does not wait for an echo that cannot come any more, nor for its statement", async () => {
  await using db = await testDatabase({ migrated: false });
  for (const answers of [true, false]) {
    const asked = Promise.withResolvers<void>();
    const echo = () => {
      asked.resolve();
      return answers ? Promise.resolve() : new Promise<void>(() => {});
    };
    const { listener, events } = listenTo(db.settings, { echo });
    listener.subscribe(["firefly:default"], () => {});
    await asked.promise;
    await new Promise((resolve) => setTimeout(resolve, 10)); // it waits for the echo by now
    const began = performance.now();

    await listener.end();

    assertLess(performance.now() - began, 1_800); // the echo may take 2 s, its statement 5 s
    assertEquals(events, []);
  }
});

Deno.test("Listener that loses its connection while it waits for an echo connects again, and has proved nothing", async () => {
  await using db = await testDatabase({ migrated: false });
  const asked = Promise.withResolvers<void>();
  let echoes = 0;
  const echo = async (channel: string) => {
    echoes++;
    asked.resolve();
    if (echoes > 1) await notify(db, channel);
  };
  await using bench = listenTo(db.settings, { echo });
  bench.listener.subscribe(["firefly:default"], () => {});
  await asked.promise;

  await terminateListener(db);
  await until(() => bench.listener.connected);

  assertEquals([bench.events, echoes], [["listener.lost", "listener.connected"], 2]);
});
