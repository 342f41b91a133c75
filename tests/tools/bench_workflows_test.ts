import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { Countdown, lanes } from "../../scripts/bench/drivers/workflows/driver.ts";
import { type Line, type Measurement, type Metrics, parseResults } from "../../scripts/bench/results.ts";
import { FULL, WORKFLOWS, type WorkflowScenario } from "../../scripts/bench/scenarios.ts";
import { fetchAbsurdSchema } from "../../scripts/bench/workflows/absurd_schema.ts";
import { renderWorkflowPage } from "../../scripts/bench/workflows/page.ts";
import { WORKFLOW_PACKAGES } from "../../scripts/bench/workflows/packages.ts";
import { WORKFLOW_PEERS } from "../../scripts/bench/workflows/peers.ts";
import { WORKFLOW_SECTIONS } from "../../scripts/bench/workflows/sections.ts";
import { WORKFLOW_REASONS, WORKFLOW_TARGETS } from "../../scripts/bench/workflows/targets.ts";
import { testServer } from "../support/server.ts";

const BENCH = new URL("../../scripts/bench/workflows.ts", import.meta.url);

function measured(peer: string, scenario: WorkflowScenario, metrics: Metrics): Measurement {
  return { kind: "measurement", round: 1, peer, scenario, metrics };
}

/** The cells of the first line that begins with these. */
function cells(lines: readonly string[], ...first: string[]): string[] {
  const rows = lines.map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
  return rows.find((row) => first.every((cell, i) => row[i] === cell)) ?? [];
}

Deno.test("each target of workflows has a place for its reason, each scenario a section and a peer", () => {
  assertEquals(Object.keys(WORKFLOW_REASONS), WORKFLOW_TARGETS.map(({ key }) => key));
  assertEquals(WORKFLOW_SECTIONS.map(({ scenario }) => scenario), [...WORKFLOWS]);
  for (const scenario of WORKFLOWS) {
    assert(WORKFLOW_PEERS[0]!.scenarios.includes(scenario), scenario);
  }
  for (const { packages } of WORKFLOW_PEERS) for (const name of packages) assert(name in WORKFLOW_PACKAGES, name);
});

Deno.test("renderWorkflowPage() has the targets, the costs of a step, and what sleepers hold", () => {
  const lines: Line[] = [
    {
      kind: "run",
      started: "2026-11-30T12:00:00.000Z",
      rounds: 3,
      sizes: FULL,
      machine: [],
      server: [["fsync", "on"]],
      versions: { firefly: "0.1.0", dbos: "@dbos-inc/dbos-sdk 5.3.0" },
    },
    measured("firefly", "steps_20", { rate: 1000, statements: 0.1, syncs: 0.08, wal: 400 }),
    measured("dbos", "steps_20", { rate: 250, statements: 7.9, syncs: 1.1, wal: 800 }),
    measured("absurd", "steps_20", { rate: 800, statements: 2.4, syncs: 1.3, wal: 1000 }),
    measured("firefly", "fan_in", { rate: 9000, release: 101 }),
    measured("firefly", "sleepers", { rate: 5000, sessions: 0, timers: 0, heap: 0.2 }),
  ];
  const page = renderWorkflowPage(parseResults(lines.map((line) => `${JSON.stringify(line)}\n`).join("")));
  const rows = page.split("\n");

  assertEquals(cells(rows, "ten steps, 20 at a time", "at least 3 × DBOS").slice(2, 4), ["4.00 ×", "met"]);
  assertEquals(cells(rows, "ten steps, 20 at a time", "at least 2 × Absurd").slice(2, 4), ["1.25 ×", "**missed**"]);
  assertEquals(cells(rows, "WAL of a step, 20 at a time", "at most 0.6 × Absurd").slice(2, 4), ["0.40 ×", "met"]);
  assertEquals(cells(rows, "fan-in, release of a dependant").slice(2, 4), ["101 µs", "**missed**"]);
  assertEquals(cells(rows, "many sleepers, timers").slice(2, 4), ["0 timers", "met"]);
  assertEquals(cells(rows, "DBOS", "250").slice(1, 7), ["250", "250–250", "4.00", "7.9", "1.1", "800"]);
  assertStringIncludes(page, "@dbos-inc/dbos-sdk 5.3.0");
});

Deno.test("fetchAbsurdSchema() takes what lies in the cache, and else says where to put it", async () => {
  const directory = await Deno.makeTempDir({ prefix: "firefly_bench_test_" });
  try {
    const none = AbortSignal.abort(new Error("no network here"));
    const error = await assertRejects(() => fetchAbsurdSchema(directory, none), Error, "no network here");
    assertStringIncludes(
      error.message,
      `save sql/absurd.sql of github.com/earendil-works/absurd as ${directory}/absurd.sql`,
    );

    await Deno.writeTextFile(`${directory}/absurd.sql`, "SELECT 1;");
    assertEquals(await fetchAbsurdSchema(directory, none), "absurd.sql of SHA-256 17db4fd369ed…");
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("lanes() calls with each number once, so many at a time", async () => {
  const seen: number[] = [];
  let [now, most] = [0, 0];
  await lanes(3, 10, async (i) => {
    most = Math.max(most, ++now);
    seen.push(i);
    await new Promise((resolve) => setTimeout(resolve, 1));
    now--;
  });
  assertEquals([seen, most], [Array.from({ length: 10 }, (_, i) => i), 3]);

  const countdown = new Countdown(2);
  let isDone = false;
  const done = countdown.done.then(() => isDone = true);
  countdown.one();
  await Promise.resolve();
  assertEquals(isDone, false);
  countdown.one();
  await done;
});

async function bench(...args: string[]): Promise<{ code: number; text: string; errors: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", BENCH.href, ...args],
    env: { NO_COLOR: "1" },
  }).output();
  const [text, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)) as [string, string];
  return { code, text, errors };
}

Deno.test("bench:workflows runs each scenario with Firefly, and makes its page again of the results", async () => {
  const server = (await testServer()).url;
  const out = await Deno.makeTempDir({ prefix: "firefly_bench_test_" });
  try {
    const file = `${out}/results.jsonl`;
    const measure = ["--quick", "--rounds", "1", "--peers", "firefly,firefly-calls", "--database", server];
    const ran = await bench(...measure, "--out", file, "--write", `${out}/page.md`);
    assertEquals(ran.code, 0, ran.errors);
    const { measurements } = parseResults(await Deno.readTextFile(file));

    const names = measurements.map(({ peer, scenario }) => peer === "firefly" ? scenario : `${scenario} of ${peer}`);
    assertEquals(names, WORKFLOWS.flatMap((one) => one === "fan_in" ? [one, "fan_in of firefly-calls"] : [one]));
    for (const { scenario, metrics } of measurements) {
      const figure = scenario === "signal" ? metrics.p50 : scenario === "asleep" ? metrics.timers : metrics.rate;
      assert(scenario === "asleep" ? Number.isFinite(figure) : figure! > 0, `${scenario}: ${figure}`);
    }
    assertMatch(await Deno.readTextFile(`${out}/page.md`), /^\| Firefly .*\d.*–.*\d/m);

    const again = await bench("--report", file, "--write", `${out}/again.md`);
    assertEquals(again.text, ran.text);
    assertEquals(await Deno.readTextFile(`${out}/again.md`), await Deno.readTextFile(`${out}/page.md`));

    const wrong = await bench("--peers", "graphile-fast");
    assertEquals([wrong.code, wrong.text], [2, ""]);
    assertMatch(wrong.errors, /none of firefly, firefly-calls, dbos, absurd, pgboss, bullmq\n$/);
  } finally {
    await Deno.remove(out, { recursive: true });
  }
});
