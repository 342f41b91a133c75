import type { Tag } from "../database/driver.ts";

/** The task that delivers alerts, and its queue. */
export const ALERT_TASK = "firefly.alert";
/** The queue of that task, which no other task uses. */
export const ALERT_QUEUE = "firefly.alerts";

/**
 * Whether a consumer only delivers alerts: it is part of a process that has another one, and counts for no capacity. In
 * SQL it is one whose `queues` are those of {@linkcode ALERT_QUEUE} alone.
 */
export function deliversAlerts({ queues }: { readonly queues: readonly string[] }): boolean {
  return queues.length === 1 && queues[0] === ALERT_QUEUE;
}

/**
 * Takes the turn to look for causes, for all consumers: false if one looked less than `interval` seconds ago. Deletes what
 * was seen last a week ago.
 */
export async function takeAlertTurn(sql: Tag, interval: number): Promise<boolean> {
  const rows = await sql`
    WITH turn AS (
      INSERT INTO ${sql.schema}.alert AS known (cause, kind, seen, reported, fired)
      VALUES ('', 'look', now(), now(), now())
      ON CONFLICT (cause) DO UPDATE
      SET reported = known.fired, fired = now()
      WHERE known.fired <= now() - make_interval(secs => ${interval})
      RETURNING cause
    ), forgotten AS (
      DELETE FROM ${sql.schema}.alert
      WHERE cause <> '' AND GREATEST(seen, fired) < now() - interval '7 days' AND EXISTS (SELECT FROM turn)
    )
    SELECT cause FROM turn
  `;
  return rows.length > 0;
}

/** Which failures are reported; null stands for all. */
export interface FailedAlerts {
  readonly queues: string[] | null;
  readonly names: string[] | null;
  /** Seconds from one alert of an error to the next. */
  readonly every: number;
}

/**
 * Schedules an alert for each error that tasks failed with since the last one, up to 20: one for all tasks that failed
 * with the same error. Failures are looked for as far back as the look before, or the last alert of their error: those
 * after it wait for `every` to pass, and never more than a day. A transaction that commits late may add one whose time is a bit earlier.
 */
export async function fireFailedAlerts(sql: Tag, { queues, names, every }: FailedAlerts): Promise<number> {
  const rows = await sql`
    WITH look AS MATERIALIZED (
      SELECT GREATEST(
        seen, LEAST(reported, now() - make_interval(secs => ${every})) - interval '1 minute', now() - interval '1 day'
      ) AS since
      FROM ${sql.schema}.alert
      WHERE cause = ''
    ), failure AS MATERIALIZED (
      SELECT failed_task.fingerprint, failed_task.task_id, failed_task.failed, failed_task.func_name, failed_task.queue
      FROM look
      JOIN ${sql.schema}.failed_task ON failed_task.failed > look.since
      LEFT JOIN ${sql.schema}.alert ON alert.cause = 'failed:' || failed_task.fingerprint
      WHERE failed_task.failed > COALESCE(alert.reported, '-infinity')
        AND (alert.fired IS NULL OR alert.fired <= now() - make_interval(secs => ${every}))
        AND failed_task.func_name <> ${ALERT_TASK}
        AND (${queues === null} OR failed_task.queue = ANY (${queues ?? []}::text[]))
        AND (${names === null} OR failed_task.func_name = ANY (${names ?? []}::text[]))
    ), grouped AS MATERIALIZED (
      SELECT fingerprint, count(*) AS tasks, min(failed) AS first, max(failed) AS last,
        (array_agg(task_id ORDER BY task_id DESC))[1:10] AS ids,
        min(func_name) AS func_name, (array_agg(queue ORDER BY task_id DESC))[1] AS queue
      FROM failure
      GROUP BY fingerprint
      ORDER BY fingerprint
      LIMIT 20
    ), fired AS (
      INSERT INTO ${sql.schema}.alert AS known (cause, kind, seen, reported, fired)
      SELECT 'failed:' || fingerprint, 'failed', last, last, now() FROM grouped
      ON CONFLICT (cause) DO UPDATE
      SET seen = excluded.seen, reported = excluded.reported, fired = excluded.fired
      WHERE known.fired <= now() - make_interval(secs => ${every}) AND known.reported < excluded.reported
      RETURNING cause
    )
    SELECT ${scheduleAlert(sql, "task.failed")}
    FROM grouped
    JOIN fired ON fired.cause = 'failed:' || grouped.fingerprint
    LEFT JOIN ${sql.schema}.task ON task.id = grouped.ids[1]
    CROSS JOIN LATERAL (
      SELECT jsonb_build_object(
        'name', grouped.func_name, 'queue', grouped.queue, 'tasks', grouped.tasks, 'ids', to_jsonb(grouped.ids),
        'first', grouped.first, 'last', grouped.last,
        'error', jsonb_build_object(
          'name', task.errors -> -1 ->> 'name', 'message', left(task.errors -> -1 ->> 'message', 1000)
        )
      ) AS detail
    ) AS report
  `;
  return rows.length;
}

/** A queue with a backlog, and what an alert reports it. */
export interface BacklogAlert {
  readonly cause: string;
  readonly detail: object;
}

/** The causes that hold, and those that do not. */
export interface BacklogAlerts {
  readonly firing: readonly BacklogAlert[];
  readonly over: readonly BacklogAlert[];
  /** Seconds from one alert of a cause to the next. */
  readonly every: number;
}

/** Schedules an alert for each backlog, again after `every`, and one for each that is over and was reported. */
export async function fireBacklogAlerts(sql: Tag, { firing, over, every }: BacklogAlerts): Promise<number> {
  const fired = await sql`
    WITH given AS MATERIALIZED (
      SELECT cause, detail::jsonb AS detail
      FROM unnest(
        ${firing.map(({ cause }) => cause)}::text[], ${firing.map(({ detail }) => JSON.stringify(detail))}::text[]
      ) AS given (cause, detail)
      ORDER BY cause COLLATE "C"
    ), fired AS (
      INSERT INTO ${sql.schema}.alert AS known (cause, kind, seen, reported, fired)
      SELECT cause, 'backlog', now(), now(), now() FROM given
      ON CONFLICT (cause) DO UPDATE
      SET seen = now(), reported = now(), fired = now()
      WHERE known.fired <= now() - make_interval(secs => ${every})
      RETURNING cause
    )
    SELECT ${scheduleAlert(sql, "queue.backlog")}
    FROM given AS report
    JOIN fired USING (cause)
  `;
  const ended = await sql`
    WITH given AS MATERIALIZED (
      SELECT cause, detail::jsonb AS detail
      FROM unnest(
        ${over.map(({ cause }) => cause)}::text[], ${over.map(({ detail }) => JSON.stringify(detail))}::text[]
      ) AS given (cause, detail)
      ORDER BY cause COLLATE "C"
    ), ended AS (
      UPDATE ${sql.schema}.alert
      SET seen = now(), reported = NULL
      FROM given
      WHERE alert.cause = given.cause AND alert.reported IS NOT NULL
      RETURNING alert.cause
    )
    SELECT ${scheduleAlert(sql, "queue.backlog_over")}
    FROM given AS report
    JOIN ended USING (cause)
  `;
  return fired.length + ended.length;
}

/**
 * The CTEs that note lost consumers for an alert, of those in `removed`, and forget those of a week ago. The consumer that
 * delivers alerts is part of a process that has another one.
 */
export function noteLostConsumers(sql: Tag): unknown {
  return sql.fragment`noted AS (
      INSERT INTO ${sql.schema}.alert (cause, kind, detail)
      SELECT 'lost:' || id, 'lost', jsonb_build_object(
        'host', host, 'pid', pid, 'release', release, 'queues', queues, 'seen', seen
      )
      FROM removed
      WHERE queues <> ${[ALERT_QUEUE]}::text[]
      ON CONFLICT (cause) DO NOTHING
    ), forgotten AS (
      DELETE FROM ${sql.schema}.alert
      WHERE kind = 'lost' AND seen < now() - interval '7 days' AND EXISTS (SELECT FROM removed)
    )`;
}

/** Schedules one alert for all consumers that were lost since the last one. */
export async function fireLostAlert(sql: Tag): Promise<number> {
  const rows = await sql`
    WITH lost AS MATERIALIZED (
      SELECT alert.cause
      FROM ${sql.schema}.alert
      JOIN ${sql.schema}.alert AS look ON look.cause = ''
      WHERE alert.kind = 'lost' AND alert.fired IS NULL AND alert.seen >= GREATEST(look.seen, now() - interval '1 day')
      ORDER BY alert.cause COLLATE "C"
      LIMIT 100
      FOR UPDATE OF alert SKIP LOCKED
    ), fired AS (
      UPDATE ${sql.schema}.alert
      SET reported = alert.seen, fired = now()
      FROM lost
      WHERE alert.cause = lost.cause
      RETURNING alert.detail
    )
    SELECT ${scheduleAlert(sql, "consumer.lost")}
    FROM (SELECT jsonb_build_object('consumers', jsonb_agg(detail)) AS detail FROM fired HAVING count(*) > 0) AS report
  `;
  return rows.length;
}

/** Schedules the task that delivers an alert: its detail is that of `report`. */
function scheduleAlert(sql: Tag, type: string): unknown {
  return sql.fragment`${sql.schema}.schedule(
      ${ALERT_TASK},
      jsonb_build_array(jsonb_build_object('type', ${type}::text, 'timestamp', now(), 'data', report.detail)),
      queue => ${ALERT_QUEUE}
    ) AS id`;
}
