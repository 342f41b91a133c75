import { setTimeout as sleep } from "node:timers/promises";
import type { TestDatabase } from "../../support/database.ts";

/** Which workflows are scheduled, and how many may not have ended at a time. */
interface Supply {
  readonly names: readonly string[];
  readonly width: number;
  /** Ends it. */
  readonly signal: AbortSignal;
}

/** Schedules workflows so that there are always `width` that have not ended, also while the server is away. */
export async function keepSupplied(
  { sql }: Pick<TestDatabase, "sql">,
  { names, width, signal }: Supply,
): Promise<void> {
  const list = names.join(); // some clients do not know arrays
  while (!signal.aborted) {
    await sql`
      INSERT INTO firefly.task (func_name)
      SELECT split_part(${list}, ',', 1 + floor(random() * ${names.length}::int)::int)
      FROM generate_series(1, ${width}::int - (
        SELECT count(*)::int FROM firefly.task WHERE status = 'created' AND func_name = ANY (string_to_array(${list}, ','))
      ))
    `.catch(() => {});
    await sleep(20);
  }
}

/** Whether all tasks have ended, and all that depends on them knows. */
export async function isQuiet({ sql }: Pick<TestDatabase, "sql">): Promise<boolean> {
  const [row] = await sql`
    SELECT NOT EXISTS (SELECT FROM firefly.task WHERE status = 'created') AND NOT EXISTS (SELECT FROM firefly.ended)
      AND NOT EXISTS (SELECT FROM firefly.claim_batch) AS quiet
  `;
  return row!.quiet;
}
