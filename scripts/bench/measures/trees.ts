import { pathToFileURL } from "node:url";
import { join } from "node:path";
import process from "node:process";
import type * as firefly from "../../../mod.ts";
import type { Metrics } from "../results.ts";
import type { Stage } from "../stage.ts";
import { median } from "../statistics.ts";

/** The checkouts that take turns. The last one shows how far two alike ones are apart. */
export const CHECKOUTS = ["this", "the other", "this, again"] as const;
/** What is done with tasks that have neither steps nor dependencies. */
export const WORKS = ["insert in bulk", "insert 100 at a time", "claim and complete"] as const;

type Checkout = typeof CHECKOUTS[number];
type Work = typeof WORKS[number];

/** Turns that do not count: the first ones compile code. */
const WARM_UP = 3;
/** How many calls that schedule one task are under way at a time. */
const CALLS = 100;

/** Microseconds of CPU a task. */
interface Turn {
  readonly server: number;
  readonly client: number;
}

interface Arm {
  readonly checkout: Checkout;
  readonly ff: firefly.Firefly;
  readonly noop: firefly.Task<[{ i: number; s: string }], void>;
  readonly turns: Record<Work, Turn[]>;
}

/**
 * Measures what plain tasks cost in this checkout and in another one. Both run in this process, in schemas of one database,
 * and take turns: a machine whose speed changes is as fast for each of them.
 */
export async function measureTrees(stage: Stage): Promise<(Metrics & { page: string })[]> {
  const { slice, slices } = stage.sizes;
  const arms: Arm[] = [];
  for (const [i, checkout] of CHECKOUTS.entries()) arms.push(await openArm(stage, checkout, `arm_${i}`));
  try {
    for (let i = 0; i < WARM_UP + slices; i++) {
      // Each is the first one as often as the others.
      for (const [turn] of CHECKOUTS.entries()) {
        const arm = arms[(turn + i) % CHECKOUTS.length]!;
        const spent = await takeTurn(stage, arm, slice);
        if (i < WARM_UP) continue;
        for (const work of WORKS) arm.turns[work].push(spent[work]);
      }
      await stage.settle(); // else a checkpoint comes in the middle of a turn, and plans are those of empty tables
    }
  } finally {
    for (const { ff } of arms) await ff.close();
  }
  return WORKS.flatMap((work) => compare(arms, work));
}

/** What a measurement is called. */
export function turnOf(work: Work, checkout: Checkout): string {
  return `${work}: ${checkout}`;
}

async function openArm(stage: Stage, checkout: Checkout, schema: string): Promise<Arm> {
  const { Firefly, task } = await importFirefly(checkout === "the other" ? stage.peer.tree : undefined);
  const ff = new Firefly({ database: stage.url, schema });
  await ff.migrate();
  // It would work for whichever has its turn.
  await stage.sql`ALTER TABLE ${stage.sql(schema)}.task SET (autovacuum_enabled = off)`;
  const noop = task(`bench.${schema}`, (_: { readonly i: number; readonly s: string }) => {});
  return { checkout, ff, noop, turns: { "insert in bulk": [], "insert 100 at a time": [], "claim and complete": [] } };
}

async function importFirefly(tree: string | undefined): Promise<typeof firefly> {
  if (tree === undefined) return await import("../../../mod.ts");
  return await import(pathToFileURL(join(tree, "mod.ts")).href);
}

async function takeTurn(stage: Stage, { ff, noop }: Arm, slice: number): Promise<Record<Work, Turn>> {
  stage.signal.throwIfAborted();
  const payloadOf = (i: number) => ({ i, s: "hello-firefly-benchmark" });
  const single = Math.ceil(slice / 5);
  const bulk = await spentBy(stage, slice, async () => {
    await ff.run(() => noop.scheduleMany(Array.from({ length: slice }, (_, i) => [payloadOf(i)])));
  });
  const singly = await spentBy(stage, single, async () => {
    let i = 0;
    await Promise.all(Array.from({ length: CALLS }, async () => {
      while (i < single) await ff.run(() => noop.schedule(payloadOf(i++)));
    }));
  });
  const count = slice + single;
  const drain = await spentBy(stage, count, async () => {
    await ff.consume({ tasks: [noop], maxTasks: count, concurrency: 100 }).finished;
  });
  return { "insert in bulk": bulk, "insert 100 at a time": singly, "claim and complete": drain };
}

async function spentBy(stage: Stage, count: number, act: () => Promise<void>): Promise<Turn> {
  const [before, cpu] = [stage.serverCpu, process.cpuUsage()];
  await act();
  const { user, system } = process.cpuUsage(cpu);
  return { server: (stage.serverCpu - before) * 1000 / count, client: (user + system) / count };
}

function compare(arms: readonly Arm[], work: Work): (Metrics & { page: string })[] {
  const sum = ({ server, client }: Turn) => server + client;
  const [first, other, again] = arms.map(({ turns }) => turns[work]);
  // Ratios are of turns that followed each other.
  const ratios = [
    first!.map((turn, i) => (sum(turn) + sum(again![i]!)) / 2 / sum(other![i]!)),
    other!.map(() => 1),
    again!.map((turn, i) => sum(turn) / sum(first![i]!)),
  ];
  return arms.map(({ checkout, turns }, arm) => ({
    page: turnOf(work, checkout),
    serverCpu: median(turns[work].map(({ server }) => server)),
    clientCpu: median(turns[work].map(({ client }) => client)),
    ratio: median(ratios[arm]!),
  }));
}
