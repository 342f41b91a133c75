import type { Tag } from "../database/driver.ts";
import type { TaskRow } from "./rows.ts";

/** What the page of a task shows beside its record. */
export interface TaskSurroundings {
  unique_key: string | null;
  concurrency_key: string | null;
  rate_key: string | null;
  /** The task that has its unique key. */
  key_holder: string | null;
  paused: boolean;
  served: boolean;
  /** Until when its record is kept, if it has ended; an infinite date if for ever. */
  kept_until: Date | null;
  /** When the consumer that runs it was seen last, and until when its lease is. */
  seen: Date | null;
  lease_until: Date | null;
  /** What consumers have stored of its definition. */
  concurrency_limit: number | null;
  rate_limit: number | null;
  rate_per: number | null;
}

/** Reads the record of a task, with what the page of a task shows beside it. */
export async function readTaskPage(sql: Tag, id: number): Promise<(TaskRow & TaskSurroundings) | undefined> {
  const [row] = await sql<TaskRow & TaskSurroundings>`
    SELECT task.*, unique_key.task_id::text AS key_holder, COALESCE(queue.paused, false) AS paused,
      EXISTS (
        SELECT FROM ${sql.schema}.consumer WHERE lease_until > now() AND task.queue = ANY (consumer.queues)
      ) AS served,
      COALESCE(task.completed, task.failed, task.cancelled) + make_interval(secs => LEAST(
        CASE WHEN task.status = 'completed'
          THEN COALESCE(definition.retain_completed, queue.retain_completed, retention.retain_completed)
          ELSE COALESCE(definition.retain_failed, queue.retain_failed, retention.retain_failed)
        END,
        31557600000
      )) AS kept_until,
      holder.seen, holder.lease_until, definition.concurrency_limit, definition.rate_limit, definition.rate_per
    FROM ${sql.schema}.task_record AS task
    CROSS JOIN ${sql.schema}.retention
    LEFT JOIN ${sql.schema}.queue ON queue.name = task.queue
    LEFT JOIN ${sql.schema}.definition ON definition.func_name = task.func_name
    LEFT JOIN ${sql.schema}.unique_key ON unique_key.func_name = task.func_name AND unique_key.key = task.unique_key
    LEFT JOIN LATERAL (
      SELECT consumer.seen, consumer.lease_until
      FROM ${sql.schema}._claimed_run AS run
      JOIN ${sql.schema}.consumer ON consumer.id = run.consumer_id
      WHERE task.id >= run.id AND task.id < run.id + run.length
      ORDER BY run.claimed DESC
      LIMIT 1
    ) AS holder ON task.status = 'running'
    WHERE task.id = ${id}::bigint
  `;
  return row;
}

/** Adds up how long attempts of a name ran in the last hour: a histogram with four buckets for each factor of ten, from 1 ms. */
export async function readRunTimes(sql: Tag, name: string): Promise<number[]> {
  const rows = await sql`
    SELECT bucket, sum(attempts) AS attempts
    FROM ${sql.schema}.task_minute, unnest(run) WITH ORDINALITY AS run (attempts, bucket)
    WHERE minute > now() - interval '1 hour' AND func_name = ${name}::text
    GROUP BY bucket
    ORDER BY bucket
  `;
  const histogram: number[] = [];
  for (const { bucket, attempts } of rows) histogram[Number(bucket) - 1] = Number(attempts);
  return Array.from(histogram, (attempts) => attempts ?? 0);
}
