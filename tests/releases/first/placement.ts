import type { Tag } from "../../../src/database/driver.ts";

export interface Placement {
  readonly from: unknown;
  readonly isDue?: unknown;
}

export function placeInReady(sql: Tag, { from, isDue = sql.raw("true") }: Placement): unknown {
  return sql
    .fragment`INSERT INTO ${sql.schema}.ready (id, claim_seq, not_before, priority, quarantined, queue, func_name)
      SELECT id, claim_seq, not_before, priority, quarantined, queue, func_name
      FROM ${from}
      WHERE ${isDue} AND concurrency_key IS NULL AND rate_key IS NULL`;
}

export function placeInWaiting(
  sql: Tag,
  { from, isDue = sql.raw("true"), admits }: Placement & { readonly admits: boolean },
): unknown {
  const admitAt = admits
    ? sql.fragment`CASE WHEN ${isDue} THEN statement_timestamp() END`
    : sql.raw("NULL::timestamptz");
  return sql.fragment`INSERT INTO ${sql.schema}.waiting (
        id, claim_seq, not_before, priority, quarantined, queue, func_name, concurrency_key, rate_key, reason, admit_at
      )
      SELECT id, claim_seq, not_before, priority, quarantined, queue, func_name, concurrency_key, rate_key,
        CASE WHEN NOT (${isDue}) THEN 'time' WHEN concurrency_key IS NULL THEN 'rate' ELSE 'concurrency' END, ${admitAt}
      FROM ${from}
      WHERE NOT (${isDue}) OR concurrency_key IS NOT NULL OR rate_key IS NOT NULL`;
}

export function isUnplaced(sql: Tag): unknown {
  return sql.fragment`seen.status = 'created'
        AND NOT COALESCE((
          SELECT ready.id + ready.length > seen.id
          FROM ${sql.schema}.ready
          WHERE ready.queue = seen.queue AND ready.priority = seen.priority AND ready.not_before = seen.not_before
            AND ready.id <= seen.id AND ready.claim_seq = seen.claim_seq
          ORDER BY ready.id DESC
          LIMIT 1
        ), false)
        AND (
          SELECT true FROM ${sql.schema}.waiting WHERE waiting.id = seen.id AND waiting.claim_seq = seen.claim_seq LIMIT 1
        ) IS NULL
        AND NOT EXISTS (
          SELECT FROM ${sql.schema}._claimed_task AS claim
          WHERE claim.id = seen.id AND claim.claim_seq = seen.claim_seq
        )`;
}
