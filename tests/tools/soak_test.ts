import { assert, assertAlmostEquals, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { fitLine, lastTwoThirds, type Point } from "../../scripts/soak/numbers.ts";
import type { Evidence } from "../../scripts/soak/evidence.ts";
import { readOptions } from "../../scripts/soak/options.ts";
import { UsageError } from "../../scripts/program.ts";
import { divide, isCalm, planFaults } from "../../scripts/soak/plan.ts";
import { plot } from "../../scripts/soak/plot.ts";
import type { Sample } from "../../scripts/soak/probe.ts";
import { judge } from "../../scripts/soak/verdicts.ts";

const SOAK = new URL("../../scripts/soak.ts", import.meta.url);
const MIB = 2 ** 20;
const SERVER = Deno.env.get("TEST_DATABASE_URL") ?? "";

Deno.test("fitLine() finds slope, mean and noise, and needs three points", () => {
  const line = fitLine([[0, 1], [1, 3], [2, 5], [3, 7]]);
  assertAlmostEquals(line!.slope, 2);
  assertAlmostEquals(line!.mean, 4);
  assertAlmostEquals(line!.noise, 0);
  assertEquals(line!.span, 3);
  assertEquals(fitLine([[0, 1], [1, 2]]), undefined);
  assertEquals(fitLine([[1, 1], [1, 2], [1, 3]]), undefined);
});

Deno.test("lastTwoThirds() leaves out the first third of the time", () => {
  const points = Array.from({ length: 9 }, (_, i): Point => [i, 0]);
  assertEquals(lastTwoThirds(points).map(([x]) => x), [3, 4, 5, 6, 7, 8]);
});

Deno.test("planFaults() repeats itself for a seed, spares the first consumer and leaves every third period calm", () => {
  const options = { seed: 7, consumers: 3, lease: 5, ownServer: true };
  const faults = planFaults(divide(30), options);
  assertEquals(planFaults(divide(30), options), faults);
  assert(faults.length > 100);
  assert(faults.every(({ at }) => !isCalm(Math.floor(at / 60))));
  assert(faults.every(({ kind, consumer }) => consumer > 0 || (kind !== "kill" && kind !== "deploy")));
  assertEquals(new Set(faults.map(({ kind }) => kind)).size, 9);
  const others = planFaults(divide(30), { ...options, ownServer: false }).map(({ kind }) => kind as string);
  assert(!others.includes("crash") && !others.includes("restart"));
});

Deno.test("readOptions() refuses what it does not know", () => {
  assertEquals(readOptions(["--minutes", "0.5"])!.minutes, 0.5);
  for (const args of [["--minute", "3"], ["--minutes", "x"], ["--faults", "some"], ["--consumers", "1.5"]]) {
    assertThrows(() => readOptions(args), UsageError);
  }
});

Deno.test("plot() draws each series and each mark, and escapes text", () => {
  const svg = plot([{ title: "a < b", series: [{ name: "s", points: [[0, 1], [1, NaN], [2, 3]] }] }], {
    title: "t",
    minutes: 2,
    marks: [{ at: 1, kind: "kill" }],
  });
  assertStringIncludes(svg, "a &lt; b");
  assertEquals(svg.match(/<polyline/g)?.length, 1);
  assertEquals(svg.match(/stroke-opacity/g)?.length, 1);
  assert(!svg.includes("NaN"));
});

/** A run in which all is well, but for what is said. */
function evidence(
  { rss = 0, heap = 0, ready = 0, ...changes }: { rss?: number; heap?: number; ready?: number } & Partial<Evidence> =
    {},
): Evidence {
  const sample = (at: number): Sample => {
    const process = { pid: 1, rss: 100 * MIB + rss * at, heap: 10 * MIB + heap * at, fds: 20, sockets: 5, timers: 9 };
    const sizes = { task: MIB, ready: MIB + ready * at, waiting: MIB, claim_batch: MIB, slot: MIB, unique_key: MIB };
    return {
      at,
      processes: { scheduler: process, "consumer-1": process },
      server: {
        ...{
          connections: { "consumer-1": 3 },
          inTransaction: 0,
          listeners: 1,
          locks: 0,
          advisory: 0,
          waited: 0,
          sizes,
        },
        ...{ dead: {}, notify: 0, xmin: 0, statuses: {}, places: {}, rescues: 0 },
      },
    };
  };
  const samples = Array.from({ length: 360 }, (_, i) => sample(i * 5));
  const latencies = { started: 3000, ended: 3000, start: [5, 9, 20], end: [9, 15, 30] } as const;
  return {
    options: readOptions(["--seed", "1"])!,
    version: "15",
    division: divide(30),
    start: 0,
    samples,
    rows: [{ index: 2, from: 120, to: 180, seconds: 60, faults: [], latencies, samples: [] }],
    faults: [],
    counts: { scheduled: 3000, refused: 0, heldBack: 0, wrong: 0, broken: [] },
    before: sample(0),
    after: sample(0),
    left: { ready: 0 },
    final: { ...sample(0).server!, connections: {} },
    account: {
      ...{
        tasks: 3000,
        pruned: 9,
        rescues: 1,
        lost: 0,
        vanished: 0,
        uncancelled: 0,
        effects: 9,
        twice: 0,
        unmatched: 0,
      },
      examples: [],
    },
    unasked: 0,
    unhandled: [],
    ...changes,
  };
}

const broken = (run: Evidence) => judge(run).list.filter(({ pass }) => !pass).map(({ name }) => name).join("; ");

Deno.test("judge() is content with a run in which nothing leaks", () => assertEquals(broken(evidence()), ""));

const good = evidence();
const LEAKS: Record<string, [Evidence, string]> = {
  "memory that grows by 4 MiB a minute": [evidence({ rss: 4 * MIB / 60 }), "rss of consumer-1"],
  "a heap that grows by 1 MiB a minute": [evidence({ heap: MIB / 60 }), "heap of scheduler"],
  "a table that grows by 1 MiB a minute": [evidence({ ready: MIB / 60 }), "size of ready"],
  "a lost task": [evidence({ account: { ...good.account, lost: 1 } }), "ended otherwise"],
  "a confirmed task that never was": [evidence({ account: { ...good.account, vanished: 1 } }), "confirmed"],
  "an effect twice": [evidence({ account: { ...good.account, twice: 1 } }), "effects twice"],
  "an unplaced row": [evidence({ left: { claim_batch: 1 } }), "unplaced rows"],
  "a connection that is left": [
    evidence({ after: { ...good.after, server: { ...good.after.server!, connections: { a: 4 } } } }),
    "connections at rest",
  ],
  "timers that are left": [
    evidence({
      after: { ...good.after, processes: { "consumer-1": { ...good.after.processes["consumer-1"]!, timers: 20 } } },
    }),
    "timers of consumer-1",
  ],
  "a lock that is left": [evidence({ final: { ...good.final!, locks: 1 } }), "locks"],
  "a slow calm": [
    evidence({ rows: [{ ...good.rows[0]!, latencies: { ...good.rows[0]!.latencies, start: [5, 9, 900] } }] }),
    "p99",
  ],
  "a consumer that crashed": [evidence({ unasked: 1 }), "unexpectedly"],
};
for (const [leak, [run, verdict]] of Object.entries(LEAKS)) {
  Deno.test(`judge() sees ${leak}`, () => assertStringIncludes(broken(run), verdict));
}

Deno.test("soak runs, makes faults happen, loses nothing, and leaves its report and no database", async () => {
  const out = await Deno.makeTempDir({ prefix: "firefly_soak_test_" });
  try {
    const args = ["--minutes", "0.15", "--rate", "20", "--consumers", "2", "--seed", "3", "--out", out];
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", "--v8-flags=--expose-gc", SOAK.href, ...args],
      env: { FIREFLY_DATABASE_URL: SERVER },
    }).output();
    const [text, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)) as [string, string];
    const failed = text.split("\n").filter((line) => line.startsWith("FAIL") && !/p99|at rest/.test(line));
    assertEquals(failed, [], text + errors); // figures of time and of rest are those of a machine that does nothing else
    assert(code === 0 || code === 1);
    assertStringIncludes(text, "effects twice: 0");
    const run = JSON.parse(await Deno.readTextFile(`${out}/evidence.json`));
    assert(run.faults.length > 0);
    assertStringIncludes(await Deno.readTextFile(`${out}/soak.svg`), "<polyline");
  } finally {
    await Deno.remove(out, { recursive: true });
  }
});
