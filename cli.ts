/**
 * The command line. `deno run -A jsr:@firefly/tasks/cli help` lists its commands.
 *
 * @module
 */
import process from "node:process";
import { main } from "./src/cli/main.ts";

process.exitCode = await main(process.argv.slice(2));
