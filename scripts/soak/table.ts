import type { Figures } from "../../tests/faults/fault.ts";
import { markdownTable } from "../markdown_table.ts";
import type { Row } from "./evidence.ts";
import type { Sample } from "./probe.ts";

const MIB = 2 ** 20;
const PLACES = ["ready", "waiting", "claim_batch", "slot", "unique_key"];

type Column = readonly [title: string, value: (row: Row) => string];

/** The columns of the table, for one period each; of sampled values the largest. */
const COLUMNS: readonly Column[] = [
  ["time", ({ to }) => clock(to)],
  ["faults", ({ faults }) => String(faults.length)],
  ["sched/s", ({ latencies, seconds }) => (latencies.started / seconds).toFixed(1)],
  ["ended/s", ({ latencies, seconds }) => (latencies.ended / seconds).toFixed(1)],
  ["start p50", ({ latencies }) => time(latencies.start[0])],
  ["p95", ({ latencies }) => time(latencies.start[1])],
  ["p99", ({ latencies }) => time(latencies.start[2])],
  ["end p50", ({ latencies }) => time(latencies.end[0])],
  ["p99", ({ latencies }) => time(latencies.end[2])],
  ["rss S", (row) => mib(row, ({ processes }) => processes.scheduler?.rss)],
  ["rss 1", (row) => mib(row, ({ processes }) => processes["consumer-1"]?.rss)],
  ["heap S", (row) => mib(row, ({ processes }) => processes.scheduler?.heap)],
  ["heap 1", (row) => mib(row, ({ processes }) => processes["consumer-1"]?.heap)],
  ["fds 1", (row) => most(row, ({ processes }) => processes["consumer-1"]?.fds)],
  ["timers 1", (row) => most(row, ({ processes }) => processes["consumer-1"]?.timers)],
  ["conns", (row) => most(row, ({ server }) => server && total(Object.values(server.connections)))],
  ["listen", (row) => most(row, ({ server }) => server?.listeners)],
  ["locks", (row) => most(row, ({ server }) => server?.locks)],
  ["adv", (row) => most(row, ({ server }) => server?.advisory)],
  ["wait", (row) => most(row, ({ server }) => server?.waited)],
  ["task MiB", (row) => mib(row, ({ server }) => server?.sizes.task)],
  ["places MiB", (row) => mib(row, ({ server }) => server && total(PLACES.map((name) => server.sizes[name] ?? 0)))],
  ["dead", (row) => most(row, ({ server }) => server && total(Object.values(server.dead)))],
  ["open", (row) => most(row, ({ server }) => server?.statuses.created ?? (server && 0))],
  ["rescues", (row) => most(row, ({ server }) => server?.rescues)],
  ["xmin", (row) => most(row, ({ server }) => server?.xmin)],
  ["notify", (row) => percentage(row, ({ server }) => server?.notify)],
];

/** The first line of the table. */
export function tableHead(): string {
  return COLUMNS.map(([title]) => title.padStart(widthOf(title))).join(" ");
}

/** One line of the table. */
export function tableLine(row: Row): string {
  return COLUMNS.map(([title, value]) => value(row).padStart(widthOf(title))).join(" ");
}

/** The table and the verdicts as Markdown. */
export function toMarkdown(rows: readonly Row[], figures: Figures): string {
  const verdicts = figures.list.map(({ name, value, bound, pass }) => [name, value, bound, pass ? "yes" : "**no**"]);
  return [
    ...markdownTable(COLUMNS.map(([title]) => title), rows.map((row) => COLUMNS.map(([, value]) => value(row)))),
    "",
    ...markdownTable(["Verdict", "Measured", "Bound", "Kept"], verdicts),
    "",
  ].join("\n");
}

function widthOf(title: string): number {
  return Math.max(6, title.length);
}

function clock(seconds: number): string {
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
}

function time(milliseconds: number): string {
  if (!(milliseconds >= 0)) return "-";
  return milliseconds < 1000 ? `${Math.round(milliseconds)}ms` : `${(milliseconds / 1000).toFixed(1)}s`;
}

function most({ samples }: Row, value: (sample: Sample) => number | undefined): string {
  const values = samples.flatMap((sample) => value(sample) ?? []);
  return values.length > 0 ? String(Math.max(...values)) : "-";
}

function mib(row: Row, value: (sample: Sample) => number | undefined): string {
  const largest = Number(most(row, value));
  return largest >= 0 ? (largest / MIB).toFixed(1) : "-";
}

function percentage(row: Row, value: (sample: Sample) => number | undefined): string {
  const largest = Number(most(row, value));
  return largest >= 0 ? `${(100 * largest).toLocaleString("en", { maximumFractionDigits: 4 })}%` : "-";
}

function total(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}
