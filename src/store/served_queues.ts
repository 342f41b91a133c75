import type { Tag } from "../database/driver.ts";
import { queueSteps } from "./queue_steps.ts";

/**
 * Finds the queues with tasks that are ready or due later, and those with parked tasks of these `names`: one probe of an
 * index for each queue, up to 10,000 of them. A task that waits for a limit is found when it is admitted.
 */
export async function findQueues(sql: Tag, names: string[]): Promise<string[]> {
  const rows = await sql`
    WITH RECURSIVE ${queueSteps(sql, "filled", { table: "ready" })},
    ${queueSteps(sql, "later", { table: "waiting", where: "reason = 'time'" })},
    ${queueSteps(sql, "limited", { table: "waiting", where: "admit_at IS NOT NULL" })}
    SELECT queue
    FROM (
      (SELECT queue FROM filled LIMIT 10000)
      UNION
      (SELECT queue FROM later LIMIT 10000)
      UNION
      (SELECT queue FROM limited LIMIT 10000)
      UNION
      SELECT queue FROM ${sql.schema}.waiting WHERE reason = 'unknown' AND func_name = ANY (${names}::text[])
    ) AS found
    WHERE queue IS NOT NULL
    ORDER BY queue
  `;
  return rows.map(({ queue }) => queue);
}

/** Stores which queues a consumer serves that serves all. */
export async function storeServedQueues(sql: Tag, consumerId: string, queues: string[]): Promise<void> {
  await sql`UPDATE ${sql.schema}.consumer SET queues = ${queues}::text[] WHERE id = ${consumerId}`;
}

/** Reads the queues that live consumers serve. */
export async function readServedQueues(sql: Tag): Promise<string[]> {
  const rows = await sql`SELECT DISTINCT unnest(queues) AS name FROM ${sql.schema}.consumer WHERE lease_until > now()`;
  return rows.map(({ name }) => name);
}
