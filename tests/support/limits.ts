import { Firefly } from "../../mod.ts";
import type { TestDatabase } from "./database.ts";
import type { TestInstance } from "./instance.ts";
import { until } from "./waiting.ts";

export const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
/** Leaves waking to notifications, so that a task that no consumer admits stalls. */
export const SLOW_POLL = { pollInterval: "1h" } as const;

/** A handler that notes when it runs, for `ms` milliseconds or for as long as `wait` says. */
export function recorder(wait: (n: number) => Promise<void> = () => pause(2)) {
  const runs: { n: number; began: number; ended: number }[] = [];
  let [running, most] = [0, 0];
  return {
    runs,
    get running() {
      return running;
    },
    get most() {
      return most;
    },
    async handler(n: number) {
      most = Math.max(most, ++running);
      const run = { n, began: performance.now(), ended: Infinity };
      runs.push(run);
      try {
        await wait(n);
      } finally {
        run.ended = performance.now();
        running--;
      }
    },
  };
}

/** Runs two consumers, each with connections of its own, until `isDone`. */
export async function withTwo(
  test: TestInstance,
  // deno-lint-ignore no-explicit-any
  { tasks, isDone, options = {} }: { tasks: any[]; isDone: () => boolean | Promise<boolean>; options?: object },
): Promise<void> {
  await using other = new Firefly({ database: test.db.url });
  const consumers = [test.ff, other].map((ff) => ff.consume({ tasks, ...SLOW_POLL, ...options }));
  await Promise.all(consumers.map(({ ready }) => ready));
  await until(isDone, 60_000);
  await Promise.all(consumers.map((consumer) => consumer.stop()));
}

export const numbers = (count: number) => Array.from({ length: count }, (_, n): [number] => [n]);

/** What is left of slots, but for those of rates that run out by themselves. */
export async function slotsOf(db: TestDatabase): Promise<number> {
  const rows = await db.sql`SELECT FROM firefly.slot WHERE until IS NULL OR until = 'infinity'`;
  return rows.count;
}

export async function endedOf(db: TestDatabase): Promise<number> {
  const [row] = await db.sql`SELECT count(*)::int AS count FROM firefly.task WHERE status <> 'created'`;
  return row!.count;
}
