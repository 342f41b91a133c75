import type { Tag } from "../database/driver.ts";

/** The most dependencies of a task whose spans are read. */
const MOST_DEPENDENCIES = 20;

/**
 * A column for the reply of a claim: the spans that scheduled its first tasks, by their ids, for a dependant those of its
 * first dependencies behind it. Apart from the tasks, as a run of a thousand tasks with a span each would be a thousand
 * runs of one.
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
          SELECT CASE
            WHEN task.dependencies IS NULL THEN to_json(encode(task.traceparent, 'hex'))
            ELSE to_json(array_prepend(encode(task.traceparent, 'hex'), ARRAY(
              SELECT encode(other.traceparent, 'hex')
              FROM ${sql.schema}.dependency
              JOIN ${sql.schema}.task AS other ON other.id = dependency.dependency_id
              WHERE dependency.task_id = first.id AND other.traceparent IS NOT NULL
              ORDER BY dependency.ordinal
              LIMIT ${MOST_DEPENDENCIES}
            )))
          END AS span
          FROM ${sql.schema}.task
          WHERE task.id = first.id
          OFFSET 0
        ) AS task
      )::text AS spans,`;
}
