import { context, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import {
  AlwaysOnSampler,
  BasicTracerProvider,
  BatchSpanProcessor,
  type SpanExporter,
} from "@opentelemetry/sdk-trace-base";
import process from "node:process";
import { Firefly, task } from "../../../mod.ts";
import type { Metrics } from "../results.ts";
import type { Stage } from "../stage.ts";
import { median } from "../statistics.ts";

/** The consumers that take turns. The last one shows how far two alike ones are apart. */
export const ARMS = ["without", "traced", "without, again"] as const;
/** How the tasks were scheduled. */
export const KINDS = ["in bulk", "one by one"] as const;

type Arm = typeof ARMS[number];
type Kind = typeof KINDS[number];

/** Slices that do not count: the first ones compile code. */
const WARM_UP = 2;
/** How many calls that schedule one task are under way at a time. */
const CALLS = 100;
/** An instance has its turn for a third of the time, and so traces a third of the attempts that it traces by default. */
const ATTEMPTS_PER_SECOND = 67;

const noop = task("bench.traced", (_: { readonly i: number; readonly s: string }) => {});

/** Takes spans and throws them away: to write and to send them is the work of OpenTelemetry, not of a queue. */
const EXPORTER: SpanExporter = {
  export: (_spans, onDone) => onDone({ code: 0 }),
  shutdown: () => Promise.resolve(),
};

/**
 * Measures what traces cost a drain. Consumers in this process run a slice of tasks each, in turn, over queues of their
 * own: a machine whose speed changes is as fast for each of them.
 */
export async function measureTraces(stage: Stage): Promise<(Metrics & { page: string })[]> {
  trace.setGlobalTracerProvider(
    new BasicTracerProvider({ sampler: new AlwaysOnSampler(), spanProcessors: [new BatchSpanProcessor(EXPORTER)] }),
  );
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  try {
    const found: (Metrics & { page: string })[] = [];
    for (const kind of KINDS) found.push(...await measureKind(stage, kind));
    return found;
  } finally {
    trace.disable();
    context.disable();
  }
}

/** What a measurement of an arm is called. */
export function pageOf(kind: Kind, arm: Arm): string {
  return `${kind}: ${arm}`;
}

async function measureKind(stage: Stage, kind: Kind): Promise<(Metrics & { page: string })[]> {
  const { slice, slices } = stage.sizes;
  const arms = ARMS.map((arm, i) => {
    const tracing = arm === "traced" ? { attemptsPerSecond: ATTEMPTS_PER_SECOND } : false;
    const ff = new Firefly({ database: stage.url, tracing });
    return { arm, ff, queue: `${kind.replaceAll(" ", "_")}_${i}`, turns: [] as Turn[] };
  });
  // Tables that do not fit into the server's buffers would be measured by their pages.
  await stage.sql`TRUNCATE firefly.task, firefly.ready`;
  // It would work for whichever consumer has its turn.
  await stage.sql`ALTER TABLE firefly.task SET (autovacuum_enabled = off)`;
  try {
    for (const { ff, queue } of arms) await fill(stage, { ff, queue, kind });
    await stage.settle();
    for (let i = 0; i < WARM_UP + slices; i++) {
      // Each is the first one as often as the others.
      for (const [turn] of ARMS.entries()) {
        const { ff, queue, turns } = arms[(turn + i) % ARMS.length]!;
        const spent = await runSlice(stage, { ff, queue, slice });
        if (i >= WARM_UP) turns.push(spent);
      }
    }
  } finally {
    for (const { ff } of arms) await ff.close();
  }
  const [without, , again] = arms;
  const base = without!.turns.map((turn, i) => (sumOf(turn) + sumOf(again!.turns[i]!)) / 2);
  return arms.map(({ arm, turns }) => ({
    page: pageOf(kind, arm),
    serverCpu: median(turns.map(({ server }) => server)),
    clientCpu: median(turns.map(({ client }) => client)),
    ratio: median(turns.map((turn, i) => sumOf(turn) / base[i]!)),
  }));
}

/** Microseconds of CPU a task. */
interface Turn {
  readonly server: number;
  readonly client: number;
}

function sumOf({ server, client }: Turn): number {
  return server + client;
}

async function runSlice(
  stage: Stage,
  { ff, queue, slice }: { readonly ff: Firefly; readonly queue: string; readonly slice: number },
): Promise<Turn> {
  stage.signal.throwIfAborted();
  const [before, cpu] = [stage.serverCpu, process.cpuUsage()];
  await ff.consume({ queues: queue, tasks: [noop], maxTasks: slice, concurrency: 100 }).finished;
  const { user, system } = process.cpuUsage(cpu);
  return { server: (stage.serverCpu - before) * 1000 / slice, client: (user + system) / slice };
}

async function fill(
  { sizes: { slice, slices }, peer: { chunk } }: Stage,
  { ff, queue, kind }: { readonly ff: Firefly; readonly queue: string; readonly kind: Kind },
): Promise<void> {
  const count = slice * (slices + WARM_UP);
  const payloadOf = (i: number) => ({ i, s: "hello-firefly-benchmark" });
  const scheduled = noop.with({ queue });
  if (kind === "in bulk") {
    for (let i = 0; i < count; i += chunk) {
      const calls = Array.from({ length: Math.min(chunk, count - i) }, (_, j) => [payloadOf(i + j)] as const);
      await ff.run(() => scheduled.scheduleMany(calls.map(([payload]) => [payload])));
    }
    return;
  }
  let i = 0;
  await Promise.all(Array.from({ length: CALLS }, async () => {
    while (i < count) await ff.run(() => scheduled.schedule(payloadOf(i++)));
  }));
}
