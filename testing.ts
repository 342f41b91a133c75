/**
 * The testing kit: a database and a clock of a test's own.
 *
 * @example Schedule, look, drain, travel
 * ```ts ignore
 * import { testFirefly } from "@firefly/tasks/testing";
 * import { remind } from "./tasks.ts";
 *
 * await using ff = await testFirefly();
 * await remind.with({ delay: "2h" }).schedule("ada");
 * await ff.assertScheduled(remind, { args: ["ada"], in: "2h" });
 * await ff.travel("2h");
 * await ff.drain(); // throws what the handler throws
 * ```
 *
 * @module
 */
export type { DrainCounts, DrainOptions } from "./src/testing/drain.ts";
export type { Expected } from "./src/testing/expectation.ts";
export type { SetupDatabase, TestOptions } from "./src/testing/options.ts";
export { TestFirefly } from "./src/testing/test_firefly.ts";
export { testFirefly } from "./src/testing/testing.ts";
