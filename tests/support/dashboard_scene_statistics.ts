import type { TestDatabase } from "./database.ts";

/** What a queue does in a minute of the scene: tasks completed, attempts failed, and tasks due at its end. */
interface Load {
  readonly queue: string;
  readonly completed: number;
  readonly failed: number;
  readonly due: number;
  readonly running: number;
  readonly places: number;
  /** How many of the last minutes, of 60, it was in trouble: fails and grows. */
  readonly troubled: number;
  /** The bucket of the median delay, from 1 ms on, four a decade. */
  readonly wait: number;
}

const LOADS: readonly Load[] = [
  { queue: "default", completed: 231, failed: 0, due: 212, running: 46, places: 60, troubled: 0, wait: 6 },
  { queue: "mail", completed: 160, failed: 26, due: 624, running: 40, places: 40, troubled: 50, wait: 9 },
  { queue: "media", completed: 4, failed: 0, due: 3, running: 32, places: 40, troubled: 0, wait: 5 },
  { queue: "reports", completed: 9, failed: 0, due: 418, running: 0, places: 40, troubled: 190, wait: 6 },
  { queue: "webhooks", completed: 90, failed: 1, due: 2310, running: 20, places: 20, troubled: 12, wait: 5 },
];

/** A name, what share of its queue's tasks it makes, and the bucket of its median run. */
const NAMES = [
  { queue: "default", name: "search.index", share: 0.7, run: 8 },
  { queue: "default", name: "pdf.render", share: 0.2, run: 12 },
  { queue: "default", name: "crm.sync", share: 0.1, run: 13 },
  { queue: "mail", name: "mail.send", share: 0.6, run: 6 },
  { queue: "mail", name: "mail.welcome", share: 0.3, run: 7 },
  { queue: "mail", name: "mail.digest", share: 0.1, run: 12 },
  { queue: "media", name: "media.transcode", share: 0.25, run: 21 },
  { queue: "media", name: "media.thumbnail", share: 0.75, run: 11 },
  { queue: "reports", name: "reports.export", share: 1, run: 19 },
  { queue: "webhooks", name: "webhooks.deliver", share: 1, run: 9 },
] as const;

/**
 * Inserts statistics: each minute of the last two hours, and each quarter of an hour of the week before. In a `calm`
 * scene one queue works, and nothing fails or waits.
 */
export async function insertSceneStatistics(db: TestDatabase, { calm = false } = {}): Promise<void> {
  const loads = calm
    ? LOADS.slice(0, 1).map((load) => ({ ...load, failed: 0, due: 0, running: 0, places: 20, wait: 5 }))
    : LOADS;
  await db.sql`TRUNCATE firefly.queue_minute, firefly.task_minute`;
  // A wave and a sawtooth, so that charts have a shape; `trouble` grows from 0 to 1 in the minutes that are troubled.
  const minutes = (rows: unknown) =>
    db.sql`
      jsonb_to_recordset(${db.sql.json(rows as never)}) AS load (
        queue text, completed integer, failed integer, due integer, running integer, places integer, troubled integer,
        wait integer, name text, share double precision, run integer
      )
      CROSS JOIN (
        SELECT ago, 1 AS length FROM generate_series(0, 119) AS ago
        UNION ALL
        SELECT 120 + 15 * ago, 15 FROM generate_series(0, 663) AS ago
      ) AS span
      CROSS JOIN LATERAL (
        SELECT date_trunc('minute', now()) - ago * interval '1 minute' AS minute,
          (0.92 + 0.06 * sin(ago / 3.0) + 0.02 * (ago % 5)) * length AS wave,
          CASE WHEN troubled > 0 THEN GREATEST(0, 1 - ago / troubled::double precision) ELSE 0 END AS trouble
      ) AS shape
    `;
  // Tasks wait, and run, for about the middle bucket: a bell of five.
  const bell = (count: string, middle: string) =>
    db.sql.unsafe(`(
      SELECT array_agg(round(
        CASE abs(bucket - ${middle} - 1)
          WHEN 0 THEN GREATEST(1, 0.4 * ${count}) WHEN 1 THEN 0.2 * ${count} WHEN 2 THEN 0.1 * ${count} ELSE 0
        END
      )::integer ORDER BY bucket)
      FROM generate_series(0, ${middle} + 3) AS bucket
    )`);
  await db.sql`
    INSERT INTO firefly.queue_minute (
      minute, queue, completed, failed, retried, snoozed, wait, due, waiting, running, places, oldest
    )
    SELECT minute, queue, completed * wave, failed * wave * (trouble > 0)::integer * 0.17,
      failed * wave * (trouble > 0)::integer * 0.83, 0, ${bell("completed * wave", "wait")},
      due * CASE WHEN troubled > 0 THEN trouble ELSE wave / length END, LEAST(40, due), running * LEAST(1, wave / length), CASE WHEN queue = 'webhooks' AND trouble > 0 THEN 0 ELSE places END,
      CASE WHEN due > 0 THEN 1 + 600 * trouble ELSE 0 END
    FROM ${minutes(loads)}
  `;
  const named = NAMES.flatMap(({ queue, ...name }) =>
    loads.filter((load) => load.queue === queue).map((load) => ({ ...load, ...name }))
  );
  await db.sql`
    INSERT INTO firefly.task_minute (minute, queue, func_name, completed, failed, retried, run)
    SELECT minute, queue, name, completed * wave * share,
      failed * wave * (trouble > 0)::integer * 0.17 * (name IN ('mail.send', 'webhooks.deliver'))::integer,
      failed * wave * (trouble > 0)::integer * 0.83 * (name IN ('mail.send', 'webhooks.deliver'))::integer,
      ${bell("completed * wave * share", "run")}
    FROM ${minutes(named)}
    WHERE minute > now() - interval '48 hours'
  `;
}
