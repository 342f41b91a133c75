import { parseArgs } from "@std/cli/parse-args";
import { UsageError } from "../program.ts";
import { PEERS } from "./peers.ts";
import { type Scenario, SCENARIOS } from "./scenarios.ts";

/** What `deno task bench --help` says. */
export const HELP = `Measures Firefly beside other queues, and the server beside all of them, in one run.

Usage: deno task bench [options]

  --rounds    how often everything is measured, in turns, 3
  --only      scenarios, with commas between them: ${wrap(SCENARIOS)}
  --peers     ${wrap(PEERS.map(({ name }) => name))}
  --seconds   how long each measurement lasts that has no number of tasks, 3
  --quick     few tasks and short times, to see that it works
  --database  URL of a server; a database of its own is made there for each measurement, and dropped
              default: a PostgreSQL of the benchmark's own
  --out       file for the results, a line of JSON each; default: none
  --write     writes the page with the tables into this file, and its plots beside it
  --report    makes the tables, and with --write the page, of such a file of results, and measures nothing

Other queues are installed from npm into a directory outside of the checkout. BullMQ is measured if a Redis
answers at 127.0.0.1:6379: it empties database 9 there. Ctrl-C ends it, and removes what it made.
It exits with 1 if a measurement failed, with 2 if it was called wrongly. See docs/benchmarks.md.`;

/** What to measure. */
export interface BenchOptions {
  readonly rounds: number;
  readonly scenarios: readonly Scenario[];
  /** Their names. */
  readonly peers: readonly string[];
  /** Undefined for the default of the sizes. */
  readonly seconds: number | undefined;
  readonly quick: boolean;
  readonly database: string | undefined;
  readonly out: string | undefined;
  readonly write: string | undefined;
  readonly report: string | undefined;
}

const STRINGS = ["rounds", "only", "peers", "seconds", "database", "out", "write", "report"] as const;

/** Reads the command line; undefined if only help was asked for. */
export function readOptions(args: string[]): BenchOptions | undefined {
  const given = parseArgs(args, {
    string: [...STRINGS],
    boolean: ["help", "quick"],
    alias: { h: "help" },
    unknown: (argument) => {
      throw new UsageError(`Cannot run the benchmark as there is no option ${JSON.stringify(argument)}`);
    },
  });
  if (given.help) return undefined;
  for (const name of STRINGS) {
    if (given[name] === "") throw new UsageError(`Cannot run the benchmark as --${name} has no value`);
  }
  const [rounds, seconds] = [numberOf("rounds", given.rounds), numberOf("seconds", given.seconds)];
  if (rounds !== undefined && !Number.isInteger(rounds)) {
    throw new UsageError(`Cannot run the benchmark as --rounds must be an integer: current value is ${rounds}`);
  }
  return {
    rounds: rounds ?? 3,
    scenarios: choose("only", given.only, SCENARIOS),
    peers: choose("peers", given.peers, PEERS.map(({ name }) => name)),
    seconds,
    quick: given.quick,
    database: given.database,
    out: given.out,
    write: given.write,
    report: given.report,
  };
}

function numberOf(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (value > 0 && Number.isFinite(value)) return value;
  throw new UsageError(
    `Cannot run the benchmark as --${name} must be a number above 0: current value is ${JSON.stringify(text)}`,
  );
}

function choose<T extends string>(name: string, text: string | undefined, all: readonly T[]): readonly T[] {
  if (text === undefined) return all;
  const wanted = text.split(",");
  for (const one of wanted) {
    if ((all as readonly string[]).includes(one)) continue;
    throw new UsageError(
      `Cannot run the benchmark as --${name} has ${JSON.stringify(one)}, which is none of ${all.join(", ")}`,
    );
  }
  return all.filter((one) => wanted.includes(one));
}

function wrap(names: readonly string[]): string {
  const lines = [""];
  for (const name of names) {
    if (lines.at(-1)!.length + name.length > 72) lines.push("");
    lines[lines.length - 1] += `${name}, `;
  }
  return lines.map((line, i) => (i === 0 ? line : `${" ".repeat(14)}${line}`).trimEnd()).join("\n").slice(0, -1);
}
