import { setTimeout as sleep } from "node:timers/promises";
import { until } from "../support/waiting.ts";
import { without } from "../support/without.ts";
import { startConsumerOf } from "./consumers.ts";
import type { Fault, Scale } from "./fault.ts";
import { inspect } from "./killed/inspect.ts";
import { isQuiet, keepSupplied } from "./killed/supply.ts";
import { EXPECTED } from "./killed/workflow_tasks.ts";
import { type Ledger, ledgerOn } from "./ledger.ts";
import { NO_MEMO } from "./protections.ts";
import { startServer } from "./servers.ts";

/** How often the server crashes. */
const CRASHES: Record<Scale, number> = { full: 40, short: 3 };
/** How long a busy machine may take until steps are stored again, or all is done, in milliseconds. */
const TIMEOUT = 300_000;
/** How many workflows there are that have not ended. */
const WIDTH = 8;

/**
 * What does not wait for the disk, as claims and the release of dependants, is written with the next commit that does, or
 * after seconds: so a crash undoes some of it each time.
 */
const SETTINGS = { wal_writer_delay: "10s", wal_writer_flush_after: "1GB" };

/** Fault 24: the server crashes while workflows run, wait, and are told of the ends of others. */
export const crashedWorkflows: Fault = {
  number: 24,
  title: "pg_ctl stop -m immediate at random, while tasks with steps run, wait and call",
  async run(figures, scale) {
    const { crashes, workflows, wrong } = await crash(CRASHES[scale]);
    figures.is("crashes of the server", crashes, CRASHES[scale]);
    figures.atLeast("tasks of ten steps", workflows, 1);
    figures.is("tasks whose effects or steps are lost, doubled or out of order, and rows left over", wrong.length, 0);
    if (wrong.length > 0) console.error(wrong.join("\n"));
  },
  async control(figures) {
    await using copy = await without(NO_MEMO);
    const { wrong } = await crash(CRASHES.short, copy.root);
    figures.atLeast("tasks with effects twice, as steps are stored apart from their effects", wrong.length, 1);
  },
};

async function crash(
  times: number,
  root?: string,
): Promise<{ crashes: number; workflows: number; wrong: readonly string[] }> {
  await using server = await startServer(SETTINGS);
  await using ledger = await ledgerOn(server.url);
  await ledger.sql`CREATE TABLE step_ledger (task_id bigint, name text)`;
  await using _consumer = startConsumerOf(ledger, {
    tasks: "killed/workflow_tasks.ts",
    lease: "10s",
    args: ["--concurrency", String(2 * WIDTH), "--no-watchdog"],
    root,
  });
  const supply = new AbortController();
  const supplied = keepSupplied(ledger, { names: Object.keys(EXPECTED), width: WIDTH, signal: supply.signal });
  let crashes = 0;
  try {
    while (crashes < times) {
      await untilBusy(ledger);
      await sleep(Math.random() * 300);
      await server.stop("immediate");
      await server.start();
      crashes++;
    }
  } finally {
    supply.abort();
    await supplied;
  }
  await until(() => isQuiet(ledger).catch(() => false), TIMEOUT).catch(() => {});
  return { crashes, ...await inspect(ledger, EXPECTED) };
}

/** Waits until steps are stored again: the consumer has noticed that the server is back. */
async function untilBusy({ sql }: Ledger): Promise<void> {
  const count = async () => (await sql`SELECT count(*)::int AS n FROM firefly.step WHERE seq IS NOT NULL`)[0]!.n;
  let before: number | undefined;
  await until(async () => {
    const now = await count().catch(() => undefined);
    if (before === undefined) before = now;
    return now !== undefined && before !== undefined && now > before;
  }, TIMEOUT);
}
