import { testFirefly } from "@firefly/tasks/testing";
import process from "node:process";
import { FAILING, TESTS } from "./tests.ts";

declare const Deno: { test(name: string, run: () => unknown): void };

if (process.env.FAILS) Deno.test("fails", FAILING);
else {
  for (const [name, run] of Object.entries(TESTS)) Deno.test(name, run);
  Deno.test("disposes of an instance at the end of its block", async () => {
    await using ff = await testFirefly();
    await ff.now();
  });
}
