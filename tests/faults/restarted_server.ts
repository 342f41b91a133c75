import { setTimeout as sleep } from "node:timers/promises";
import { until } from "../support/waiting.ts";
import type { Fault } from "./fault.ts";
import { Fleet } from "./fleet.ts";
import { checkEffects, countOf, type Ledger, ledgerOn, scheduleMarks } from "./ledger.ts";
import { type Server, startServer, type StopMode } from "./servers.ts";

/** How many tasks are scheduled before each restart. */
const TASKS = 300;
/** How long the server is away, in milliseconds. */
const AWAY = 500;

/** Fault 5: the server goes, by its own will or in a crash, and comes back. */
export const restartedServer: Fault = {
  number: 5,
  title: "server restarted under load, fast and immediate",
  async run(figures, scale) {
    const times = scale === "full" ? 3 : 1;
    await using server = await startServer();
    await using ledger = await ledgerOn(server.url);
    await using _fleet = await Fleet.start(ledger, { size: 2 });
    let count = 0;
    for (const mode of ["fast", "immediate"] as const) {
      const waits: number[] = [];
      for (let i = 0; i < times; i++) {
        await scheduleMarks(ledger, TASKS, { from: count + 1, ms: 20 });
        count += TASKS;
        waits.push(await restart(server, ledger, { mode, tasks: count }));
      }
      figures.within(`${mode}: claimed after it was up, slowest of ${times}`, Math.max(...waits), 3_000);
    }
    await until(async () => await countOf(ledger, "created") === 0, 60_000).catch(() => {});
    await checkEffects(figures, ledger, count);
  },
};

/** Restarts the server while tasks run; resolves to the milliseconds from its return to the next claim. */
async function restart(
  server: Server,
  ledger: Ledger,
  { mode, tasks }: { mode: StopMode; tasks: number },
): Promise<number> {
  await until(async () => await countOf(ledger, "completed") > tasks - TASKS * 0.9, 30_000);
  await server.stop(mode);
  await sleep(AWAY);
  await server.start();
  const up = performance.now();
  const before = await claims(ledger);
  await until(async () => await claims(ledger) > before, 20_000).catch(() => {});
  return performance.now() - up;
}

/** How many claims there were. This side's connections were lost with all others: the first statement tells it. */
async function claims({ sql }: Ledger): Promise<number> {
  for (let tries = 0;; tries++) {
    try {
      const [row] = await sql`SELECT count(*)::int AS n FROM claim`;
      return row!.n;
    } catch (error) {
      if (tries === 5) throw error;
    }
  }
}
