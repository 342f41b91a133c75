// @ts-ignore: a module of Bun
import { test } from "bun:test";
import process from "node:process";
import { FAILING, TESTS } from "./tests.ts";

if (process.env.FAILS) test("fails", FAILING);
else for (const [name, run] of Object.entries(TESTS)) test(name, run, 30_000);
