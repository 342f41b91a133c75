import { parseArgs } from "@std/cli/parse-args";
import { UsageError } from "../program.ts";

/** What `deno task soak --help` says. */
export const HELP = `Runs Firefly at a steady rate under random faults, and checks for leaks.

Usage: deno task soak [options]

  --minutes     how long the load lasts, 30 (fractions are allowed)
  --rate        tasks scheduled a second, 50
  --consumers   processes of cli.ts consume, 3; the first is never killed
  --faults      all (default) or none
  --seed        chooses faults, times and tasks; random by default, and printed
  --database    URL of a server; a temporary database is created there
                default: FIREFLY_DATABASE_URL, else the embedded server
  --own-server  starts a PostgreSQL of its own instead, and also restarts and crashes it
  --out         directory for the table, the plot, the samples and the consumers' logs
                default: a temporary directory

Ctrl-C ends the load and reports the results so far; a second Ctrl-C stops at once.
It exits with 1 if a verdict is bad, with 2 for a usage error. See docs/reports/soak.md.`;

/** What to do, and for how long. */
export interface SoakOptions {
  readonly minutes: number;
  readonly rate: number;
  readonly consumers: number;
  readonly faults: boolean;
  readonly seed: number;
  readonly database: string | undefined;
  readonly ownServer: boolean;
  readonly out: string | undefined;
}

const STRINGS = ["minutes", "rate", "consumers", "faults", "seed", "database", "out"] as const;

/** Reads the command line; undefined if only help was asked for. */
export function readOptions(args: string[]): SoakOptions | undefined {
  const given = parseArgs(args, {
    string: [...STRINGS],
    boolean: ["help", "own-server"],
    alias: { h: "help" },
    unknown: (argument) => {
      throw new UsageError(`Cannot soak as there is no option ${JSON.stringify(argument)}`);
    },
  });
  if (given.help) return undefined;
  const faults = given.faults ?? "all";
  if (faults !== "all" && faults !== "none") {
    throw new UsageError(`Cannot soak as --faults must be all or none: current value is ${JSON.stringify(faults)}`);
  }
  if (given["own-server"] && given.database) {
    throw new UsageError("Cannot soak as --database and --own-server exclude each other");
  }
  return {
    minutes: numberOf("minutes", given.minutes ?? "30", { least: 0.1 }),
    rate: numberOf("rate", given.rate ?? "50", { least: 0.1 }),
    consumers: numberOf("consumers", given.consumers ?? "3", { least: 1, integer: true }),
    seed: numberOf("seed", given.seed ?? String(Math.floor(Math.random() * 2 ** 31)), { least: 0, integer: true }),
    faults: faults === "all",
    database: given.database,
    ownServer: given["own-server"],
    out: given.out,
  };
}

function numberOf(
  name: string,
  text: string,
  { least, integer = false }: { least: number; integer?: boolean },
): number {
  const value = Number(text);
  if (text !== "" && value >= least && Number.isFinite(value) && (!integer || Number.isInteger(value))) return value;
  const what = integer ? "an integer" : "a number";
  throw new UsageError(
    `Cannot soak as --${name} must be ${what} of at least ${least}: current value is ${JSON.stringify(text)}`,
  );
}
