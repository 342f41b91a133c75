import { setTimeout as sleep } from "node:timers/promises";
import type { CliProcess } from "../support/process.ts";
import { insertTask, recordOf } from "../support/records.ts";
import { until } from "../support/waiting.ts";
import type { TestDatabase } from "../support/database.ts";
import type { Fault, Figures } from "./fault.ts";
import { entriesOf, Fleet, LEASE } from "./fleet.ts";
import { ledgerDatabase } from "./ledger.ts";
import { NO_FENCE, NO_FENCE_OF_EFFECTS, NO_TIMEOUT } from "./protections.ts";
import { without } from "../support/without.ts";

/** How long a successor that waits for the zombie is watched, in milliseconds. */
const TIMEOUT = LEASE + 3_000;

/** Fault 2: a consumer is stopped past its lease with a transaction open, and goes on as if nothing had been. */
export const zombie: Fault = {
  number: 2,
  title: "a consumer stopped past its lease with an open transaction, with and without a user's unique key",
  async run(figures) {
    const both = await Promise.all([null, "alice"].map((account) => freeze({ account })));
    for (const [i, { rejected, effects, bySuccessor, took }] of both.entries()) {
      const how = i === 0 ? "no key" : "unique key";
      figures.is(`${how}: the zombie is rejected`, rejected, true);
      figures.is(`${how}: effects`, effects, 1);
      figures.is(`${how}: they are the successor's`, bySuccessor, true);
      figures.within(`${how}: from the stop to the successor's end`, took, LEASE + 1_500);
    }
  },
  async control(figures: Figures) {
    await using fenced = await without(NO_TIMEOUT);
    await using unfenced = await without(NO_TIMEOUT, NO_FENCE, NO_FENCE_OF_EFFECTS);
    const [fence, neither, blocked] = await Promise.all([
      freeze({ account: null, root: fenced.root }),
      freeze({ account: null, root: unfenced.root }),
      freeze({ account: "alice", root: fenced.root }),
    ]);
    figures.is("effects, with the fence alone", fence.effects, 1);
    figures.is("effects, unfenced", neither.effects, 2);
    figures.is("unique key, no timeout: the successor ends before the zombie", blocked.endedBefore, false);
  },
};

/** What came of a task whose first attempt stopped its process. */
interface Aftermath {
  /** Whether the zombie was told that its attempt was lost. */
  rejected: boolean;
  effects: number;
  bySuccessor: boolean;
  /** Whether the successor was done while the zombie was stopped. */
  endedBefore: boolean;
  /** Milliseconds from the stop to the successor's end. */
  took: number;
}

async function freeze({ account, root }: { account: string | null; root?: string }): Promise<Aftermath> {
  await using db = await ledgerDatabase();
  await db.sql`CREATE TABLE account (name text PRIMARY KEY)`;
  await using fleet = await Fleet.start(db, { size: 2, root });
  const id = await insertTask(db, { func_name: "process.freeze", params: btoa(JSON.stringify([1, account])) });
  const { pid, at } = await untilFrozen(db);
  const frozen = fleet.members.find((member) => member.pid === pid)!;
  const isDone = async () => (await recordOf(db, id)).status === "completed";
  await until(isDone, TIMEOUT).catch(() => {});
  const endedBefore = await isDone();
  // Awake only well after its lease, as the rescue has to have come first.
  while (Date.now() < at + LEASE + 500) await sleep(50);

  frozen.kill("SIGCONT");
  await until(() => hasEnded(frozen), 20_000);
  await until(isDone, 20_000);
  const [{ completed }] = await db.sql`SELECT completed FROM firefly.task` as unknown as [{ completed: Date }];
  const rows = await db.sql`SELECT pid FROM ledger`;
  return {
    rejected: entriesOf(frozen, "lost").length === 1,
    effects: rows.count,
    bySuccessor: rows.every((row) => row.pid !== pid),
    endedBefore,
    took: completed.getTime() - at,
  };
}

/** Waits until the first attempt has nothing left to do but to end; tells when that was, by the database's clock. */
async function untilFrozen({ sql }: TestDatabase): Promise<{ pid: number; at: number }> {
  let at: Date | undefined;
  await until(async () => {
    const [row] = await sql`
      SELECT state_change FROM pg_stat_activity
      WHERE datname = current_database() AND state = 'idle in transaction' AND query LIKE '%INTO ledger%'
    `;
    return (at = row?.state_change) !== undefined;
  });
  const [row] = await sql`SELECT pid FROM claim ORDER BY at LIMIT 1`;
  return { pid: row!.pid, at: at!.getTime() };
}

/** Whether the zombie's attempt has come to some end. */
function hasEnded(member: CliProcess): boolean {
  return entriesOf(member, "lost", "completed", "retried").length > 0;
}
