import type { Tag } from "../database/driver.ts";
import { FireflyError, TaskExists } from "../errors.ts";
import { lazyArray } from "../lazy_array.ts";
import { insertTasks } from "./insert.ts";
import type { InsertedTask, NewTask } from "./new_task.ts";
import { newRow, rowOfJson, type TaskRow, timeOf, toNumber } from "./rows.ts";

/** A row of the view `task_record`, and whether it is new. */
export type ScheduledRow = TaskRow & { inserted: boolean };

/** A task as it was scheduled: {@linkcode rowOf} makes its row. */
export type ScheduledTask = InsertedTask | UniqueTask;

/** How many tasks one statement inserts at most, and how many characters of params. */
const [CHUNK_ROWS, CHUNK_CHARACTERS] = [5_000, 8 * 1024 * 1024];
/**
 * Schedules the tasks of one call through `sql`, which may be {@linkcode tagOf} a user's client; one statement may not
 * be enough, so that many tasks need a transaction. A `producer` may not insert, but call a function that does.
 *
 * @throws {TaskExists} If a duplicate of one of them forbids it: nothing is scheduled then.
 */
export async function scheduleTasks(sql: Tag, tasks: NewTask[], producer: boolean): Promise<ScheduledTask[]> {
  const by = producer ? "_produce" : "_schedule";
  // Unique keys are taken in one order, and so by one statement.
  if (areUnique(tasks)) return notRefused(await scheduleUnique(sql, tasks, by), tasks);
  const parts: ScheduledTask[][] = [];
  for (const chunk of chunksOf(tasks)) {
    parts.push(
      producer || chunk.some(({ depends }) => depends !== undefined)
        ? notRefused(await scheduleUnique(sql, chunk, by), chunk)
        : readBack(await insertTasks(sql, chunk), chunk),
    );
  }
  return parts.length === 1 ? parts[0]! : lazyArray(tasks.length, () => parts.flat());
}

/** Whether any of `tasks` may have a duplicate. */
export function areUnique(tasks: NewTask[]): boolean {
  return tasks.some(({ unique_key }) => unique_key !== undefined);
}

/** Whether one statement takes all of `tasks`. */
export function isOneStatement(tasks: NewTask[]): boolean {
  return tasks.length < 2 || endOfChunk(tasks, 0) === tasks.length;
}

/** Cuts `tasks` into what one statement takes. */
export function* chunksOf(tasks: NewTask[]): Generator<NewTask[]> {
  for (let start = 0, end; start < tasks.length; start = end) {
    end = endOfChunk(tasks, start);
    yield end - start === tasks.length ? tasks : tasks.slice(start, end);
  }
}

/** Finds the end of the chunk that begins at `start`. */
function endOfChunk(tasks: NewTask[], start: number): number {
  const most = Math.min(tasks.length, start + CHUNK_ROWS);
  let end = start + 1;
  for (let characters = tasks[start]!.params.length; end < most; end++) {
    characters += tasks[end]!.params.length;
    if (characters > CHUNK_CHARACTERS) break;
  }
  return end;
}

/** The outcome of scheduling a task that may have a duplicate. */
export interface UniqueTask extends InsertedTask {
  /** False if `id` is a duplicate's. */
  inserted: boolean;
  /** The unique key whose duplicate forbids the whole call: nothing was scheduled then. */
  refusedKey: string | null;
  /** The duplicate's record; null for a new task, and for a duplicate whose record is deleted while its key remains. */
  record: TaskRow | null;
}

/** The SQL functions that schedule unique tasks; `_produce` does so, with any other tasks, for a role that may not use the tables. */
export type ScheduleFunction = "_schedule" | "_produce";

/**
 * Schedules tasks of which some have unique keys, all in one statement: their keys are taken in one order, so that
 * two calls cannot wait for each other, and a call that is refused leaves nothing behind. It waits for open
 * transactions that schedule tasks of the same keys.
 */
export async function scheduleUnique(
  sql: Tag,
  tasks: NewTask[],
  by: ScheduleFunction = "_schedule",
): Promise<UniqueTask[]> {
  const rows = await sql<{ text: string }>`
    SELECT json_build_array(task_id::text, created, not_before, inserted, refused_key, record)::text AS text
    FROM ${sql.schema}.${sql.identifier(by)}(${JSON.stringify(tasks)}::text::json)
  `;
  return rows.map(uniqueTask);
}

/**
 * Whether the role behind `sql` may not insert into the table: a producer.
 *
 * @throws {TypeError} If a user's client does not return the one row of the answer.
 */
export async function isProducer(sql: Tag): Promise<boolean> {
  // NULL where there is no such table: the INSERT reports that better.
  const [row, ...others] = await sql<{ text: string | null }>`
    SELECT (NOT has_any_column_privilege(to_regclass(format('%I.task', ${sql.schemaName}::text)), 'INSERT'))::text AS text
  `;
  if (row && others.length === 0) return row.text === "true";
  throw new TypeError(
    `Cannot schedule through "tx" as its query() resolved to ${row ? others.length + 1 : 0} rows of 1: ` +
      "pass { query: (text, params) => … }, which resolves to the rows of a statement with $1, $2, …",
  );
}

function uniqueTask({ text }: { text: string }): UniqueTask {
  const [id, created, notBefore, inserted, refusedKey, record] = JSON.parse(text);
  return {
    id,
    created: timeOf(created),
    not_before: timeOf(notBefore),
    inserted,
    refusedKey,
    record: record && rowOfJson(record),
  };
}

function notRefused(scheduled: UniqueTask[], tasks: NewTask[]): UniqueTask[] {
  const [first] = scheduled;
  if (first && first.refusedKey !== null) {
    const { func_name: funcName } = tasks[0]!;
    throw new TaskExists(`schedule task "${funcName}"`, { id: toNumber(first.id), funcName, key: first.refusedKey });
  }
  return readBack(scheduled, tasks);
}

function readBack<T extends ScheduledTask>(scheduled: T[], tasks: NewTask[]): T[] {
  if (scheduled.length === tasks.length) return scheduled;
  throw new FireflyError(
    `Cannot read back what was scheduled: the client returned ${scheduled.length} rows for ${tasks.length} tasks`,
  );
}

/** Makes the row of a task that was just scheduled. */
export function rowOf(task: NewTask, scheduled: ScheduledTask): ScheduledRow {
  if (!("inserted" in scheduled)) return newRow(task, scheduled);
  const { inserted, record } = scheduled;
  if (record) return { ...record, inserted };
  const row = newRow(task, scheduled);
  // A key outlasts only a completed task: a duplicate whose record is deleted was that, and no more is known of it.
  return inserted ? row : { ...row, status: "completed", state: "completed", completed: row.created, inserted };
}
