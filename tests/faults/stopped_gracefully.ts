import { insertTask, recordOf } from "../support/records.ts";
import { until } from "../support/waiting.ts";
import type { TestDatabase } from "../support/database.ts";
import type { CliProcess } from "../support/process.ts";
import type { Fault, Figures } from "./fault.ts";
import { entriesOf, LEASE, startConsumer, untilRegistered } from "./fleet.ts";
import { ledgerDatabase } from "./ledger.ts";

/** Fault 9: a consumer is told to stop, politely or not. */
export const stoppedGracefully: Fault = {
  number: 9,
  title: "SIGTERM with tasks of 1 s and 60 s, and SIGTERM twice",
  async run(figures, scale) {
    const grace = scale === "full" ? 5_000 : 2_000;
    await Promise.all([onceTold(figures, grace), twiceTold(figures)]);
  },
};

/** One consumer that is to leave, with a task of 60 s in its hands, and one that waits for what it leaves behind. */
interface Shift extends AsyncDisposable {
  readonly db: TestDatabase;
  readonly leaver: CliProcess;
  /** The id of the task of 60 s. */
  readonly long: number;
}

async function startShift(args: string[]): Promise<Shift> {
  await using stack = new AsyncDisposableStack();
  const db = stack.use(await ledgerDatabase());
  // Only the leaver takes short tasks: they are begun after the other one is there.
  const leaver = stack.use(startConsumer(db, ["--queue", "default,short", ...args]));
  await untilRegistered(db, 1);
  const long = await insertTask(db, { func_name: "process.wait", params: btoa("[60000]") });
  await until(async () => (await claimsOf(db, long)).length === 1, 20_000);
  stack.use(startConsumer(db));
  await untilRegistered(db, 2);
  const moved = stack.move();
  return { db, leaver, long, [Symbol.asyncDispose]: () => moved.disposeAsync() };
}

async function onceTold(figures: Figures, grace: number): Promise<void> {
  await using shift = await startShift(["--shutdown-timeout", `${grace / 1000}s`]);
  const { db, leaver, long } = shift;
  const short = await insertTask(db, { func_name: "process.wait", queue: "short", params: btoa("[1000]") });
  await until(async () => (await claimsOf(db, short)).length === 1, 20_000);
  await new Promise((resolve) => setTimeout(resolve, 300)); // it has begun by now, not only been claimed
  const told = Date.now();
  leaver.kill("SIGTERM");
  figures.is("exit code", await leaver.exited, 0);
  figures.within(`exits after a grace of ${grace / 1000} s`, Date.now() - told, grace + 1_000);
  figures.is("rows left running", await leasesOf(db, leaver), 0);
  figures.is("the task of 1 s", (await recordOf(db, short)).status as string, "completed");
  await until(async () => (await claimsOf(db, long)).length === 2, 20_000).catch(() => {});
  const [, again = Infinity] = await claimsOf(db, long);
  figures.within("released, and claimed elsewhere after the grace period", again! - told - grace, 1_000);
  const { retry_attempts, rescues, snoozes } = await recordOf(db, long);
  figures.is("retries, rescues, snoozes counted", [retry_attempts, rescues, snoozes].join(", "), "0, 0, 1");
}

async function twiceTold(figures: Figures): Promise<void> {
  await using shift = await startShift([]);
  const { db, leaver, long } = shift;
  leaver.kill("SIGTERM");
  await until(() => entriesOf(leaver, "stopping").length > 0, 10_000);
  const told = Date.now();
  leaver.kill("SIGTERM");
  figures.is("second SIGTERM: exit code", await leaver.exited, 143);
  figures.within("second SIGTERM: exits", Date.now() - told, 1_000);
  await until(async () => (await claimsOf(db, long)).length === 2, 20_000).catch(() => {});
  const [, again = Infinity] = await claimsOf(db, long);
  figures.within("second SIGTERM: rescued, and claimed elsewhere", again - told, LEASE + 1_000);
  figures.is("second SIGTERM: rows left running", await leasesOf(db, leaver), 0);
}

/** When a task was claimed, in milliseconds. */
async function claimsOf({ sql }: TestDatabase, id: number): Promise<number[]> {
  const rows = await sql`SELECT at FROM claim WHERE task_id = ${id} ORDER BY at`;
  return rows.map(({ at }) => at.getTime());
}

/** Leases of which nobody but the process `pid` can be the owner: its own, and those of consumers that are gone. */
async function leasesOf({ sql }: TestDatabase, { pid }: CliProcess): Promise<number> {
  const rows = await sql`
    SELECT FROM firefly.claim_batch
    WHERE consumer_id NOT IN (SELECT id FROM firefly.consumer WHERE pid <> ${pid})
  `;
  return rows.count;
}
