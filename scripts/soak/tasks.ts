import { current, task } from "../../mod.ts";

/** Pruning must delete something while the soak runs. */
const retention = "20s";

/** Does nothing. */
export const plain = task({ name: "soak.plain", retention }, (n: number) => n);

/** Writes one row that commits with `completed`, or not at all. */
export const effect = task({ name: "soak.effect", retention, maxRetries: 3, retryDelay: 0.2 }, async (n: number) => {
  const { sql, id, attempt } = current();
  await sql`INSERT INTO soak.effect (n, task_id, attempt) VALUES (${n}, ${id}, ${attempt})`;
  await pause(n % 20);
  return n;
});

/** Fails at its first attempts; rescued and returned ones count among them, so it never needs all of its retries. */
export const flaky = task(
  { name: "soak.flaky", retention, maxRetries: 3, retryDelay: { kind: "exponential", delay: 0.2, jitter: true } },
  (n: number) => {
    if (current().attempt <= 1 + n % 3) throw new Error(`Attempt ${current().attempt} fails`);
    return n;
  },
);

/** Fails for good. */
export const hopeless = task({ name: "soak.hopeless", retention, maxRetries: 1, retryDelay: 0.2 }, (n: number) => {
  throw new Error(`Task ${n} always fails`);
});

/** Comes later. */
export const delayed = task({ name: "soak.delayed", retention }, (n: number) => n);

/** Has duplicates. */
export const unique = task({ name: "soak.unique", retention, unique: true }, async (_key: number) => {
  await pause(20);
});

/** Runs two at a time of each key. */
export const limited = task(
  { name: "soak.limited", retention, concurrency: { limit: 2, key: (n: number) => String(n % 5) } },
  async (n: number) => {
    await pause(10);
    return n;
  },
);

/** Somebody waits for its result. */
export const awaited = task({ name: "soak.awaited", retention }, (n: number) => ({ twice: 2n * BigInt(n) }));

/** Somebody watches its progress. */
export const watched = task({ name: "soak.watched", retention }, async (n: number) => {
  const { progress } = current();
  for (let step = 1; step <= 3; step++) {
    await progress(step / 3, `step ${step}`);
    await pause(30);
  }
  return n;
});

/** Is cancelled before its time comes. */
export const waiting = task({ name: "soak.waiting", retention }, (n: number) => n);

/** Is cancelled while it runs, unless nobody does so for very long. */
export const running = task({ name: "soak.running", retention }, async (_n: number) => {
  await pause(120_000, current().signal);
});

/** Is cancelled and scheduled again, with many others. */
export const parked = task(
  { name: "soak.parked", retention: { completed: retention, failed: "1h" } },
  (n: number) => n,
);

/** Is deleted before its time comes, with many others. */
export const doomed = task({ name: "soak.doomed", retention }, (n: number) => n);

/** Comes by itself. */
export const tick = task({ name: "soak.tick", retention, cron: "*/3 * * * * *" }, () => {});

function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    function abort(): void {
      clearTimeout(timer);
      reject(signal!.reason);
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", abort, { once: true });
  });
}
