import { markdownTable } from "../markdown_table.ts";
import { PEERS } from "./peers.ts";
import type { Results } from "./results.ts";
import { FULL } from "./scenarios.ts";
import { noiseOf, QUIET } from "./statistics.ts";
import { measuredSections, roundsTable, targetTable } from "./tables.ts";

/** The tables alone, for a terminal. */
export function renderTables(results: Results): string {
  const rounds = roundsTable(results);
  return [
    ...quickness(results),
    ...targetTable(results),
    "",
    ...measuredSections(results).flatMap(({ section, lines }) => [section.title, "", ...lines, ""]),
    ...rounds ? ["Rounds", "", ...rounds, ""] : [],
  ].join("\n");
}

/** The whole page, but for the breaks of its lines; `plot` is the path of the plots from there. */
export function renderPage(results: Results, plot: string): string {
  const { run } = results;
  return [
    "# Benchmarks",
    "",
    ...quickness(results),
    `Firefly beside other queues, and beside what the server can do by itself, in one run: ${turns(run.rounds)}, on ` +
    `${run.started.slice(0, 10)}. Numbers are medians of the rounds, with the least and the most. Producers and ` +
    "consumers are processes of their own, beside the server, on one machine; what measures them is another. Each " +
    "measurement has a new database, and begins after a checkpoint. All rows are kept and all is durable, unless the " +
    "settings say otherwise.",
    "",
    "`deno task bench --write docs/reports/benchmarks.md` makes this page, and its `--help` lists the options. Other queues are " +
    "installed for it alone, from npm, at the versions that stand below.",
    "",
    ...noise(results),
    "## Targets",
    "",
    ...targetTable(results),
    "",
    `![Rates, latencies and rounds](${plot})`,
    "",
    ...measuredSections(results).flatMap(({ section, lines }) => [
      `## ${section.title}`,
      "",
      section.about(run.sizes),
      "",
      ...lines,
      "",
    ]),
    ...rounds(results),
    ...failures(results),
    ...settings(results),
  ].join("\n");
}

function quickness({ run }: Results): string[] {
  if (run.sizes.tasks >= FULL.tasks) return [];
  return ["**This run was a quick one: it shows that the benchmark works, and nothing of how fast anything is.**", ""];
}

function turns(rounds: number): string {
  return rounds === 1 ? "one round" : `${rounds} rounds, in each of which everything is measured in turn`;
}

function noise({ measurements }: Results): string[] {
  const noisy = measurements.filter(({ metrics }) => noiseOf(metrics) > QUIET).length;
  return [
    `A measurement during which processes that have nothing to do with it, or the hypervisor, took more than ` +
    `${
      QUIET * 100
    }% of the machine is made once more, and the quieter one counts. ${noisy} of ${measurements.length} ` +
    "were noisy even so.",
    "",
  ];
}

function rounds(results: Results): string[] {
  const table = roundsTable(results);
  if (!table) return [];
  const { steps, tasks } = results.run.sizes;
  return [
    `## ${(steps * tasks).toLocaleString("en")} tasks in ${steps} rounds`,
    "",
    `Each round schedules ${
      tasks.toLocaleString("en")
    } tasks in bulk and drains them with one process, on the tables as ` +
    "the round before left them. Autovacuum has the server's defaults, but for what Firefly sets for its own tables. " +
    "Sizes are of all tables and all indexes after the round.",
    "",
    ...table,
    "",
  ];
}

function failures({ failures }: Results): string[] {
  if (failures.length === 0) return [];
  const rows = failures.map(({ peer, scenario, round, message }) => [
    peer,
    scenario,
    String(round),
    message.split("\n")[0]!,
  ]);
  return ["## What could not be measured", "", ...markdownTable(["Peer", "Scenario", "Round", "Why"], rows), ""];
}

function settings({ run }: Results): string[] {
  const peers = PEERS.filter(({ name }) => name in run.versions).map((
    { name, title, runtime, config, chunk, share, note },
  ) => [
    title,
    run.versions[name]!,
    runtime === "deno" ? "Deno" : "Node",
    [
      ...Object.entries(config).map(([setting, value]) => `\`${setting}: ${value}\``),
      `${chunk} tasks a call in bulk`,
      ...share < 1 ? [`${share * 100}% of the tasks in bulk and drains`] : [],
      note,
    ].join("; "),
  ]);
  return [
    "## Settings",
    "",
    ...markdownTable(["", ""], run.machine.map((row) => [...row])),
    "",
    "The server, where it matters or differs from the defaults:",
    "",
    ...markdownTable(["Setting", "Value"], run.server.map(([name, value]) => [`\`${name}\``, value])),
    "",
    ...markdownTable(["Peer", "Version", "Runs on", "Settings"], peers),
    "",
  ];
}
