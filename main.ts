/**
 * The command line as a function, for a program of your own: one binary with your tasks in it.
 *
 * @example A program that `deno compile` or `bun build --compile` makes a binary of
 * ```ts ignore
 * import { main } from "@firefly/tasks/main";
 * import process from "node:process";
 * import "./tasks.ts";
 *
 * process.exitCode = await main(process.argv.slice(2));
 * ```
 *
 * @module
 */
export { main } from "./src/cli/main.ts";
