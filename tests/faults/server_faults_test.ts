import { SERVER_FAULTS } from "./all.ts";
import { testsOfFaults } from "./tests_of_faults.ts";

for (const test of await testsOfFaults(SERVER_FAULTS)) Deno.test(test);
