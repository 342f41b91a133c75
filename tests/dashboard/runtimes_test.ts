import { assertEquals } from "@std/assert";
import { testDatabase } from "../support/database.ts";
import { runOn, RUNTIMES } from "../wire/runtimes.ts";

const PROGRAM = new URL("../support/dashboard_runtime.ts", import.meta.url);

for (const runtime of RUNTIMES) {
  Deno.test(`the dashboard is served by ${runtime}, with events that end with their reader`, async () => {
    await using db = await testDatabase();

    assertEquals(await runOn(runtime, PROGRAM, { FIREFLY_TEST_DATABASE: db.url }), { success: true, stderr: "" });
  });
}
