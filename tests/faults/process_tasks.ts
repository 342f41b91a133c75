import { setTimeout as sleep } from "node:timers/promises";
import postgres from "postgres";
import { current, task } from "../../mod.ts";

/** Tasks of the faults that happen to processes and to their connections. */

/** Writes one row through the attempt's transaction, and keeps that open for `ms`: a row twice is an effect twice. */
export const mark = task("process.mark", async (n: number, ms: number) => {
  const { sql, id, attempt } = current();
  await sql`INSERT INTO ledger (n, task_id, attempt, pid) VALUES (${n}, ${id}, ${attempt}, ${Deno.pid})`;
  await sleep(ms);
});

/** Waits for `ms`, whatever its signal says meanwhile. */
export const wait = task("process.wait", async (ms: number) => await sleep(ms));

/**
 * The first attempt stops its own process with everything done but the end: on SIGCONT the handler returns at once, before
 * any timer can tell the consumer how late it is.
 */
export const freeze = task("process.freeze", async (n: number, account: string | null) => {
  const { sql, id, attempt } = current();
  if (account !== null) await sql`INSERT INTO account (name) VALUES (${account})`;
  await sql`INSERT INTO ledger (n, task_id, attempt, pid) VALUES (${n}, ${id}, ${attempt}, ${Deno.pid})`;
  if (attempt === 1) Deno.kill(Deno.pid, "SIGSTOP");
});

/** What a query did whose backend had just been terminated. */
export type Fate = "rejected" | "answered" | "outside" | "hung";

/** How long a query may take before it counts as hung, in milliseconds. */
const TIMEOUT = 3_000;
const terminated = new Set<number>();

/** In its first attempt, terminates the backend of its own transaction, goes on with it, and writes down what that did. */
export const terminate = task("process.terminate", async (n: number) => {
  const { sql } = current();
  const pid = await backendOf(sql);
  const answered = performance.now();
  if (terminated.has(n)) return;
  terminated.add(n);
  const side = postgres(Deno.env.get("SIDE_DATABASE_URL")!, { max: 1, fetch_types: false });
  try {
    await side`SELECT pg_terminate_backend(${pid})`;
    // Half of them come when this side has noticed.
    if (n % 2 === 0) await sleep(20);
    const asked = performance.now();
    // One that meets the end of the connection, and one that comes after it.
    const fates = [await fateOf(backendOf(sql), pid), await fateOf(backendOf(sql), pid)];
    const ms = performance.now() - asked;
    await side`
      INSERT INTO termination (n, answered, terminated, ms, fates)
      VALUES (${n}, ${answered}, ${asked}, ${ms}, ${fates.join()})
    `;
  } finally {
    await side.end({ timeout: 1 });
  }
});

type Tag = ReturnType<typeof current>["sql"];

async function backendOf(sql: Tag): Promise<number> {
  const [row] = await sql<{ pid: number }>`SELECT pg_backend_pid() AS pid`;
  return row!.pid;
}

async function fateOf(query: Promise<number>, expected: number): Promise<Fate> {
  const fate = query.then((pid): Fate => pid === expected ? "answered" : "outside", (): Fate => "rejected");
  const ended = new AbortController();
  const late = sleep(TIMEOUT, "hung" as const, { signal: ended.signal }).catch(() => "hung" as const);
  try {
    return await Promise.race([fate, late]);
  } finally {
    ended.abort();
  }
}
