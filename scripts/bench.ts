/**
 * The benchmark: `deno task bench` compares Firefly with other queues on one server, in one run.
 *
 * @module
 */
import { basename } from "node:path";
import { type BenchOptions, HELP, readOptions } from "./bench/options.ts";
import { otherPeer } from "./bench/peers.ts";
import { plotResults } from "./bench/plot.ts";
import { renderPage, renderTables } from "./bench/page.ts";
import { runSuite } from "./bench/program.ts";
import type { Results } from "./bench/results.ts";
import { QUEUES } from "./bench/run.ts";
import { runProgram } from "./program.ts";

async function bench(options: BenchOptions): Promise<number> {
  const { against, peers } = options;
  const other = against === undefined ? [] : [otherPeer(await Deno.realPath(against))];
  const suite = { ...QUEUES, peers: [...QUEUES.peers, ...other] };
  const all = { ...options, peers: [...peers, ...other.map(({ name }) => name)] };
  return await runSuite(all, { suite, renderTables, writePage });
}

/** Writes the page, and its plots beside it. */
async function writePage(file: string, results: Results): Promise<void> {
  const plot = file.replace(/(\.md)?$/, ".svg");
  await Deno.writeTextFile(plot, plotResults(results));
  await Deno.writeTextFile(file, renderPage(results, basename(plot)));
}

if (import.meta.main) Deno.exitCode = await runProgram({ help: HELP, readOptions, run: bench }, Deno.args);
