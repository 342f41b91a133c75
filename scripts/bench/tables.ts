import { markdownTable } from "../markdown_table.ts";
import { ARMS, KINDS, pageOf } from "./measures/traces.ts";
import { CHECKOUTS, turnOf, WORKS } from "./measures/trees.ts";
import { type Peer, PEERS, SHOWN } from "./peers.ts";
import type { Metric, Results } from "./results.ts";
import type { Scenario } from "./scenarios.ts";
import { type Section, SECTIONS } from "./sections.ts";
import { summarize, type Summary } from "./statistics.ts";
import { isMet, REASONS, type Target, TARGETS } from "./targets.ts";

const [FIREFLY] = PEERS;

/** The reason of a missed target that has not been investigated yet. */
const UNEXPLAINED = "not yet explained";

/** Renders the table of the targets, without those that were not measured. */
export function targetTable(
  results: Results,
  { targets = TARGETS, reasons = REASONS }: { targets?: readonly Target[]; reasons?: typeof REASONS } = {},
): string[] {
  const rows = targets.flatMap((target) => {
    const measured = target.measured(results);
    if (measured === undefined) return [];
    const { key, scenario, of, sense, bound, unit } = target;
    const met = isMet(target, measured);
    const size = (value: number) => unit ? `${formatNumber(value)} ${unit}` : `${value.toFixed(2)} ×`;
    const asked = `${sense} ${unit ? `${bound} ${unit}` : `${bound} ×`} ${of}`;
    return [[scenario, asked, size(measured), met ? "met" : "**missed**", met ? "" : reasons[key] || UNEXPLAINED]];
  });
  return markdownTable(["Scenario", "Target", "Measured", "", "Reason for a miss"], rows);
}

/** The sections of which something was measured, with their tables. */
export function measuredSections(
  results: Results,
  { sections = SECTIONS, peers = SHOWN }: { sections?: readonly Section[]; peers?: readonly Peer[] } = {},
): { section: Section; lines: string[] }[] {
  return sections.filter(({ scenario }) => results.measurements.some((one) => one.scenario === scenario))
    .map((section) => ({ section, lines: sectionTable(results, section, peers) }));
}

function sectionTable(
  results: Results,
  { scenario, compared, others }: Section,
  peers: readonly Peer[],
): string[] {
  const head = [
    "Peer",
    ...compared.flatMap(({ title }) => [title, "min–max", "Firefly / peer"]),
    ...others.map(({ title }) => title),
  ];
  const rows = peersOf(results, scenario, peers).map(({ name, title }) => {
    const of = (metric: Metric, peer = name) => summarize(results, { peer, scenario, metric });
    return [
      title,
      ...compared.flatMap(({ metric }) => {
        const [own, firefly] = [of(metric), of(metric, FIREFLY!.name)];
        const ratio = own && firefly && name !== FIREFLY!.name ? (firefly.median / own.median).toFixed(2) : "";
        return [middle(own), own ? `${formatNumber(own.least)}–${formatNumber(own.most)}` : "", ratio];
      }),
      ...others.map(({ metric }) => middle(of(metric))),
    ];
  });
  return markdownTable(head, rows);
}

/** The table of the scenario `rounds`: a line a round, columns for each peer; undefined if it was not measured. */
export function roundsTable(results: Results): string[] | undefined {
  const peers = peersOf(results, "rounds");
  if (peers.length === 0) return undefined;
  const columns = [
    ["drained/s", "rate"],
    ["scheduled/s", "scheduleRate"],
    ["tables MB", "tables"],
    ["indexes MB", "indexes"],
  ] as const;
  const rows = Array.from({ length: results.run.sizes.steps }, (_, i) => [
    String(i + 1),
    ...peers.flatMap(({ name }) =>
      columns.map(([, metric]) => middle(summarize(results, { peer: name, scenario: "rounds", metric, step: i + 1 })))
    ),
  ]);
  const head = peers.flatMap(({ title }) => columns.map(([column]) => `${title}: ${column}`));
  return markdownTable(["Round", ...head], rows);
}

/** What is measured beside records. */
const BESIDE_RECORDS = [
  ["drained/s", "rate"],
  ["scheduled/s, one at a time", "oneRate"],
  ["scheduled/s, bulk", "scheduleRate"],
  ["server CPU µs/drained task", "serverCpu"],
  ["client CPU µs/drained task", "clientCpu"],
  ["WAL B/drained task", "wal"],
] as const;

/** The table of the scenario `records`: a line for each number of records; undefined if it was not measured. */
export function recordsTable(results: Results): string[] | undefined {
  if (peersOf(results, "records").length === 0) return undefined;
  const rows = results.run.sizes.records.map((count, i) => [
    count.toLocaleString("en"),
    ...BESIDE_RECORDS.map(([, metric]) =>
      middle(summarize(results, { peer: FIREFLY!.name, scenario: "records", metric, step: i + 1 }))
    ),
  ]);
  return markdownTable(["Records", ...BESIDE_RECORDS.map(([title]) => title)], rows);
}

/** The table of a scenario whose requests are measured: a line for each page or state; undefined if it was not measured. */
export function requestsTable(
  results: Results,
  { scenario, title }: { scenario: "dashboard" | "scrape"; title: string },
): string[] | undefined {
  const measured = results.measurements.filter((one) => one.scenario === scenario);
  const pages = [...new Set(measured.flatMap(({ page }) => page ?? []))];
  if (pages.length === 0) return undefined;
  const rows = pages.map((page) => {
    const of = (metric: Metric) => summarize(results, { peer: FIREFLY!.name, scenario, metric, page });
    const server = of("serverCpu");
    return [page, middle(of("p50")), middle(of("p95")), server ? formatNumber(server.median / 1000) : ""];
  });
  return markdownTable([title, "p50 ms", "p95 ms", "server CPU ms"], rows);
}

/** The table of the scenario `traces`: a line for each consumer; undefined if it was not measured. */
export function tracesTable(results: Results): string[] | undefined {
  const rows = KINDS.flatMap((kind) =>
    ARMS.flatMap((arm) => {
      const page = pageOf(kind, arm);
      const of = (metric: Metric) => summarize(results, { peer: FIREFLY!.name, scenario: "traces", metric, page });
      const ratio = of("ratio")?.median.toFixed(3);
      return ratio ? [[kind, arm, middle(of("serverCpu")), middle(of("clientCpu")), ratio]] : [];
    })
  );
  if (rows.length === 0) return undefined;
  return markdownTable(["Scheduled", "Consumer", "server CPU µs/task", "client CPU µs/task", "sum, × without"], rows);
}

/** The table of the scenario `trees`: a line for each checkout; undefined if it was not measured. */
export function treesTable(results: Results): string[] | undefined {
  const rows = WORKS.flatMap((work) =>
    CHECKOUTS.flatMap((checkout) => {
      const page = turnOf(work, checkout);
      const of = (metric: Metric) => summarize(results, { peer: "firefly-other", scenario: "trees", metric, page });
      const ratio = of("ratio")?.median.toFixed(3);
      return ratio ? [[work, checkout, middle(of("serverCpu")), middle(of("clientCpu")), ratio]] : [];
    })
  );
  if (rows.length === 0) return undefined;
  return markdownTable(["Plain tasks", "Checkout", "server CPU µs/task", "client CPU µs/task", "sum, ×"], rows);
}

/** The peers that were measured in a scenario. */
export function peersOf(results: Results, scenario: Scenario, peers: readonly Peer[] = SHOWN): readonly Peer[] {
  return peers.filter(({ name }) => results.measurements.some((one) => one.peer === name && one.scenario === scenario));
}

function middle(summary: Summary | undefined): string {
  return summary ? formatNumber(summary.median) : "";
}

/** Three digits at least, and no fraction from 100 on. */
export function formatNumber(value: number): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toLocaleString("en", { maximumFractionDigits: digits });
}
