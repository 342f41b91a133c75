import { removeExpiredConsumers } from "../../../src/store/consumers.ts";
import { rescueTasks } from "../../../src/store/rescue.ts";
import { type TestDatabase, testDatabase } from "../../support/database.ts";
import { until } from "../../support/waiting.ts";
import { killAt, type Moment } from "./killer.ts";
import { inspect } from "./inspect.ts";
import { type Spare, Spares } from "./spares.ts";
import { isQuiet, keepSupplied } from "./supply.ts";
import type { Expected } from "./workflow_tasks.ts";

/** What is done in one database. */
export interface Lane {
  /** The workflows, by the name of their task. */
  readonly workflows: Readonly<Record<string, Expected>>;
  /** The moments at which consumers are killed, one after another. */
  readonly moments: readonly Moment[];
  /** How many workflows have not ended at any time: they run in one consumer. */
  readonly width: number;
  /** Where the consumers' source is. @default this repository */
  readonly root?: string | undefined;
}

/** What came of it. */
export interface Killed {
  /** The statements at which consumers were killed, each with the moment. */
  readonly at: readonly string[];
  readonly workflows: number;
  /** How often a workflow was going on when its consumer was killed. */
  readonly interrupted: number;
  /** What is not as it should be, in words. */
  readonly wrong: readonly string[];
}

/** Kills one consumer after another in the middle of workflows, and looks at what these leave behind. */
export async function killInLane({ workflows, moments, width, root }: Lane): Promise<Killed> {
  await using db = await testDatabase();
  await db.sql`CREATE TABLE step_ledger (task_id bigint, name text)`;
  const names = Object.keys(workflows);
  await using spares = new Spares(db.url, 2, { concurrency: 2 * width, root });
  const supply = new AbortController();
  const supplied = keepSupplied(db, { names, width, signal: supply.signal });
  const at: string[] = [];
  try {
    for (const moment of moments) {
      await using consumer = await spares.take();
      at.push(`${moment.when} ${await killAt(consumer, moment)}`);
      await bury(db, consumer);
    }
  } finally {
    supply.abort();
    await supplied;
  }
  await using last = await spares.take();
  last.open();
  await until(async () => await isQuiet(db), 300_000).catch(() => {}); // what is left is wrong, and is said so
  return { at, ...await inspect(db, workflows) };
}

/**
 * Ends the connections of a consumer that was killed, as the system does for a process that is gone, and does what other
 * consumers do once its lease has expired. A task that three consumers in a row died with would soon be taken for the
 * cause, which is not what is looked at here.
 */
async function bury(db: TestDatabase, { process: { pid }, proxy }: Spare): Promise<void> {
  proxy.cut();
  await db.sql`UPDATE firefly.task SET crash_count = 0 WHERE status = 'created' AND crash_count >= 2`;
  await db.sql`UPDATE firefly.consumer SET lease_until = now() - interval '1 hour' WHERE pid = ${pid}`;
  await removeExpiredConsumers(db.store);
  // A transaction that it has begun may hold a record until the server has noticed.
  await until(async () => {
    await rescueTasks(db.store);
    return (await db.sql`SELECT FROM firefly.claim_batch`).count === 0;
  });
}
