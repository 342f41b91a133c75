import { type NewCron, readClock, registerCrons } from "../../src/store/cron.ts";
import type { NewTask } from "../../src/store/new_task.ts";
import type { TestDatabase } from "./database.ts";

/** A cron of `name`, as a consumer would introduce it. */
export function cronOf(
  name: string,
  { task = {}, ...cron }: Partial<Omit<NewCron, "task">> & { task?: object } = {},
): NewCron {
  const row = { func_name: name, queue: "default", params: "W10=", priority: 0, not_before: null, delay: null };
  const rest = { max_retries: 0, retry_delay: 120, backoff: null, timeout: null, tags: [] };
  const expression = cron.expression ?? "* * * * *";
  return {
    name,
    names: [name],
    expression,
    timezone: "UTC",
    missed: "skip",
    task: { ...row, ...rest, ...task } as NewTask,
    definition: `${expression} ${cron.missed ?? "skip"}`,
    ...cron,
  };
}

/** Registers crons as the only ones of a consumer that starts. */
export async function register(db: TestDatabase, crons: NewCron[], names = crons.map(({ name }) => name)) {
  return await registerCrons(db.store, { consumerId: crypto.randomUUID(), names, crons });
}

/** A time by the database, so many seconds from now. */
export async function inSeconds(db: TestDatabase, seconds: number): Promise<Date> {
  return new Date((await readClock(db.store)).getTime() + seconds * 1000);
}

/** Makes it look as if the cron had been registered so many seconds ago. */
export async function age(db: TestDatabase, name: string, seconds: number): Promise<void> {
  await db.sql`UPDATE firefly.cron SET since = now() - make_interval(secs => ${seconds}) WHERE name = ${name}`;
}

export async function taskTimes(db: TestDatabase, name: string): Promise<Date[]> {
  const rows = await db.sql`SELECT not_before FROM firefly.task WHERE func_name = ${name} ORDER BY not_before`;
  return rows.map((row) => row.not_before);
}
