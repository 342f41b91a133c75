import { SERVER_FAULTS } from "./all.ts";
import { testFaults } from "./test_faults.ts";

await testFaults(SERVER_FAULTS);
