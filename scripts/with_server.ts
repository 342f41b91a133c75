/**
 * Runs Deno with `TEST_DATABASE_URL` of a server of its own, from the PostgreSQL that is installed:
 * `deno run -A scripts/with_server.ts ARGUMENTS`. Its files are in memory and it waits for no disk, as each test makes
 * a database and drops it: with fsync and a copy that is logged, four files of tests take 122 s instead of 103 s.
 *
 * @module
 */
import { startServer } from "../tests/faults/servers.ts";
import { memoryDirectory, UNSAFE_SETTINGS } from "../tests/support/server.ts";
import { onInterrupt } from "./program.ts";

/** Runs Deno with these arguments; resolves to its exit code. */
async function main(args: string[]): Promise<number> {
  using _ = onInterrupt(() => {}); // the command ends by the same signal, then the server
  await using server = await startServer(UNSAFE_SETTINGS, await memoryDirectory());
  const env = { TEST_DATABASE_URL: server.url, TEST_DATABASE_STRATEGY: "file_copy" };
  return (await new Deno.Command(Deno.execPath(), { args, env, stdin: "null" }).spawn().status).code;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
