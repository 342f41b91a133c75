import type { Tag } from "../database/driver.ts";

/** What consumers know of a task's name. */
export interface KnownTask {
  /** The queue of its definition. */
  queue: string;
  /** Whether its definition limits how many run at a time, or in a period. */
  limited: boolean;
  /** How many live consumers define it, and the queues that they serve. */
  consumers: number;
  queues: string[];
}

/** Reads what definitions, crons and consumers know of a name; undefined if none of them knows it. */
export async function readKnownTask(sql: Tag, name: string): Promise<KnownTask | undefined> {
  const [row] = await sql<KnownTask & { known: boolean }>`
    SELECT COALESCE(definition.queue, 'default') AS queue,
      definition.concurrency_limit IS NOT NULL OR definition.rate_limit IS NOT NULL AS limited,
      live.consumers, live.queues,
      definition.func_name IS NOT NULL OR live.consumers > 0
        OR EXISTS (SELECT FROM ${sql.schema}.cron WHERE cron.name = ${name}::text) AS known
    FROM (
      SELECT count(DISTINCT consumer.id)::integer AS consumers,
        COALESCE(array_agg(DISTINCT queue ORDER BY queue) FILTER (WHERE queue IS NOT NULL), '{}') AS queues
      FROM ${sql.schema}.consumer
      LEFT JOIN LATERAL unnest(consumer.queues) AS queue ON true
      WHERE consumer.lease_until > now() AND ${name}::text = ANY (consumer.tasks)
    ) AS live
    LEFT JOIN ${sql.schema}.definition ON definition.func_name = ${name}::text
  `;
  return row!.known ? row : undefined;
}
