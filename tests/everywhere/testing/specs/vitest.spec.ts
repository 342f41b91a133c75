import { testFirefly } from "@firefly/tasks/testing";
import process from "node:process";
// @ts-ignore: installed beside the programs
import { test } from "vitest";
import { FAILING, TESTS } from "./tests.ts";

if (process.env.FAILS) test("fails", FAILING);
else {
  for (const [name, run] of Object.entries(TESTS)) test(name, run, 30_000);
  test("disposes of an instance at the end of its block", async () => {
    await using ff = await testFirefly();
    await ff.now();
  }, 30_000);
}
