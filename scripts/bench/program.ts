import { EXIT, onInterrupt } from "../program.ts";
import type { BenchOptions } from "./options.ts";
import { parseResults, type Results } from "./results.ts";
import { runBench, type Suite } from "./run.ts";
import { runCommand } from "./run_command.ts";

/** What a program of the benchmark does with its results. */
export interface Rendering {
  readonly suite: Suite;
  renderTables(results: Results): string;
  /** Writes the page, and what belongs to it beside it. */
  writePage(file: string, results: Results): Promise<void>;
}

/** Measures, or reads what was measured, and renders it; resolves to the exit code. */
export async function runSuite(options: BenchOptions, { suite, renderTables, writePage }: Rendering): Promise<number> {
  const interrupt = new AbortController();
  using _ = onInterrupt(() => interrupt.abort());
  try {
    const results = options.report === undefined
      ? await measure(options, suite, interrupt.signal)
      : parseResults(await Deno.readTextFile(options.report));
    console.log(renderTables(results));
    if (options.write !== undefined) {
      await writePage(options.write, results);
      await runCommand(Deno.execPath(), ["fmt", "--quiet", options.write]);
    }
    return results.failures.length === 0 && results.measurements.length > 0 ? EXIT.good : EXIT.bad;
  } catch (error) {
    if (!interrupt.signal.aborted) throw error;
    console.error("Interrupted");
    return EXIT.interrupted;
  }
}

async function measure(options: BenchOptions, suite: Suite, signal: AbortSignal): Promise<Results> {
  if (options.out !== undefined) await Deno.writeTextFile(options.out, "");
  return await runBench(options, {
    signal,
    onProgress: (text) => console.error(text),
    onLine(line) {
      if (options.out !== undefined) Deno.writeTextFileSync(options.out, `${JSON.stringify(line)}\n`, { append: true });
    },
  }, suite);
}
