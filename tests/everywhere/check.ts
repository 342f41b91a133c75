/**
 * What the programs of `deno task everywhere` report by: a line of JSON for each check, and for each library that they
 * use.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import process from "node:process";

/** Runs a check and prints whether it passed; a failure makes the exit code 1, and the program goes on. */
export async function check(name: string, run: () => unknown): Promise<void> {
  const started = performance.now();
  let failure: { error: string } | undefined;
  try {
    await run();
  } catch (error) {
    process.exitCode = 1;
    failure = {
      error: error instanceof Error ? error.stack ?? String(error) : String(error),
    };
  }
  print({
    check: name,
    ok: failure === undefined,
    ms: Math.round(performance.now() - started),
    ...failure,
  });
}

/** Prints the version of a library that is installed beside the program. */
export function library(name: string): void {
  const url = new URL(`./node_modules/${name}/package.json`, import.meta.url);
  print({
    library: name,
    version: JSON.parse(readFileSync(url, "utf8")).version,
  });
}

function print(line: object): void {
  process.stdout.write(JSON.stringify(line) + "\n");
}
