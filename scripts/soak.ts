/**
 * The soak: `deno task soak` runs Firefly at a steady rate under random faults, and checks for leaks.
 *
 * @module
 */
import { join } from "node:path";
import { EXIT, onInterrupt, runProgram } from "./program.ts";
import { HELP, readOptions, type SoakOptions } from "./soak/options.ts";
import { plotRun } from "./soak/plot.ts";
import { runSoak } from "./soak/run.ts";
import { tableHead, tableLine, toMarkdown } from "./soak/table.ts";
import { judge } from "./soak/verdicts.ts";

async function soak(options: SoakOptions): Promise<number> {
  const out = await makeDirectory(options.out);
  const interrupt = new AbortController();
  const force = new AbortController();
  // The second one ends all of it, but for what must be gone: processes, connections and the database.
  using _ = onInterrupt(() => (interrupt.signal.aborted ? force : interrupt).abort());
  try {
    console.log(`Seed ${options.seed}, ${options.minutes} minutes, ${options.rate} tasks/s; details go to ${out}`);
    console.log(tableHead());
    const evidence = await runSoak({
      options,
      out,
      signal: interrupt.signal,
      force: force.signal,
      onNote: (text) => console.error(text),
      onRow: (row) => console.log(tableLine(row)),
    });
    const figures = judge(evidence);
    await Deno.writeTextFile(join(out, "evidence.json"), JSON.stringify(evidence));
    await Deno.writeTextFile(join(out, "soak.md"), toMarkdown(evidence.rows, figures));
    await Deno.writeTextFile(join(out, "soak.svg"), plotRun(evidence));
    for (const { name, value, bound, pass } of figures.list) {
      console.log(`${pass ? "pass" : "FAIL"}  ${name}: ${value} (${bound})`);
    }
    for (const example of [...evidence.account.examples, ...evidence.counts.broken]) console.log(`  ${example}`);
    const { account: { tasks, pruned, rescues, effects }, faults } = evidence;
    console.log(`${tasks} tasks, ${pruned} pruned, ${effects} effects, ${rescues} rescues, ${faults.length} faults`);
    return figures.pass ? EXIT.good : EXIT.bad;
  } catch (error) {
    if (!force.signal.aborted) throw error;
    console.error("Stopped at once, without a report");
    return Deno.exit(EXIT.interrupted); // what was under way has nothing left to work on
  }
}

async function makeDirectory(path: string | undefined): Promise<string> {
  const directory = path ?? await Deno.makeTempDir({ prefix: "firefly_soak_" });
  await Deno.mkdir(directory, { recursive: true });
  return await Deno.realPath(directory);
}

if (import.meta.main) Deno.exitCode = await runProgram({ help: HELP, readOptions, run: soak }, Deno.args);
