import { dirname } from "node:path";
import config from "../../deno.json" with { type: "json" };
import { VERSION } from "../../src/version.ts";
import { describeMachine } from "./machine.ts";
import { measure } from "./measures/measure.ts";
import type { BenchOptions } from "./options.ts";
import { type Installed, installPackages, PACKAGES, type Packages } from "./packages.ts";
import { type Peer, PEERS } from "./peers.ts";
import { askRedis, emptyRedis, type RedisFacts } from "./redis.ts";
import type { Failure, Line, Measurement, Results, Run } from "./results.ts";
import { FULL, ONCE, QUICK, type Scenario, SCENARIOS, type Sizes } from "./scenarios.ts";
import { type BenchServer, openServer } from "./server.ts";
import { Stage } from "./stage.ts";
import { median, noiseOf, QUIET, summarize } from "./statistics.ts";

/** The driver of Firefly and of what is written by hand. */
const DRIVER = config.imports.postgres.replace("npm:postgres@", "postgres ");

/** How long a measurement may take, in milliseconds: any, and one that repeats itself. */
const [TIMEOUT, TIMEOUT_ONCE] = [240_000, 1_200_000];

/** What a program of the benchmark measures. */
export interface Suite {
  readonly peers: readonly Peer[];
  readonly scenarios: readonly Scenario[];
  /** What its peers need of npm, and the directory of the cache for it. */
  readonly packages: { readonly name: string; readonly packages: Packages };
  /** Whether the server counts statements, which costs it some time. */
  readonly counting: boolean;
}

/** The queues. */
export const QUEUES: Suite = {
  peers: PEERS,
  scenarios: SCENARIOS,
  packages: { name: "bench", packages: PACKAGES },
  counting: false,
};

/** How a run tells what it does. */
export interface RunHooks {
  readonly signal: AbortSignal;
  /** Called with each line of the results, as soon as there is one. */
  onLine(line: Line): void;
  onProgress(text: string): void;
}

/** Measures what the options ask for, round by round. */
export async function runBench(options: BenchOptions, hooks: RunHooks, suite: Suite = QUEUES): Promise<Results> {
  const all = suite.peers.filter(({ name }) => options.peers.includes(name));
  const redis = all.some((peer) => peer.redis) ? await askRedis() : undefined;
  const reachable = all.filter((peer) => redis || !peer.redis);
  for (const { title, name } of all) {
    if (!reachable.some((peer) => peer.name === name)) hooks.onProgress(`${title} is left out as no Redis answers`);
  }
  const installed = await install(reachable, hooks, suite);
  const prepared = await prepare(reachable, hooks, installed);
  const peers = reachable.filter((peer) => prepared.has(peer));
  const { seconds, quick, noisy } = options;
  const sizes = { ...(quick ? QUICK : FULL), ...(seconds === undefined ? {} : { seconds }) };
  await using server = await openServer(options.database, suite);
  await using _redis = { [Symbol.asyncDispose]: async () => redis && await emptyRedis() };
  hooks.signal.throwIfAborted();
  const run = await describe({ options, sizes, server, peers, redis, suite, prepared });
  hooks.onLine(run);
  const results = { run, measurements: [] as Measurement[], failures: [] as Failure[] };
  for (let round = 1; round <= options.rounds; round++) {
    const scenarios = suite.scenarios.filter((name) => options.scenarios.includes(name));
    for (const scenario of round === 1 ? scenarios : scenarios.filter((name) => !ONCE.includes(name))) {
      const tries = quick || noisy || ONCE.includes(scenario) ? 1 : 2;
      for (const peer of peers.filter(({ scenarios }) => scenarios.includes(scenario))) {
        const turn = { server, peer, installed, sizes, scenario, round, results, hooks };
        const lines = await measureQuietly(turn, tries);
        for (const line of lines) {
          if (line.kind === "measurement") results.measurements.push(line);
          else results.failures.push(line);
          hooks.onLine(line);
          hooks.onProgress(tell(line, options.rounds));
        }
      }
    }
  }
  return results;
}

async function install(
  peers: readonly Peer[],
  { signal, onProgress }: RunHooks,
  { packages }: Suite,
): Promise<Installed> {
  if (peers.every(({ runtime }) => runtime === "deno")) return { directory: "", node: "" };
  onProgress("Installing the peers from npm, unless they are there");
  return await installPackages(packages, signal);
}

/** Makes what peers need beside their packages; resolves to those that have it, and what their versions say of that. */
async function prepare(
  peers: readonly Peer[],
  { signal, onProgress }: RunHooks,
  { directory }: Installed,
): Promise<Map<Peer, string | undefined>> {
  const ready = new Map<Peer, string | undefined>();
  for (const peer of peers) {
    try {
      ready.set(peer, await peer.prepare?.(directory, signal));
    } catch (error) {
      signal.throwIfAborted();
      onProgress(`${peer.title} is left out: ${error instanceof Error ? error.message : error}`);
    }
  }
  return ready;
}

interface Turn {
  readonly server: BenchServer;
  readonly peer: Peer;
  readonly installed: Installed;
  readonly sizes: Sizes;
  readonly scenario: Scenario;
  readonly round: number;
  readonly results: Results;
  readonly hooks: RunHooks;
}

/** Measures up to `tries` times, until the machine was quiet meanwhile; resolves to the quietest of them. */
async function measureQuietly(turn: Turn, tries: number): Promise<(Measurement | Failure)[]> {
  const first = await measureOnce(turn);
  const noise = noiseIn(first);
  if (noise <= QUIET || tries === 1) return first;
  turn.hooks.onProgress(`${turn.peer.name} once more, as others took ${Math.round(noise * 100)}% of the machine`);
  const second = await measureQuietly(turn, tries - 1);
  return noiseIn(second) < noise ? second : first;
}

function noiseIn(lines: readonly (Measurement | Failure)[]): number {
  return median(lines.map((line) => line.kind === "measurement" ? noiseOf(line.metrics) : 0));
}

async function measureOnce(
  { server, peer, installed, sizes, scenario, round, results, hooks: { signal } }: Turn,
): Promise<(Measurement | Failure)[]> {
  const what = { round, peer: peer.name, scenario };
  try {
    const timeout = ONCE.includes(scenario) ? TIMEOUT_ONCE : TIMEOUT;
    await using stage = await Stage.open({
      server,
      peer,
      installed,
      sizes,
      effects: scenario === "effects",
      timeout,
      signal,
    });
    const ownRate = summarize(results, { ...what, scenario: "schedule_1", metric: "rate" })?.median;
    const metrics = await measure(stage, { scenario, ownRate });
    return [metrics].flat().map(({ page, ...metrics }) => ({
      kind: "measurement",
      ...what,
      ...page === undefined ? {} : { page },
      metrics,
    }));
  } catch (error) {
    signal.throwIfAborted();
    return [{ kind: "failure", ...what, message: error instanceof Error ? error.message : String(error) }];
  }
}

async function describe(
  { options, sizes, server, peers, redis, suite, prepared }: {
    prepared: Map<Peer, string | undefined>;
    suite: Suite;
    options: BenchOptions;
    sizes: Sizes;
    server: BenchServer;
    peers: readonly Peer[];
    redis: RedisFacts | undefined;
  },
): Promise<Run> {
  const versions = peers.map((peer) => {
    const { name, driver, packages } = peer;
    const own: Record<string, string> = { kv: `Deno ${Deno.version.deno}`, firefly: VERSION, bare: DRIVER };
    const known = suite.packages.packages;
    const all = [...packages.map((one) => `${one} ${known[one]}`), ...[prepared.get(peer) ?? []].flat()];
    return [name, all.join(", ") || (own[driver] ?? VERSION)];
  });
  return {
    kind: "run",
    started: new Date().toISOString(),
    rounds: options.rounds,
    sizes,
    machine: [
      ...await describeMachine(server.directory ? dirname(server.directory) : "."),
      ["PostgreSQL", server.version],
      ...redis ? [["Redis", `${redis.version}, appendonly ${redis.appendonly}, save "${redis.save}"`] as const] : [],
      ["Deno", Deno.version.deno],
      ...peers.some(({ runtime }) => runtime === "node") ? [["Node", suite.packages.packages.node!] as const] : [],
    ],
    server: server.settings,
    versions: Object.fromEntries(versions),
  };
}

/** One line about a measurement, for people who watch. */
function tell(line: Measurement | Failure, rounds: number): string {
  const page = line.kind === "measurement" && line.page !== undefined ? `${line.page}: ` : "";
  const head = `${line.round}/${rounds} ${line.scenario.padEnd(13)} ${line.peer.padEnd(17)} ${page}`.trimEnd();
  if (line.kind === "failure") return `${head} FAILED: ${line.message}`;
  const numbers = Object.entries(line.metrics).map(([name, value]) =>
    `${name} ${Math.abs(value) >= 100 ? Math.round(value) : Number(value.toFixed(2))}`
  );
  return `${head} ${numbers.join(", ")}`;
}
