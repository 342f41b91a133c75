import type { Tag } from "../database/driver.ts";
import { toNumber } from "./rows.ts";

/** Sorting the tasks of a queue by name or key stops after so many, of each kind. */
const MOST_NAMED = 20_000;

/** The settings of a queue. */
export interface QueueSettingsRow {
  name: string;
  paused: boolean;
  /** Since when, by whom and why it is paused; null if it is not, or if that is not known. */
  pausedSince: Date | null;
  pausedBy: string | null;
  pausedReason: string | null;
  /** How many seconds records are kept; null where the queue does not decide. */
  retainCompleted: number | null;
  retainFailed: number | null;
  notify: string | null;
}

/** Reads the settings of all queues that have a row, or of the one called `name`; up to 500. */
export async function readQueueSettings(sql: Tag, name: string | null = null): Promise<QueueSettingsRow[]> {
  const rows = await sql<QueueSettingsRow>`
    SELECT name, paused,
      CASE WHEN paused AND isfinite(paused_since) THEN paused_since END AS "pausedSince",
      CASE WHEN paused THEN paused_by END AS "pausedBy", CASE WHEN paused THEN paused_reason END AS "pausedReason",
      retain_completed AS "retainCompleted", retain_failed AS "retainFailed", notify
    FROM ${sql.schema}.queue
    WHERE ${name}::text IS NULL OR name = ${name}
    ORDER BY name COLLATE "C"
    LIMIT 500
  `;
  return [...rows];
}

/** Reads how many seconds records are kept where their queue does not decide. */
export async function readRetention(sql: Tag): Promise<{ completed: number; failed: number }> {
  const [row] = await sql<{ completed: number; failed: number }>`
    SELECT retain_completed AS completed, retain_failed AS failed
    FROM ${sql.schema}.retention
  `;
  return row!;
}

/** The due and the waiting tasks of a name in a queue. */
export interface PlacedTasks {
  funcName: string;
  due: number;
  waiting: number;
}

/** Counts the due and the waiting tasks of a queue by name: up to 20,000 runs of each, and the 100 names that have most. */
export async function readPlacedTasks(sql: Tag, queue: string): Promise<PlacedTasks[]> {
  const rows = await sql`
    SELECT func_name AS "funcName", COALESCE(sum(length) FILTER (WHERE due), 0) AS due,
      COALESCE(sum(length) FILTER (WHERE NOT due), 0) AS waiting
    FROM (
      (
        SELECT func_name, length, true AS due
        FROM ${sql.schema}.ready
        WHERE queue = ${queue}
        ORDER BY priority DESC, not_before, id
        LIMIT ${MOST_NAMED}::bigint
      )
      UNION ALL
      (
        SELECT func_name, 1, not_before <= now()
        FROM ${sql.schema}.waiting
        WHERE queue = ${queue} AND reason = 'time'
        ORDER BY not_before
        LIMIT ${MOST_NAMED}::bigint
      )
      UNION ALL
      (
        SELECT func_name, 1, false FROM ${sql.schema}.waiting
        WHERE queue = ${queue} AND reason = 'concurrency'
        LIMIT ${MOST_NAMED}::bigint
      )
      UNION ALL
      (
        SELECT func_name, 1, false FROM ${sql.schema}.waiting
        WHERE queue = ${queue} AND reason = 'rate'
        LIMIT ${MOST_NAMED}::bigint
      )
      UNION ALL
      (
        SELECT func_name, 1, false FROM ${sql.schema}.waiting
        WHERE queue = ${queue} AND reason = 'unknown'
        LIMIT ${MOST_NAMED}::bigint
      )
      UNION ALL
      (
        -- Without an index of their own.
        SELECT func_name, 1, false
        FROM (SELECT func_name, queue, reason FROM ${sql.schema}.waiting LIMIT 30000) AS place
        WHERE queue = ${queue} AND reason IN ('dependencies', 'suspended')
        LIMIT ${MOST_NAMED}::bigint
      )
    ) AS place
    GROUP BY func_name
    ORDER BY sum(length) DESC, func_name COLLATE "C"
    LIMIT 100
  `;
  return rows.map(({ funcName, due, waiting }) => ({ funcName, due: toNumber(due), waiting: toNumber(waiting) }));
}

/** The tasks that wait for a limit. Two conditions rather than one with IN, so that each finds its partial index. */
function limited(sql: Tag): unknown {
  return sql.fragment`(
        SELECT reason AS kind, concurrency_key AS key, func_name, queue
        FROM ${sql.schema}.waiting
        WHERE reason = 'concurrency'
        UNION ALL
        SELECT reason, rate_key, func_name, queue FROM ${sql.schema}.waiting WHERE reason = 'rate'
      )`;
}

/** When the tasks that wait for their time get it. */
export interface WaitingTimes {
  first: Date | null;
  last: Date | null;
}

/** Reads the first and the last time for which a task of these queues waits, by an index. */
export async function readWaitingTimes(sql: Tag, queues: readonly string[]): Promise<WaitingTimes> {
  const [row] = await sql<WaitingTimes>`
    SELECT min(edge.first) AS first, max(edge.last) AS last
    FROM unnest(${[...queues]}::text[]) AS queue (name)
    CROSS JOIN LATERAL (
      SELECT
        (
          SELECT not_before FROM ${sql.schema}.waiting
          WHERE queue = queue.name AND reason = 'time' AND not_before > now() AND not_before < 'infinity'
          ORDER BY not_before LIMIT 1
        ) AS first,
        (
          SELECT not_before FROM ${sql.schema}.waiting
          WHERE queue = queue.name AND reason = 'time' AND not_before > now() AND not_before < 'infinity'
          ORDER BY not_before DESC LIMIT 1
        ) AS last
    ) AS edge
  `;
  return row!;
}

/** A key of a limit that tasks wait for. */
export interface LimitUse {
  kind: "concurrency" | "rate";
  key: string;
  /** How many tasks wait for it. */
  waiting: number;
  /** How many slots of it are taken. */
  taken: number;
  /** How many slots there are, as its task is defined; null if no consumer stores that. */
  slots: number | null;
  /** Of a rate, the seconds within which that many tasks start. */
  per: number | null;
  /** When the slot of a rate that ends first ends; null if it has none that ends. */
  next: Date | null;
}

/** Reads the 20 keys of limits that most tasks wait for, of all queues or of one, from up to 20,000 tasks. */
export async function readLimitUse(sql: Tag, queue: string | null = null): Promise<LimitUse[]> {
  const rows = await sql<LimitUse>`
    WITH limited AS MATERIALIZED (
      SELECT kind, key, func_name
      FROM ${limited(sql)} AS place
      WHERE ${queue}::text IS NULL OR queue = ${queue}
      LIMIT ${MOST_NAMED}::bigint
    ), longest AS MATERIALIZED (
      SELECT kind, key, min(func_name) AS func_name, count(*)::integer AS waiting
      FROM limited
      GROUP BY kind, key
      ORDER BY waiting DESC, key COLLATE "C"
      LIMIT 20
    )
    SELECT longest.kind, longest.key, longest.waiting, slot.taken, slot.next,
      CASE longest.kind WHEN 'rate' THEN definition.rate_limit ELSE definition.concurrency_limit END AS slots,
      CASE longest.kind WHEN 'rate' THEN definition.rate_per END AS per
    FROM longest
    LEFT JOIN ${sql.schema}.definition ON definition.func_name = longest.func_name
    CROSS JOIN LATERAL (
      SELECT count(*)::integer AS taken, min(until) FILTER (WHERE isfinite(until)) AS next
      FROM ${sql.schema}.slot
      WHERE slot.key = longest.key AND slot.kind = longest.kind AND (until IS NULL OR until > now())
    ) AS slot
    ORDER BY longest.waiting DESC, longest.key COLLATE "C"
  `;
  return [...rows];
}
