/**
 * The command line. `deno run -A jsr:@firefly/tasks/cli help` lists its commands.
 *
 * @example Create the schema, schedule a task of `tasks.ts`, and run it
 * ```sh
 * alias firefly="deno run -A jsr:@firefly/tasks/cli" # once in a shell
 * firefly migrate
 * firefly schedule math.add '[1, 3]'
 * firefly consume --drain
 * ```
 *
 * @module
 */
import process from "node:process";
import { main } from "./src/cli/main.ts";

process.exitCode = await main(process.argv.slice(2));
