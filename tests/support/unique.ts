import postgres from "postgres";
import type { NewTask } from "../../src/store/new_task.ts";
import type { TestDatabase } from "./database.ts";
import { newTask } from "./new_task.ts";

/** A task with a unique key, as `schedule()` hands it to the store. */
export function uniqueTask(key: string, columns: Partial<NewTask> = {}): NewTask {
  return newTask({ unique_key: key, unique_among: null, unique_for: null, on_conflict: "keep", ...columns });
}

/** The ids of the tasks that hold keys, by key. */
export async function holders(db: TestDatabase): Promise<Record<string, number>> {
  const rows = await db.sql`SELECT key, task_id::int FROM firefly.unique_key ORDER BY key`;
  return Object.fromEntries(rows.map(({ key, task_id }) => [key, task_id]));
}

/** Clients of their own, so that their statements run side by side, with settings of their sessions. */
export function clients(
  db: TestDatabase,
  n: number,
  settings: Readonly<Record<string, string>> = {},
): AsyncDisposable & { each: postgres.Sql[] } {
  const options = { max: 1, onnotice() {}, connection: settings as never };
  const each = Array.from({ length: n }, () => postgres(db.url, options));
  return {
    each,
    [Symbol.asyncDispose]: async () => void await Promise.all(each.map((sql) => sql.end({ timeout: 1 }))),
  };
}
