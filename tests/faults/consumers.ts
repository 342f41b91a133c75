import type { TestDatabase } from "../support/database.ts";
import { type CliOptions, type CliProcess, startCli } from "../support/process.ts";
import { until } from "../support/waiting.ts";

/** How a consumer of a fault is started. */
export interface ConsumerOptions extends CliOptions {
  /** The file beside this one with its tasks. */
  tasks?: string;
  /** How long its lease is. */
  lease?: string;
  /** More arguments. */
  args?: string[];
}

/** Starts `cli.ts consume` on a database. */
export function startConsumerOf(
  { url }: Pick<TestDatabase, "url">,
  { tasks = "data_tasks.ts", lease = "2s", args = [], ...options }: ConsumerOptions = {},
): CliProcess {
  const file = new URL(tasks, import.meta.url).pathname;
  return startCli(["consume", "--database", url, "--import", file, "--lease", lease, "--json", ...args], options);
}

/** How many records of a task have each status. */
export async function statusesOf({ sql }: Pick<TestDatabase, "sql">, name: string): Promise<Record<string, number>> {
  const rows = await sql<{ status: string; count: number }[]>`
    SELECT status, count(*)::int AS count FROM firefly.task WHERE func_name = ${name} GROUP BY status
  `;
  return Object.fromEntries(rows.map(({ status, count }) => [status, count]));
}

/** Waits until all records of a task have ended, and tells how. */
export async function allEnded(
  db: Pick<TestDatabase, "sql">,
  name: string,
  timeout = 30_000,
): Promise<Record<string, number>> {
  await until(async () => !((await statusesOf(db, name)).created), timeout);
  return await statusesOf(db, name);
}

/** Waits until so many consumers are registered and live. */
export async function consumersLive({ sql }: Pick<TestDatabase, "sql">, count: number): Promise<void> {
  await until(async () => {
    return (await sql`SELECT FROM firefly.consumer WHERE lease_until > now()`).count === count;
  }, 30_000);
}
