import type { Kind } from "../drivers/workflows/driver.ts";
import type { Child } from "../child_process.ts";
import type { Metrics } from "../results.ts";
import type { WorkflowScenario } from "../scenarios.ts";
import type { Stage } from "../stage.ts";
import { quantilesOf } from "../statistics.ts";

/** How many steps a workflow of the benchmark has, and how many links a chain. */
const LENGTH = 10;
/** How much is run at a time where the scenario does not say. */
const AT = 20;
/** The share of the workflows that are run before, so that code is compiled and plans are made. */
const WARM_UP = 0.2;
/** Signals that are sent before anything is measured. */
const WARM_UP_SIGNALS = 5;

/** How each scenario of workflows is measured. */
export const WORKFLOW_MEASURES: Record<WorkflowScenario, (stage: Stage) => Promise<Metrics>> = {
  steps_1: (stage) => measureSteps(stage, { kind: "steps", at: 1 }),
  steps_20: (stage) => measureSteps(stage, { kind: "steps", at: 20 }),
  steps_100: (stage) => measureSteps(stage, { kind: "steps", at: 100 }),
  inserts_1: (stage) => measureSteps(stage, { kind: "inserts", at: 1 }),
  inserts_20: (stage) => measureSteps(stage, { kind: "inserts", at: 20 }),
  inserts_100: (stage) => measureSteps(stage, { kind: "inserts", at: 100 }),
  fan_in: measureFan,
  chain_1: (stage) => measureChains(stage, 1),
  chain_20: (stage) => measureChains(stage, 20),
  sleep_1s: measureSleep,
  asleep: (stage) => measureAsleep(stage, stage.sizes.workflows.asleep),
  sleepers: measureSleepers,
  signal: measureSignal,
};

/** Workflows of ten steps; costs are of a step. */
async function measureSteps(stage: Stage, { kind, at }: { kind: "steps" | "inserts"; at: number }): Promise<Metrics> {
  const { steps } = stage.sizes.workflows;
  const count = scaled(stage, at === 1 ? steps / 5 : steps);
  const metrics = await runBoth(stage, { kind, at, count, parts: LENGTH });
  if (kind === "inserts") {
    const [row] = await stage.sql`SELECT count(*)::integer AS effects FROM effect`;
    const expected = (count + warmUpOf(count)) * LENGTH;
    if (row!.effects !== expected) throw new Error(`There are ${row!.effects} effects instead of ${expected}`);
  }
  return metrics;
}

/** A fan-out with one that waits for all; costs are of a member. */
async function measureFan(stage: Stage): Promise<Metrics> {
  const { width, fans } = stage.sizes.workflows;
  return await runBoth(stage, {
    kind: "fan",
    at: 100,
    count: scaled(stage, fans),
    parts: width,
    width,
    releases: true,
  });
}

/** Chains of ten; costs are of a link. */
async function measureChains(stage: Stage, at: number): Promise<Metrics> {
  const { chains } = stage.sizes.workflows;
  return await runBoth(stage, {
    kind: "chain",
    at,
    releases: true,
    count: scaled(stage, at === 1 ? chains / 5 : chains),
    parts: LENGTH,
  });
}

/** A step, a second of sleep, a step; costs are of a workflow. */
async function measureSleep(stage: Stage): Promise<Metrics> {
  const count = scaled(stage, stage.sizes.workflows.sleeps);
  return await runBoth(stage, { kind: "sleep", at: AT, count, parts: 2, costsOf: 1 });
}

interface Batch {
  readonly kind: Kind;
  readonly at: number;
  readonly count: number;
  /** How many steps, links or members a workflow has. */
  readonly parts: number;
  /** By how many the costs of a workflow are divided, if not by its parts. */
  readonly costsOf?: number;
  /** How wide a fan-out is: the rate is of its members, and else of workflows. */
  readonly width?: number;
  /** Whether the time is told that the server takes to release dependants. */
  readonly releases?: true;
}

/** Runs some workflows that do not count, then those that do. */
async function runBoth(stage: Stage, batch: Batch): Promise<Metrics> {
  const { count, parts, width = 1, costsOf = parts, releases } = batch;
  const syncs = await syncsOf(stage);
  const worker = await startWorker(stage);
  const warmUp = warmUpOf(count);
  await run(stage, worker, { ...batch, count: warmUp });
  const metrics = await stage.account([worker], async () => {
    const before = await timeOfReleases(stage);
    const rate = count * width / await run(stage, worker, batch);
    const release = (await timeOfReleases(stage) - before) * 1000 / (count * costsOf);
    return { count: count * costsOf, metrics: { rate, ...(releases && release > 0 ? { release } : {}) } };
  });
  await worker[Symbol.asyncDispose]();
  const synced = (await syncsOf(stage) - syncs) / ((count + warmUp) * costsOf);
  return { ...metrics, ...(Number.isFinite(synced) ? { syncs: synced } : {}) };
}

async function run(stage: Stage, worker: Child, { kind, at, count, parts, width }: Batch): Promise<number> {
  await worker.ask("start", { at });
  const { seconds, done } = await worker.ask("run", { kind, count, at, ...(width === undefined ? {} : { width }) });
  if (done !== count * parts) throw new Error(`${done} parts of workflows ran instead of ${count * parts}`);
  stage.signal.throwIfAborted();
  return seconds;
}

/** How long the server took to release dependants, in milliseconds; NaN if it does not tell. */
async function timeOfReleases({ server }: Stage): Promise<number> {
  return await server.timeOf("_release_dependants");
}

/** How often the log was flushed: sessions tell when they end. */
async function syncsOf(stage: Stage): Promise<number> {
  await stage.endSessions();
  return await stage.server.syncs();
}

/** Workflows that sleep for an hour: what they hold meanwhile. */
async function measureAsleep(stage: Stage, wanted: number): Promise<Metrics> {
  const { worker, held } = await beginSleepers(stage, scaled(stage, wanted));
  await worker[Symbol.asyncDispose]();
  return held;
}

/** Many of them, which then are due at once. */
async function measureSleepers(stage: Stage): Promise<Metrics> {
  const count = stage.sizes.workflows.sleepers;
  const { worker, held } = await beginSleepers(stage, count, 100);
  await stage.settle();
  const woken = await stage.account([worker], async () => {
    const start = performance.now();
    await makeDue(stage);
    await stage.waitFor(async () => (await worker.ask("waits")).ended >= count && await isDone(stage));
    return { count, metrics: { rate: count / ((performance.now() - start) / 1000) } };
  });
  return { ...woken, ...held };
}

/** Makes all that sleeps due, as if its time had passed: time calls no trigger. */
async function makeDue({ sql }: Stage): Promise<void> {
  await sql.begin(async (sql) => {
    await sql`SET LOCAL session_replication_role = replica`;
    const [{ time }] = await sql`SELECT clock_timestamp() AS time` as unknown as [{ time: Date }];
    await sql`UPDATE firefly.step SET due = ${time} WHERE kind = 'sleep' AND status = 'waiting'`;
    await sql`
      UPDATE firefly.task
      SET not_before = ${time}
      WHERE status = 'created' AND id IN (SELECT id FROM firefly.waiting WHERE reason = 'time')
    `;
    await sql`UPDATE firefly.waiting SET not_before = ${time} WHERE reason = 'time'`;
  });
}

async function isDone({ sql }: Stage): Promise<boolean> {
  const [row] = await sql`SELECT NOT EXISTS (SELECT FROM firefly.task WHERE status = 'created') AS done`;
  return row!.done;
}

/** Begins workflows that sleep, and tells what they hold beside a worker that has none. */
async function beginSleepers(stage: Stage, count: number, at = AT): Promise<{ worker: Child; held: Metrics }> {
  const worker = await startWorker(stage);
  await worker.ask("start", { at });
  const warmUp = Math.ceil(count / 5); // what is compiled and cached for any number of them
  await worker.ask("begin", { kind: "asleep", count: warmUp });
  await untilWaiting(stage, worker, warmUp);
  const before = await holdings(stage, worker);
  await worker.ask("begin", { kind: "asleep", count });
  await untilWaiting(stage, worker, warmUp + count);
  const after = await holdings(stage, worker);
  const more = (name: keyof typeof before) => after[name] - before[name];
  return { worker, held: { sessions: more("sessions"), timers: more("timers"), heap: more("heap") } };
}

/** Waits until workflows have begun to wait, and a while longer, so that what they hold is what they keep. */
async function untilWaiting(stage: Stage, worker: Child, count: number): Promise<void> {
  await stage.waitFor(async () => (await worker.ask("waits")).begun >= count);
  await stage.sleep(2 * stage.sizes.rest);
}

async function holdings(stage: Stage, worker: Child) {
  return { ...await worker.ask("held"), sessions: await stage.server.sessions() };
}

/** From the call that sends a signal to the code behind the wait, in another process, one at a time. */
async function measureSignal(stage: Stage): Promise<Metrics> {
  const worker = await startWorker(stage);
  await worker.ask("start", { at: AT });
  const count = stage.sizes.workflows.signals;
  const { addresses } = await worker.ask("begin", { kind: "waiting", count: count + WARM_UP_SIGNALS });
  await untilWaiting(stage, worker, addresses.length);
  const sender = stage.startChild();
  const send = async (some: readonly (string | number)[]) => {
    for (const address of some) {
      await Promise.all([worker.began(), sender.ask("signal", { address, pause: 3 + Math.random() * 7 })]);
    }
  };
  await send(addresses.slice(0, WARM_UP_SIGNALS));
  await worker.ask("latencies");
  return await stage.account([worker], async () => {
    await send(addresses.slice(WARM_UP_SIGNALS));
    return { count, metrics: quantilesOf((await worker.ask("latencies")).times) };
  });
}

async function startWorker(stage: Stage): Promise<Child> {
  const worker = stage.startChild();
  await worker.ask("latencies"); // it has loaded all it needs
  return worker;
}

/** Slow peers get fewer. */
function scaled({ peer }: Stage, count: number): number {
  return Math.max(1, Math.ceil(count * peer.share));
}

function warmUpOf(count: number): number {
  return Math.max(1, Math.ceil(count * WARM_UP));
}
