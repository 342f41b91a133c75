import { markdownTable } from "../markdown_table.ts";
import { headlineTable } from "./headline.ts";
import { type Peer, SHOWN } from "./peers.ts";
import type { Results } from "./results.ts";
import { FULL } from "./scenarios.ts";
import { noiseOf, QUIET } from "./statistics.ts";
import {
  measuredSections,
  recordsTable,
  requestsTable,
  roundsTable,
  targetTable,
  tracesTable,
  treesTable,
} from "./tables.ts";

const PAGES = { scenario: "dashboard", title: "Page" } as const;
const SCRAPES = { scenario: "scrape", title: "Database with" } as const;

/** Renders the tables alone, for a terminal. */
export function renderTables(results: Results): string {
  const [rounds, records] = [roundsTable(results), recordsTable(results)];
  const [pages, scrapes] = [requestsTable(results, PAGES), requestsTable(results, SCRAPES)];
  const [traces, trees] = [tracesTable(results), treesTable(results)];
  return [
    ...quickness(results),
    ...targetTable(results),
    "",
    ...measuredSections(results).flatMap(({ section, lines }) => [section.title, "", ...lines, ""]),
    ...rounds ? ["Rounds", "", ...rounds, ""] : [],
    ...records ? ["Records", "", ...records, ""] : [],
    ...pages ? ["Dashboard", "", ...pages, ""] : [],
    ...scrapes ? ["Scrape of the metrics", "", ...scrapes, ""] : [],
    ...traces ? ["Traces", "", ...traces, ""] : [],
    ...trees ? ["Two checkouts, in turn", "", ...trees, ""] : [],
  ].join("\n");
}

/** Renders the page, without line breaks in paragraphs; `plot` is the path of the plots from there. */
export function renderPage(results: Results, plot: string): string {
  const { run } = results;
  return [
    "# Benchmarks",
    "",
    "How many tasks Firefly runs and schedules, how quickly they start, and how other queues do beside it: on one " +
    `machine with ${
      run.machine.find(([name]) => name === "Processor")?.[1] ?? "two cores"
    }, which the server and all ` +
    "processes share.",
    "",
    ...headlineTable(results),
    "",
    "BullMQ keeps its jobs in Redis, which waits for no disk; graphile-worker deletes the jobs that it has run. " +
    "[Targets](#targets) says what Firefly was to reach, and why it misses what it misses.",
    "",
    ...quickness(results),
    `It is one run of ${turns(run.rounds)}, on ${run.started.slice(0, 10)}. Numbers are medians of the rounds, with ` +
    "minimum and maximum. Producers, consumers and the process that measures are separate processes, on one machine " +
    "with the server. Each measurement has a new database, and starts after a checkpoint. All rows are kept and all " +
    "writes are durable, unless the settings say otherwise.",
    "",
    "`deno task bench --write docs/reports/benchmarks.md` writes this page; its `--help` lists the options. It installs " +
    "the other queues from npm, at the versions listed below.",
    "",
    ...noise(results),
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
    ...records(results),
    ...dashboardPages(results),
    ...scrapes(results),
    ...traces(results),
    "## Targets",
    "",
    "These are the targets that Firefly was built for, with the reason for each one that it misses.",
    "",
    ...targetTable(results),
    "",
    ...failures(results),
    ...settings(results),
  ].join("\n");
}

/** Says so if a run was a quick one. */
export function quickness({ run }: Results): string[] {
  if (run.sizes.tasks >= FULL.tasks) return [];
  return ["**This run was a quick one: it shows that the benchmark works, not how fast anything is.**", ""];
}

/** How often all was measured. */
export function turns(rounds: number): string {
  return rounds === 1 ? "one round" : `${rounds} rounds, each of which measures everything in turn`;
}

/** How many measurements were disturbed. */
export function noise({ measurements }: Results): string[] {
  const noisy = measurements.filter(({ metrics }) => noiseOf(metrics) > QUIET).length;
  return [
    `A measurement is repeated, and the quieter result counts, if unrelated processes or the hypervisor took more than ` +
    `${QUIET * 100}% of the machine. ${noisy} of ${measurements.length} remained noisy.`,
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
    } tasks in bulk and drains them with one process, on the tables ` +
    "that the previous round left. Autovacuum has the server's defaults, except for Firefly's settings of its own " +
    "tables. Sizes are of all tables and all indexes after the round.",
    "",
    ...table,
    "",
  ];
}

function records(results: Results): string[] {
  const table = recordsTable(results);
  if (!table) return [];
  const { tasks, seconds } = results.run.sizes;
  return [
    "## Beside millions of records",
    "",
    `The table of tasks holds this many records of ended tasks, vacuumed and analyzed. One process schedules one at a ` +
    `time for ${seconds} s and drains these tasks, then schedules ${tasks.toLocaleString("en")} tasks in bulk and ` +
    "drains them; medians of three times. Measured in the first round alone.",
    "",
    ...table,
    "",
  ];
}

function dashboardPages(results: Results): string[] {
  const table = requestsTable(results, PAGES);
  if (!table) return [];
  const { board, pages } = results.run.sizes;
  return [
    `## Dashboard with ${board.toLocaleString("en")} tasks`,
    "",
    `Each page is asked for ${pages} times, one request after another, from the dashboard's handler in the process that ` +
    "measures. 70% of the tasks have ended, 2.8% are due, 60 run, and the others wait. Statistics of each minute are " +
    "there for 30 days. Server CPU is what all statements of a request take. Measured in the first round alone.",
    "",
    ...table,
    "",
  ];
}

function scrapes(results: Results): string[] {
  const table = requestsTable(results, SCRAPES);
  if (!table) return [];
  return [
    "## Scrape of the metrics",
    "",
    `\`writeMetrics()\` is called ${results.run.sizes.pages} times, one call after another, in the process that measures. ` +
    "The records are those of the dashboard above. Measured in the first round alone.",
    "",
    ...table,
    "",
  ];
}

function traces(results: Results): string[] {
  const table = tracesTable(results);
  if (!table) return [];
  const { slice, slices } = results.run.sizes;
  return [
    "## What traces cost",
    "",
    `Three consumers in the process that measures run ${
      slice.toLocaleString("en")
    } tasks each in turn, ${slices} times: ` +
    "one with the SDK of OpenTelemetry, which samples every trace and throws away batches of spans, and two without " +
    "traces, whose difference is what the method does not tell apart. Each number is the median of the turns; the sum is " +
    "compared with the mean of those two in the same turn.",
    "",
    ...table,
    "",
  ];
}

/** What could not be measured. */
export function failures({ failures }: Results): string[] {
  if (failures.length === 0) return [];
  const rows = failures.map(({ peer, scenario, round, message }) => [
    peer,
    scenario,
    String(round),
    message.split("\n")[0]!,
  ]);
  return ["## Failed measurements", "", ...markdownTable(["Peer", "Scenario", "Round", "Error"], rows), ""];
}

/** What was measured with which settings. */
export function settings({ run }: Results, all: readonly Peer[] = SHOWN): string[] {
  const peers = all.filter(({ name }) => name in run.versions).map((
    { name, title, runtime, config, chunk, share, program, note },
  ) => [
    title,
    run.versions[name]!,
    runtime === "deno" ? "Deno" : "Node",
    [
      ...Object.entries(config).map(([setting, value]) => `\`${setting}: ${value}\``),
      ...program === "workflows" ? [] : [`${chunk} tasks a call in bulk`],
      ...share < 1 ? [`${share * 100}% of ${program === "workflows" ? "them" : "the tasks in bulk and drains"}`] : [],
      note,
    ].join("; "),
  ]);
  return [
    "## Settings",
    "",
    ...markdownTable(["", ""], run.machine.map((row) => [...row])),
    "",
    "Server settings that matter or differ from the defaults:",
    "",
    ...markdownTable(["Setting", "Value"], run.server.map(([name, value]) => [`\`${name}\``, value])),
    "",
    ...markdownTable(["Peer", "Version", "Runs on", "Settings"], peers),
    "",
  ];
}
