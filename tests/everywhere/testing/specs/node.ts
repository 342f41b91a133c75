import process from "node:process";
import { test } from "node:test";
import { FAILING, TESTS } from "./tests.ts";

if (process.env.FAILS) test("fails", FAILING);
else for (const [name, run] of Object.entries(TESTS)) test(name, run);
