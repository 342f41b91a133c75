/**
 * The benchmark of workflows: `deno task bench:workflows` compares Firefly's with those of DBOS and Absurd on one server,
 * in one run.
 *
 * @module
 */
import { runProgram } from "../program.ts";
import { type BenchOptions, describeOptions, readOptions } from "./options.ts";
import { runSuite } from "./program.ts";
import { WORKFLOWS } from "./scenarios.ts";
import { WORKFLOW_PACKAGES } from "./workflows/packages.ts";
import { renderWorkflowPage, renderWorkflowTables } from "./workflows/page.ts";
import { WORKFLOW_PEERS } from "./workflows/peers.ts";

const SUITE = {
  peers: WORKFLOW_PEERS,
  scenarios: WORKFLOWS,
  packages: { name: "bench_workflows", packages: WORKFLOW_PACKAGES },
  counting: true,
} as const;

/** What `deno task bench:workflows --help` says. */
const HELP = `Compares workflows of Firefly with those of other engines on Postgres, in one run.

Usage: deno task bench:workflows [options]

${describeOptions(SUITE)}

The others are installed from npm into a directory outside of the checkout; the schema of Absurd, which its package
does not have, is downloaded from its repository, or read from there as absurd.sql. BullMQ is measured if a Redis
answers at 127.0.0.1:6379: database 9 is emptied there. A server at --database counts statements if it has the
extension pg_stat_statements. Ctrl-C stops the run and cleans up.
It exits with 1 if a measurement failed, with 2 for a usage error. See docs/benchmarks.md.`;

const run = (options: BenchOptions) =>
  runSuite(options, {
    suite: SUITE,
    renderTables: renderWorkflowTables,
    writePage: (file, results) => Deno.writeTextFile(file, renderWorkflowPage(results)),
  });

if (import.meta.main) {
  Deno.exitCode = await runProgram({ help: HELP, readOptions: (args) => readOptions(args, SUITE), run }, Deno.args);
}
