/**
 * The command line: `deno run -A cli.ts help` tells what it can do.
 *
 * @module
 */
import process from "node:process";
import { main } from "./src/cli/main.ts";

process.exitCode = await main(process.argv.slice(2));
