import type { Backoff } from "../../../src/task/backoff.ts";
import type { Tag } from "../../../src/database/driver.ts";

/** A task to insert, in the names of its columns; null takes the default. */
export interface NewTask {
  func_name: string;
  queue: string;
  params: string;
  priority: number;
  not_before: string | null;
  /** Seconds from now; it excludes `not_before`. */
  delay: number | null;
  max_retries: number | null;
  retry_delay: number | null;
  backoff: Backoff | null;
  timeout: number | null;
  tags: string[];
}

/** What the database decided about a new task. */
export interface InsertedTask {
  id: string;
  created: Date;
  not_before: Date;
}

/**
 * Inserts tasks in the order given. The trigger on `task` places them in `ready` or `waiting` and rings, so that an
 * INSERT from anywhere else does the same.
 */
export async function insertTasks(sql: Tag, tasks: NewTask[]): Promise<InsertedTask[]> {
  // One JSON text instead of an array a column: one statement for one task and for thousands, and one parameter.
  return await sql<InsertedTask>`
    INSERT INTO ${sql.schema}.task (
      func_name, queue, params, priority, not_before, max_retries, retry_delay, backoff, timeout, tags
    )
    SELECT func_name, queue, params, priority,
      CASE WHEN delay > 0 THEN clock_timestamp() + make_interval(secs => delay) ELSE COALESCE(not_before, now()) END,
      max_retries, retry_delay, backoff, timeout, tags
    FROM json_to_recordset(${JSON.stringify(tasks)}::text::json) AS new (
      func_name text, queue text, params text, priority integer, not_before timestamptz, delay double precision,
      max_retries integer, retry_delay double precision, backoff jsonb, timeout double precision, tags text[]
    )
    RETURNING id, created, not_before
  `;
}
