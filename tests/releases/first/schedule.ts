import type { Tag } from "../../../src/database/driver.ts";
import { FireflyError, TaskExists } from "../../../src/errors.ts";
import { lazyArray } from "../../../src/lazy_array.ts";
import { insertTasks } from "./insert.ts";
import type { InsertedTask, NewTask } from "./new_task.ts";
import { newRow, rowOfJson, type TaskRow, timeOf, toNumber } from "./rows.ts";

export type ScheduledRow = TaskRow & { inserted: boolean };

export type ScheduledTask = InsertedTask | UniqueTask;

const [CHUNK_ROWS, CHUNK_CHARACTERS] = [5_000, 8 * 1024 * 1024];
export async function scheduleTasks(sql: Tag, tasks: NewTask[], producer: boolean): Promise<ScheduledTask[]> {
  const by = producer ? "_produce" : "_schedule";
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

export function areUnique(tasks: NewTask[]): boolean {
  return tasks.some(({ unique_key }) => unique_key !== undefined);
}

export function isOneStatement(tasks: NewTask[]): boolean {
  return tasks.length < 2 || endOfChunk(tasks, 0) === tasks.length;
}

export function* chunksOf(tasks: NewTask[]): Generator<NewTask[]> {
  for (let start = 0, end; start < tasks.length; start = end) {
    end = endOfChunk(tasks, start);
    yield end - start === tasks.length ? tasks : tasks.slice(start, end);
  }
}

function endOfChunk(tasks: NewTask[], start: number): number {
  const most = Math.min(tasks.length, start + CHUNK_ROWS);
  let end = start + 1;
  for (let characters = tasks[start]!.params.length; end < most; end++) {
    characters += tasks[end]!.params.length;
    if (characters > CHUNK_CHARACTERS) break;
  }
  return end;
}

export interface UniqueTask extends InsertedTask {
  inserted: boolean;
  refusedKey: string | null;
  record: TaskRow | null;
}

export type ScheduleFunction = "_schedule" | "_produce";

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

export async function isProducer(sql: Tag): Promise<boolean> {
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

export function rowOf(task: NewTask, scheduled: ScheduledTask): ScheduledRow {
  if (!("inserted" in scheduled)) return newRow(task, scheduled);
  const { inserted, record } = scheduled;
  if (record) return { ...record, inserted };
  const row = newRow(task, scheduled);
  return inserted ? row : { ...row, status: "completed", state: "completed", completed: row.created, inserted };
}
