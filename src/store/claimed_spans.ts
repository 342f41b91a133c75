import type { Tag } from "../database/driver.ts";

/**
 * A column for the reply of a claim: the spans that scheduled its first tasks, by their ids. Apart from the tasks, as a run
 * of a thousand tasks with a span each would be a thousand runs of one.
 */
export function spansOf(sql: Tag, most: number): unknown {
  return sql.fragment`
      (
        SELECT json_object_agg(first.id, task.span)
        FROM (
          SELECT own.id
          FROM alike, unnest(alike.ids) AS own (id)
          ORDER BY alike.ordinal, own.id
          LIMIT ${most}::bigint
        ) AS first
        -- OFFSET 0 has each looked up by its id, however many the planner expects.
        CROSS JOIN LATERAL (
          SELECT encode(traceparent, 'hex') AS span FROM ${sql.schema}.task WHERE task.id = first.id OFFSET 0
        ) AS task
      )::text AS spans,`;
}
