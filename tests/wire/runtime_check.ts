/** Runs the checks that need no API of one runtime, prints what is wrong, and exits with 1 if anything is. @module */
import process from "node:process";
import { checkChangedGlobals } from "./globals_cases.ts";
import { checkGolden, checkPollution } from "./golden_cases.ts";
import { checkBulky, checkDepth, checkExcessive, checkMalformed } from "./hostile_cases.ts";
import { checkRoundTrips } from "./round_trip_cases.ts";

const wrong = [
  ...await checkGolden(),
  ...checkPollution(),
  ...await checkRoundTrips(),
  ...await checkChangedGlobals(),
  ...checkMalformed(),
  ...checkExcessive(),
  ...checkBulky(),
  ...checkDepth(),
];
for (const line of wrong) process.stderr.write(`${line}\n`);
process.exitCode = wrong.length === 0 ? 0 : 1;
