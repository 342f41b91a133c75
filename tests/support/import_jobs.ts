import { Pool } from "pg";
import { Firefly } from "../../mod.ts";
import type { TestDatabase } from "./database.ts";

/** How a test with graphile-worker is declared: it leaves timers of its own for a moment after it was stopped. */
export const WITH_GRAPHILE: Pick<Deno.TestDefinition, "sanitizeOps" | "sanitizeResources"> = {
  sanitizeOps: false,
  sanitizeResources: false,
};

/** An instance on the database of a test. */
export function instanceOn(db: TestDatabase): Firefly {
  return new Firefly({ database: db.url });
}

/** A task as an import left it. */
export interface ImportedRow {
  func_name: string;
  queue: string;
  priority: number;
  params: unknown;
  not_before: Date;
  max_retries: number;
  retry_delay: number | null;
  backoff: Record<string, unknown> | null;
  timeout: number | null;
  unique_key: string | null;
  tags: string[];
  traceparent: string | null;
}

/** The tasks, in the order in which they were scheduled. */
export async function importedTasks({ sql }: TestDatabase): Promise<ImportedRow[]> {
  return await sql<ImportedRow[]>`
    SELECT func_name, queue, priority, firefly.decode(params) AS params, not_before, max_retries, retry_delay, backoff,
      timeout, unique_key, tags, traceparent
    FROM firefly.task ORDER BY id
  `;
}

/** What was left, as `name reason count`. */
export function leftOf(
  { left }: { left: readonly { name: string | null; reason: string; count: number }[] },
): string[] {
  return left.map(({ name, reason, count }) => `${name} ${reason} ${count}`).sort();
}

/** A pool for graphile-worker, which does not wait for the end of one that it makes. */
export function testPool({ url }: TestDatabase): Pool {
  const pool = new Pool({ connectionString: url });
  // Connections are still about to close when the database is dropped, which terminates them.
  pool.on("error", () => {});
  pool.on("connect", (client) => client.on("error", () => {}));
  return pool;
}
