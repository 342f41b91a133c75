import { failures, noise, quickness, settings, turns } from "../page.ts";
import type { Results } from "../results.ts";
import { measuredSections, targetTable } from "../tables.ts";
import { WORKFLOW_PEERS } from "./peers.ts";
import { WORKFLOW_SECTIONS } from "./sections.ts";
import { WORKFLOW_REASONS, WORKFLOW_TARGETS } from "./targets.ts";

const OF_WORKFLOWS = { sections: WORKFLOW_SECTIONS, peers: WORKFLOW_PEERS } as const;

function targets(results: Results): string[] {
  return targetTable(results, { targets: WORKFLOW_TARGETS, reasons: WORKFLOW_REASONS });
}

/** Renders the tables alone, for a terminal. */
export function renderWorkflowTables(results: Results): string {
  return [
    ...quickness(results),
    ...targets(results),
    "",
    ...measuredSections(results, OF_WORKFLOWS).flatMap(({ section, lines }) => [section.title, "", ...lines, ""]),
  ].join("\n");
}

/** Renders the page, without line breaks in paragraphs. */
export function renderWorkflowPage(results: Results): string {
  const { run } = results;
  return [
    "# Benchmarks of workflows",
    "",
    "How many durable workflows Firefly runs, what a step of them costs the server, and how DBOS and Absurd do beside it, " +
    "which keep their workflows in Postgres, too.",
    "",
    ...targets(results),
    "",
    ...quickness(results),
    `It is one run of ${turns(run.rounds)}, on ${run.started.slice(0, 10)}. Numbers are medians of the rounds, with ` +
    "minimum and maximum. The peers are the packages of npm with their own workers and handlers. Each measurement has a " +
    "new database, runs a fifth of its workflows before it counts, and starts after a checkpoint. All rows are kept and " +
    "all writes are durable, unless the settings say otherwise.",
    "",
    "Statements are those that clients sent, as `pg_stat_statements` counts them: `BEGIN` and `COMMIT` are two of them, " +
    "statements within functions are none. Syncs are waits for the disk by `pg_stat_wal`, with those of the background. " +
    "Where several workflows commit at the same time, they share a sync.",
    "",
    "`deno task bench:workflows --write docs/reports/workflows.md` writes this page; its `--help` lists the options. It " +
    "installs the peers from npm, at the versions listed below, and downloads the schema of Absurd, which its package " +
    "does not have, from its repository.",
    "",
    ...noise(results),
    ...measuredSections(results, OF_WORKFLOWS).flatMap(({ section, lines }) => [
      `## ${section.title}`,
      "",
      section.about(run.sizes),
      "",
      ...lines,
      "",
    ]),
    ...failures(results),
    ...settings(results, WORKFLOW_PEERS),
  ].join("\n");
}
