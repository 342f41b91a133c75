import type { Tag } from "../database/driver.ts";

/** Which rows of a small table to look at: those that the predicate of one of its indexes allows. */
export interface QueueRows {
  readonly table: "ready" | "waiting";
  readonly where?: string;
}

/**
 * A part of WITH RECURSIVE, called `name`: the queues that have a row in a table, and NULL at the end. It steps from each
 * to the next by one probe of an index, where DISTINCT would read all rows.
 */
export function queueSteps(sql: Tag, name: string, { table, where = "true" }: QueueRows): unknown {
  const [step, rows, meets] = [sql.raw(name), sql.raw(table), sql.raw(where)];
  return sql.fragment`${step} AS (
      (SELECT queue FROM ${sql.schema}.${rows} WHERE ${meets} ORDER BY queue LIMIT 1)
      UNION ALL
      SELECT (
        SELECT ${rows}.queue
        FROM ${sql.schema}.${rows}
        WHERE ${meets} AND ${rows}.queue > ${step}.queue
        ORDER BY ${rows}.queue
        LIMIT 1
      )
      FROM ${step}
      WHERE ${step}.queue IS NOT NULL
    )`;
}
