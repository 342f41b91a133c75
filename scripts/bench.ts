/**
 * The benchmark: `deno task bench` compares Firefly with other queues on one server, in one run.
 *
 * @module
 */
import { basename } from "node:path";
import { type BenchOptions, HELP, readOptions } from "./bench/options.ts";
import { plotResults } from "./bench/plot.ts";
import { renderPage, renderTables } from "./bench/page.ts";
import { parseResults, type Results } from "./bench/results.ts";
import { runBench } from "./bench/run.ts";
import { runCommand } from "./bench/run_command.ts";
import { EXIT, onInterrupt, runProgram } from "./program.ts";

async function bench(options: BenchOptions): Promise<number> {
  const interrupt = new AbortController();
  using _ = onInterrupt(() => interrupt.abort());
  try {
    const results = options.report === undefined
      ? await measure(options, interrupt.signal)
      : parseResults(await Deno.readTextFile(options.report));
    console.log(renderTables(results));
    if (options.write !== undefined) await write(options.write, results);
    return results.failures.length === 0 && results.measurements.length > 0 ? EXIT.good : EXIT.bad;
  } catch (error) {
    if (!interrupt.signal.aborted) throw error;
    console.error("Interrupted");
    return EXIT.interrupted;
  }
}

async function measure(options: BenchOptions, signal: AbortSignal): Promise<Results> {
  if (options.out !== undefined) await Deno.writeTextFile(options.out, "");
  return await runBench(options, {
    signal,
    onProgress: (text) => console.error(text),
    onLine(line) {
      if (options.out !== undefined) Deno.writeTextFileSync(options.out, `${JSON.stringify(line)}\n`, { append: true });
    },
  });
}

/** Writes the page, and its plots beside it. */
async function write(file: string, results: Results): Promise<void> {
  const plot = file.replace(/(\.md)?$/, ".svg");
  await Deno.writeTextFile(plot, plotResults(results));
  await Deno.writeTextFile(file, renderPage(results, basename(plot)));
  await runCommand(Deno.execPath(), ["fmt", "--quiet", file]);
}

if (import.meta.main) Deno.exitCode = await runProgram({ help: HELP, readOptions, run: bench }, Deno.args);
