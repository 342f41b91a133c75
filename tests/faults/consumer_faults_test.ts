import { CONSUMER_FAULTS } from "./all.ts";
import { testsOfFaults } from "./tests_of_faults.ts";

for (const test of await testsOfFaults(CONSUMER_FAULTS)) Deno.test(test);
