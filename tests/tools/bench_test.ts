import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { readOptions } from "../../scripts/bench/options.ts";
import { UsageError } from "../../scripts/program.ts";
import { renderPage } from "../../scripts/bench/page.ts";
import { SHOWN } from "../../scripts/bench/peers.ts";
import { plotResults } from "../../scripts/bench/plot.ts";
import { type Line, type Measurement, type Metrics, parseResults } from "../../scripts/bench/results.ts";
import { FULL, type Scenario, SCENARIOS } from "../../scripts/bench/scenarios.ts";
import { SECTIONS } from "../../scripts/bench/sections.ts";
import { median, quantile, summarize } from "../../scripts/bench/statistics.ts";
import { recordsTable, roundsTable, targetTable } from "../../scripts/bench/tables.ts";
import { CHECKOUTS, turnOf, WORKS } from "../../scripts/bench/measures/trees.ts";
import { isMet, REASONS, TARGETS } from "../../scripts/bench/targets.ts";
import { testServer } from "../support/server.ts";

const BENCH = new URL("../../scripts/bench.ts", import.meta.url);

function measured(peer: string, scenario: Scenario, metrics: Metrics): Measurement {
  return { kind: "measurement", round: 1, peer, scenario, metrics };
}

/** A run of three rounds in which one target is met and others are missed. */
const LINES: Line[] = [
  {
    kind: "run",
    started: "2026-11-22T12:00:00.000Z",
    rounds: 3,
    sizes: { ...FULL, steps: 2 },
    machine: [["Processor", "one | two, 2 cores"]],
    server: [["fsync", "on"]],
    versions: { "firefly": "0.1.0", "graphile-fast": "graphile-worker 0.18.0" },
  },
  ...[60_000, 50_000, 58_500].map((rate) => measured("firefly", "drain_1", { rate, wal: 700, memory: 120 })),
  ...[29_000, 30_000, 20_000].map((rate) => measured("graphile-fast", "drain_1", { rate, wal: 1000 })),
  { ...measured("firefly", "traces", { serverCpu: 4.1, clientCpu: 2.3, ratio: 1.067 }), page: "one by one: traced" },
  measured("firefly", "latency", { p50: 1.5, p95: 3, p99: 6 }),
  measured("graphile-fast", "latency", { p50: 3, p95: 5, p99: 8 }),
  measured("graphile-default", "latency", { p50: 2, p95: 5, p99: 10 }),
  measured("firefly", "rounds", { step: 1, rate: 50_000, scheduleRate: 90_000, tables: 20, indexes: 5 }),
  measured("firefly", "rounds", { step: 2, rate: 45_000, scheduleRate: 80_000, tables: 40, indexes: 9.5 }),
  ...[9_000, 11_000, 10_000].map((rate) => measured("firefly", "records", { step: 1, rate, oneRate: 100 })),
  ...[9_000, 9_100, 9_900].map((rate) => measured("firefly", "records", { step: 2, rate, oneRate: 100 })),
  { ...measured("firefly", "dashboard", { p50: 8, p95: 120, serverCpu: 6500 }), page: "Overview" },
  { ...measured("firefly", "dashboard", { p50: 20, p95: 30, serverCpu: 1500 }), page: "Queues" },
  { ...measured("firefly", "scrape", { p50: 3, p95: 9, serverCpu: 1200 }), page: "no tasks" },
  { kind: "failure", round: 2, peer: "kv", scenario: "bulk", message: "it broke\n    at once" },
];

const results = parseResults(LINES.map((line) => `${JSON.stringify(line)}\n`).join(""));

/** The cells of the first line that begins with these. */
function cells(lines: readonly string[], ...first: string[]): string[] {
  const rows = lines.map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
  return rows.find((row) => first.every((cell, i) => row[i] === cell)) ?? [];
}

Deno.test("median() takes the middle, or the mean of the two there", () => {
  assertEquals(median([3, 1, 2]), 2);
  assertEquals(median([4, 1, 2, 3]), 2.5);
  assertEquals(median([]), NaN);
});

Deno.test("quantile() is a value that so many are not above", () => {
  const values = Array.from({ length: 100 }, (_, i) => 100 - i);
  assertEquals([0.5, 0.95, 0.99, 1].map((share) => quantile(values, share)), [50, 95, 99, 100]);
  assertEquals(quantile([7], 0.5), 7);
  assertEquals(quantile([], 0.5), NaN);
});

Deno.test("summarize() takes the median of the rounds, and knows what was not measured", () => {
  const choice = { peer: "firefly", scenario: "drain_1", metric: "rate" } as const;
  assertEquals(summarize(results, choice), { median: 58_500, least: 50_000, most: 60_000 });
  assertEquals(summarize(results, { ...choice, peer: "kv" }), undefined);
  assertEquals(summarize(results, { ...choice, scenario: "rounds", step: 2 })?.median, 45_000);
});

Deno.test("targetTable() compares medians, and says which targets are missed", () => {
  const lines = targetTable(results);
  const [, , ratio, met] = cells(lines, "drain, 1 process");
  assertEquals([ratio, met], ["2.02 ×", "met"]);
  assertEquals(cells(lines, "WAL of a drained task").slice(2, 4), ["0.70 ×", "**missed**"]);
  // Of the lower one: 2 ms of the default, and 8 ms of the fastest.
  assertEquals(cells(lines, "latency, idle, p50").slice(2, 4), ["0.75 ×", "**missed**"]);
  assertEquals(cells(lines, "latency, idle, p99").slice(2, 4), ["0.75 ×", "met"]);
  assertEquals(cells(lines, "drain, the last round of 50,000").slice(2, 4), ["0.90 ×", "**missed**"]);
  assertEquals(cells(lines, "memory, busy consumer").slice(2, 4), ["120 MB", "met"]);
  assertEquals(cells(lines, "drain, beside 10 million records").slice(2, 4), ["0.91 ×", "**missed**"]);
  assertEquals(cells(lines, "schedule, 1 at a time, beside 10 million records").slice(2, 4), ["1.00 ×", "met"]);
  assertEquals(cells(lines, "dashboard, the slowest page, p95").slice(2, 4), ["120 ms", "**missed**"]);
  assertEquals(cells(lines, "dashboard, all statements of the overview").slice(2, 4), ["6.5 ms", "met"]);
  assertEquals(cells(lines, "drain of tasks scheduled one by one, CPU with traces").slice(2, 4), [
    "1.07 ×",
    "**missed**",
  ]);
  assertEquals(lines.length, 2 + 11, "what was not measured is left out");
});

Deno.test("isMet() tells a bound that is reached from one that is passed", () => {
  assert(isMet({ sense: "at least", bound: 1 }, 1) && !isMet({ sense: "more than", bound: 1 }, 1));
  assert(isMet({ sense: "at most", bound: 1 }, 1) && !isMet({ sense: "less than", bound: 1 }, 1));
});

Deno.test("each target has a place for the reason why it is missed, each scenario a section and a peer", () => {
  assertEquals(Object.keys(REASONS), TARGETS.map(({ key }) => key));
  const unlisted = ["rounds", "records", "dashboard", "scrape", "traces", "trees"];
  assertEquals([...SECTIONS.map(({ scenario }) => scenario), ...unlisted].sort(), [...SCENARIOS].sort());
  for (const scenario of SCENARIOS) assert(SHOWN.some(({ scenarios }) => scenarios.includes(scenario)), scenario);
});

Deno.test("renderPage() has the tables, the machine, the settings and the failures", () => {
  const page = renderPage(results, "benchmarks.svg");
  const lines = page.split("\n");
  assertEquals(cells(lines, "Firefly", "58,500").slice(0, 4), ["Firefly", "58,500", "50,000–60,000", ""]);
  assertEquals(cells(lines, "graphile-worker, fastest", "29,000").slice(2, 4), ["20,000–30,000", "2.02"]);
  assertEquals(cells(lines, "kv"), ["kv", "bulk", "2", "it broke"]);
  const [, firefly, graphile] = cells(lines, "tasks run a second, 1 process");
  assertEquals([firefly, graphile], ["58,500", "29,000"]);
  assertStringIncludes(page, "one machine with one | two, 2 cores");
  assertEquals(cells(lines, "`fsync`"), ["`fsync`", "on"]);
  assertStringIncludes(page, "one \\| two, 2 cores");
  assertStringIncludes(page, "`localQueue: 1000`");
  assertEquals(cells(lines, "Queues"), ["Queues", "20", "30", "1.5"]);
  assertEquals(cells(lines, "no tasks"), ["no tasks", "3", "9", "1.2"]);
  assertEquals(cells(lines, "one by one", "traced"), ["one by one", "traced", "4.1", "2.3", "1.067"]);
  assertEquals(cells(roundsTable(results)!, "2"), ["2", "45,000", "80,000", "40", "9.5"]);
  assertEquals(cells(recordsTable(results)!, "10,000,000").slice(1, 3), ["9,100", "100"]);
});

Deno.test("plotResults() draws a bar for each peer and a line for the rounds", () => {
  const svg = plotResults(results);
  assertEquals(svg.match(/<rect /g)?.length, 1 + 2 + 3);
  assertEquals(svg.match(/<polyline/g)?.length, 1);
  assert(!svg.includes("NaN"));
});

Deno.test("readOptions() chooses in the order of the page, and refuses what it does not know", () => {
  const options = readOptions(["--only", "drain_1,schedule_1", "--peers", "bare,firefly", "--rounds", "2"])!;
  assertEquals(options.scenarios, ["schedule_1", "drain_1"]);
  assertEquals(options.peers, ["firefly", "bare"]);
  assertEquals(options.rounds, 2);
  assertEquals(readOptions(["--help"]), undefined);
  const wrong = [["--round", "3"], ["more"], ["--rounds", "1.5"], ["--rounds", "0"], ["--seconds", "x"], [
    "--only",
    "a",
  ]];
  for (const args of [...wrong, ["--peers", "firefly,sidekiq"], ["--out", ""]]) {
    assertThrows(() => readOptions(args), UsageError, "Cannot run the benchmark as", args.join(" "));
  }
});

async function bench(...args: string[]): Promise<{ code: number; text: string; errors: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", BENCH.href, ...args],
    env: { NO_COLOR: "1" },
  }).output();
  const [text, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)) as [string, string];
  return { code, text, errors };
}

Deno.test("bench exits with 2 when it is called wrongly", async () => {
  const { code, errors } = await bench("--peers", "sidekiq");
  assertEquals(code, 2);
  assertMatch(errors, /^Cannot run the benchmark as --peers has "sidekiq", which is none of firefly, .*\n$/);
});

Deno.test("bench measures, writes its results and its page, and makes the page again of the results", async () => {
  const server = (await testServer()).url;
  const out = await Deno.makeTempDir({ prefix: "firefly_bench_test_" });
  try {
    const measure = ["--quick", "--rounds", "1", "--only", "schedule_1,drain_1", "--peers", "firefly,sql,bare"];
    const file = `${out}/results.jsonl`;
    const ran = await bench(...measure, "--database", server, "--out", file, "--write", `${out}/page.md`);
    const { measurements, failures } = parseResults(await Deno.readTextFile(file));
    const measured = measurements.map((
      { peer, scenario, metrics },
    ) => [`${peer} ${scenario}`, Number.isFinite(metrics.rate)]);
    const isLacking = failures.some(({ message }) => message === "pgbench is not installed");
    assertEquals(
      Object.fromEntries(measured),
      {
        "firefly schedule_1": true,
        ...isLacking ? {} : { "sql schedule_1": true },
        "bare schedule_1": true,
        "firefly drain_1": true,
        "sql drain_1": true,
      },
      ran.errors,
    );
    assertEquals(ran.code, isLacking ? 1 : 0, ran.errors);
    const page = await Deno.readTextFile(`${out}/page.md`);
    assertStringIncludes(page, "a quick one");
    assertMatch(page, /^\| Firefly .*\d.*–.*\d/m);
    assertStringIncludes(await Deno.readTextFile(`${out}/page.svg`), "<rect");

    const again = await bench("--report", file, "--write", `${out}/again.md`);
    assertEquals(again.text, ran.text);
    assertEquals(await Deno.readTextFile(`${out}/again.md`), page.replace("page.svg", "again.svg"));
  } finally {
    await Deno.remove(out, { recursive: true });
  }
});

Deno.test("bench --against measures another checkout in turn with this one", async () => {
  const server = (await testServer()).url;
  const out = await Deno.makeTempDir({ prefix: "firefly_bench_test_" });
  try {
    const file = `${out}/results.jsonl`;
    const root = new URL("../../", import.meta.url).pathname;
    const measure = ["--quick", "--rounds", "1", "--only", "drain_1,trees", "--peers", "firefly", "--against", root];
    const ran = await bench(...measure, "--database", server, "--out", file);

    const { measurements } = parseResults(await Deno.readTextFile(file));
    const drained = measurements.filter(({ scenario }) => scenario === "drain_1").map(({ peer }) => peer);
    assertEquals(drained, ["firefly", "firefly-other"], ran.errors);
    const turns = measurements.filter(({ scenario }) => scenario === "trees");
    assertEquals(turns.map(({ page }) => page), WORKS.flatMap((work) => CHECKOUTS.map((one) => turnOf(work, one))));
    assert(turns.every(({ metrics: { clientCpu, ratio } }) => clientCpu! > 0 && ratio! > 0));
    assertMatch(ran.text, /claim and complete +\| the other +\|.*\| 1\.000 +\|/);
    assertEquals(ran.code, 0, ran.errors);
  } finally {
    await Deno.remove(out, { recursive: true });
  }
});
