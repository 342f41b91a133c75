import type { Tag } from "../../../src/database/driver.ts";

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
        CROSS JOIN LATERAL (
          SELECT encode(traceparent, 'hex') AS span FROM ${sql.schema}.task WHERE task.id = first.id OFFSET 0
        ) AS task
      )::text AS spans,`;
}
