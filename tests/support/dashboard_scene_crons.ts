import { registerCrons } from "../../src/store/cron.ts";
import { parseCron } from "../../src/task/cron_expression.ts";
import { cronOf, inSeconds } from "./cron_store.ts";
import type { TestDatabase } from "./database.ts";

/** A cron of the scene, and for how many seconds it runs. */
interface SceneCron {
  readonly name: string;
  readonly queue: string;
  readonly expression: string;
  readonly timezone?: string;
  readonly seconds: number;
  /** Which of its last thirty runs failed, from 1 for the oldest. */
  readonly failed?: readonly number[];
}

const CRONS: readonly SceneCron[] = [
  {
    name: "reports.nightly",
    queue: "reports",
    expression: "0 3 * * *",
    timezone: "Europe/Warsaw",
    seconds: 48,
    failed: [12, 21],
  },
  { name: "search.reindex", queue: "default", expression: "*/15 * * * *", seconds: 9.1 },
  {
    name: "billing.renew",
    queue: "default",
    expression: "0 6 * * 1-5",
    timezone: "America/New_York",
    seconds: 252,
  },
  { name: "cache.warm", queue: "default", expression: "*/30 * * * * *", seconds: 1.4, failed: [3] },
  { name: "crm.import", queue: "default", expression: "5 * * * *", seconds: 31, failed: [20, 21] },
  { name: "old.cleanup", queue: "default", expression: "0 0 L * *", seconds: 2 },
];

const HOSTILE: SceneCron = {
  name: `<i>cron</i> "${"of-a-long-name.".repeat(5)}`,
  queue: "default",
  expression: "0 0 29 2 *",
  seconds: 2,
};

/** The names that live consumers know; the other one is of a cron that the code has no more. */
export const CRON_NAMES: readonly string[] = [...CRONS, HOSTILE].map(({ name }) => name).filter((name) =>
  name !== "old.cleanup"
);

/** Registers crons and inserts the last thirty runs of each; one is paused, and no consumer knows another. */
export async function insertSceneCrons(db: TestDatabase, { hostile = false } = {}): Promise<void> {
  const all = hostile ? [...CRONS, HOSTILE] : CRONS;
  const crons = all.map(({ name, queue, expression, timezone = "UTC" }) =>
    cronOf(name, { expression, timezone, task: { queue } })
  );
  await registerCrons(db.store, { consumerId: crypto.randomUUID(), names: all.map(({ name }) => name), crons });
  await db.sql`UPDATE firefly.cron SET since = now() - interval '40 days', defined = now() - interval '40 days'`;
  await insertRuns(db, all.flatMap(runsOf(await inSeconds(db, -3))));
  await db.sql`
    UPDATE firefly.cron SET paused = true, paused_since = now() - interval '4 hours' WHERE name = 'crm.import'
  `;
  await db.sql`DELETE FROM firefly.cron_slot WHERE cron = 'crm.import' AND slot > now() - interval '4 hours'`;
}

/** A run of a cron. */
interface Run {
  readonly name: string;
  readonly queue: string;
  readonly slot: Date;
  readonly seconds: number;
  readonly failed: boolean;
}

/** Returns a function that lists the runs of a cron up to a time, each a bit longer or shorter than the one before. */
function runsOf(until: Date): (cron: SceneCron) => Run[] {
  return ({ name, queue, expression, timezone = "UTC", seconds, failed = [] }) => {
    const month = new Date(until.getTime() - 30 * 86_400_000);
    return parseCron(expression, timezone, "make a scene").between(month, until, 30).map((slot, i) => ({
      ...{ name, queue, slot, failed: failed.includes(i + 1) },
      seconds: seconds * (0.8 + (i * 7 % 5) / 10),
    }));
  };
}

async function insertRuns(db: TestDatabase, runs: readonly Run[]): Promise<void> {
  await db.sql`
    WITH ran AS (
      INSERT INTO firefly.task (func_name, queue, status, created, not_before, started, completed, failed, returned, errors)
      SELECT name, queue, CASE WHEN run.failed THEN 'failed' ELSE 'completed' END, slot, slot, slot + interval '0.1 s',
        CASE WHEN NOT run.failed THEN slot + seconds * interval '1 s' END,
        CASE WHEN run.failed THEN slot + seconds * interval '1 s' END,
        CASE WHEN NOT run.failed THEN 'bnVsbA==' END,
        CASE WHEN run.failed THEN jsonb_build_array(jsonb_build_object(
          'name', 'ExportError', 'message', 'the warehouse is locked', 'attempt', 1, 'at', slot, 'seconds', seconds
        )) END
      FROM jsonb_to_recordset(${db.sql.json(runs as never)}) AS run (
        name text, queue text, slot timestamptz, seconds double precision, failed boolean
      )
      ORDER BY slot
      RETURNING id, func_name, created
    )
    INSERT INTO firefly.cron_slot (cron, slot, fired, task_id)
    SELECT func_name, created, created, id FROM ran
  `;
}
