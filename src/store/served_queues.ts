import type { Tag } from "../database/driver.ts";

/**
 * Finds the queues with tasks that are ready or due later, and those with parked tasks of these `names`: one probe of an
 * index for each queue, up to 10,000 of them. A task that waits for a limit is found when it is admitted.
 */
export async function findQueues(sql: Tag, names: string[]): Promise<string[]> {
  const rows = await sql`
    WITH RECURSIVE filled AS (
      (SELECT queue FROM ${sql.schema}.ready ORDER BY queue LIMIT 1)
      UNION ALL
      SELECT (SELECT ready.queue FROM ${sql.schema}.ready WHERE ready.queue > filled.queue ORDER BY ready.queue LIMIT 1)
      FROM filled
      WHERE filled.queue IS NOT NULL
    ), later AS (
      (SELECT queue FROM ${sql.schema}.waiting WHERE reason = 'time' ORDER BY queue LIMIT 1)
      UNION ALL
      SELECT (
        SELECT waiting.queue
        FROM ${sql.schema}.waiting
        WHERE waiting.reason = 'time' AND waiting.queue > later.queue
        ORDER BY waiting.queue
        LIMIT 1
      )
      FROM later
      WHERE later.queue IS NOT NULL
    ), limited AS (
      (SELECT queue FROM ${sql.schema}.waiting WHERE admit_at IS NOT NULL ORDER BY queue LIMIT 1)
      UNION ALL
      SELECT (
        SELECT waiting.queue
        FROM ${sql.schema}.waiting
        WHERE waiting.admit_at IS NOT NULL AND waiting.queue > limited.queue
        ORDER BY waiting.queue
        LIMIT 1
      )
      FROM limited
      WHERE limited.queue IS NOT NULL
    )
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
