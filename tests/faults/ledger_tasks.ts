import { current, task } from "../../mod.ts";

/** Writes one row through the attempt's transaction: a row twice is an effect twice. */
export const write = task({ name: "ledger.write", retryDelay: 0 }, async (n: number) => {
  const { sql, id, attempt } = current();
  await sql`INSERT INTO ledger (n, task_id, attempt) VALUES (${n}, ${id}, ${attempt})`;
  await new Promise((resolve) => setTimeout(resolve, 5));
  return n;
});

/** Kills the process that runs it. */
export const poison = task({ name: "ledger.poison", maxRetries: 1000 }, () => {
  Deno.kill(Deno.pid, "SIGKILL");
});
