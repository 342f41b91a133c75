import { type TestDatabase, testDatabase } from "../support/database.ts";
import { type CliProcess, startCli } from "../support/process.ts";
import { insertTask, recordOf } from "../support/records.ts";
import { until } from "../support/waiting.ts";
import type { Fault } from "./fault.ts";

const TASKS = new URL("./blocking_tasks.ts", import.meta.url).pathname;
/** Of the tasks, in milliseconds. */
const TIMEOUT = 1000;
/** When a handler that lingers ends at last, in milliseconds. */
const LATE = 2500;

/** Fault 11: a handler that ignores its timeout loses its slot and its say. */
export const endlessHandler: Fault = {
  number: 11,
  title: "handler that never resolves and ignores its signal",
  async run(figures, scale) {
    const slots = scale === "full" ? 4 : 2;
    const rounds = scale === "full" ? 5 : 1;
    await using db = await testDatabase();
    await db.sql`CREATE TABLE ledger (n int, task_id bigint, attempt int)`;
    const hanging = await insertTasks(db, slots * rounds, { func_name: "blocking.hang", max_retries: 0 });
    const lingering = await insertTasks(db, slots, {
      func_name: "blocking.linger",
      params: btoa(`[${LATE}]`),
      max_retries: 1,
      retry_delay: 0,
    });
    const [next] = await insertTasks(db, 1, { func_name: "blocking.write", params: btoa("[1]") });
    const args = ["consume", "--database", db.url, "--import", TASKS, "--json", "--lease", "2s"];
    await using consumer = startCli([...args, "--concurrency", String(slots)]);
    await until(() => lines(consumer, '"ready"') > 0, 20_000);
    const ready = performance.now();
    await until(async () => (await recordOf(db, next!)).status === "completed", 40_000);
    const waited = performance.now() - ready;
    await until(() => lines(consumer, '"late write ') === slots, 20_000);
    await until(async () => (await Promise.all(lingering.map((id) => recordOf(db, id)))).every(isCompleted), 20_000);

    const failed = await Promise.all(hanging.map((id) => recordOf(db, id)));
    const late = await Promise.all(lingering.map((id) => recordOf(db, id)));
    const [left] = await db.sql`SELECT count(*)::int AS rows FROM ledger WHERE n < 0`;
    figures.is("hanging tasks that failed by their timeout", failed.filter(timedOut).length, slots * rounds);
    figures.within("slot taken again after a timeout, average", waited / (rounds + 1) - TIMEOUT, 1000);
    figures.is("late writes refused", lines(consumer, "late write refused"), slots);
    figures.is("effects of attempts that timed out", left!.rows, 0);
    figures.is("results of the second attempts", late.filter(isInTime).length, slots);
  },
};

async function insertTasks(db: TestDatabase, count: number, columns: Record<string, unknown>): Promise<number[]> {
  return await Promise.all(Array.from({ length: count }, () => insertTask(db, columns)));
}

function lines({ log }: CliProcess, text: string): number {
  return log.filter((line) => line.includes(text)).length;
}

function isCompleted({ status }: Record<string, unknown>): boolean {
  return status === "completed";
}

function timedOut({ status, errors }: Record<string, unknown>): boolean {
  return status === "failed" && (errors as { name: string }[]).at(-1)?.name === "TimeoutError";
}

/** Completed by its second attempt, with that one's result, after one error that was stored. */
function isInTime({ status, returned, errors }: Record<string, unknown>): boolean {
  return status === "completed" && atob(returned as string).includes("in time") &&
    (errors as { name: string }[]).map(({ name }) => name).join() === "TimeoutError";
}
