import { parseArgs } from "@std/cli/parse-args";
import { UsageError } from "../program.ts";
import { PEERS } from "./peers.ts";
import { type Scenario, SCENARIOS } from "./scenarios.ts";

/** What can be chosen from. */
export interface Choices {
  readonly scenarios: readonly Scenario[];
  readonly peers: readonly { readonly name: string }[];
}

const QUEUES: Choices = { scenarios: SCENARIOS, peers: PEERS };

/** What the options mean that each program of the benchmark has. */
export function describeOptions({ scenarios, peers }: Choices): string {
  return `  --rounds    how often everything is measured, in turn, 3
  --only      scenarios, with commas between them: ${wrap(scenarios)}
  --peers     ${wrap(peers.map(({ name }) => name))}
  --quick     few tasks and short times, to check that it works
  --noisy     measures once even while others are busy, on a machine that is never quiet
  --database  URL of a server; each measurement creates and drops a database there
              default: a PostgreSQL of the benchmark's own
  --out       file for the results, a line of JSON each; default: none
  --write     writes the page with the tables into this file, and its plots beside it
  --report    renders the tables, and with --write the page, from such a file, and measures nothing`;
}

/** What `deno task bench --help` says. */
export const HELP = `Compares Firefly with other queues, and with the server alone, in one run.

Usage: deno task bench [options]

${describeOptions(QUEUES)}
  --seconds   duration of each measurement without a number of tasks, 3
  --against   another checkout of Firefly, whose code is measured in turn with this one, as the peer "firefly-other"

Other queues are installed from npm into a directory outside of the checkout. BullMQ is measured if a Redis
answers at 127.0.0.1:6379: database 9 is emptied there. Ctrl-C stops the run and cleans up.
It exits with 1 if a measurement failed, with 2 for a usage error. See docs/reports/benchmarks.md.`;

/** What to measure. */
export interface BenchOptions {
  readonly rounds: number;
  readonly scenarios: readonly Scenario[];
  /** Their names. */
  readonly peers: readonly string[];
  /** Undefined for the default of the sizes. */
  readonly seconds: number | undefined;
  readonly quick: boolean;
  readonly noisy: boolean;
  readonly database: string | undefined;
  readonly out: string | undefined;
  readonly write: string | undefined;
  readonly report: string | undefined;
  /** The directory of another checkout. */
  readonly against: string | undefined;
}

const STRINGS = ["rounds", "only", "peers", "seconds", "database", "out", "write", "report", "against"] as const;

/** Reads the command line; undefined if only help was asked for. */
export function readOptions(args: string[], choices: Choices = QUEUES): BenchOptions | undefined {
  const given = parseArgs(args, {
    string: [...STRINGS],
    boolean: ["help", "quick", "noisy"],
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
    scenarios: choose("only", given.only, choices.scenarios),
    peers: choose("peers", given.peers, choices.peers.map(({ name }) => name)),
    seconds,
    quick: given.quick,
    noisy: given.noisy,
    database: given.database,
    out: given.out,
    write: given.write,
    report: given.report,
    against: given.against,
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
