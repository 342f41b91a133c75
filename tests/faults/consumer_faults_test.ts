import { CONSUMER_FAULTS } from "./all.ts";
import { testFaults } from "./test_faults.ts";

await testFaults(CONSUMER_FAULTS);
