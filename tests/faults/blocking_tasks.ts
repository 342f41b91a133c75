import { writeSync } from "node:fs";
import { current, task } from "../../mod.ts";

/** Says when it began, past the log, which cannot be written while the loop is blocked; then blocks it for `ms`. */
export const spin = task("blocking.spin", (ms: number) => {
  writeSync(2, new TextEncoder().encode(`spins ${Date.now()}\n`));
  const end = ms < 0 ? Infinity : performance.now() + ms;
  while (performance.now() < end);
});

/** Blocks the loop for `ms`, and computes nothing meanwhile. */
export const stand = task("blocking.stand", (ms: number) => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
});

/** An effect, and time that it does not block. */
export const write = task("blocking.write", async (n: number) => {
  const { sql, id, attempt } = current();
  await sql`INSERT INTO ledger (n, task_id, attempt) VALUES (${n}, ${id}, ${attempt})`;
  await new Promise((resolve) => setTimeout(resolve, 20));
});

/**
 * The first attempt ignores its signal and goes on long after its timeout, with an effect before and one after that; the
 * second is quick.
 */
export const linger = task(
  { name: "blocking.linger", timeout: 1, maxRetries: 1, retryDelay: 0 },
  async (ms: number) => {
    const { sql, id, attempt, log } = current();
    if (attempt > 1) return "in time";
    await sql`INSERT INTO ledger (n, task_id, attempt) VALUES (-1, ${id}, ${attempt})`;
    await new Promise((resolve) => setTimeout(resolve, ms));
    try {
      await sql`INSERT INTO ledger (n, task_id, attempt) VALUES (-2, ${id}, ${attempt})`;
      log.warn("late write accepted");
    } catch {
      log.warn("late write refused");
    }
    return "too late";
  },
);

/** Never resolves, and does not look at its signal. */
export const hang = task({ name: "blocking.hang", timeout: 1 }, () => new Promise<void>(() => {}));
