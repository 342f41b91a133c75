import { current, task } from "../../mod.ts";

/** Writes one row through the attempt's transaction: a row twice is an effect twice. */
export const write = task({ name: "ledger.write", retryDelay: 0 }, async (n: number) => {
  const { sql, id, attempt } = current();
  await sql`INSERT INTO ledger (n, task_id, attempt) VALUES (${n}, ${id}, ${attempt})`;
  await new Promise((resolve) => setTimeout(resolve, 5));
  return n;
});

/** Runs until it is told to stop, or for `seconds`. */
export const wait = task("ledger.wait", async (seconds: number) => {
  const { signal } = current();
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
});

/** Kills the process that runs it. */
export const poison = task({ name: "ledger.poison", maxRetries: 1000 }, () => {
  Deno.kill(Deno.pid, "SIGKILL");
});
