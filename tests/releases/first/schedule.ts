import type { Tag } from "../../../src/database/driver.ts";
import { FireflyError, TaskExists } from "../../../src/errors.ts";
import { type InsertedTask, insertTasks, type NewTask } from "./insert.ts";
import { newRow, rowOfJson, type TaskRow, timeOf, toNumber } from "./rows.ts";

export type ScheduledRow = TaskRow & { inserted: boolean };

const [CHUNK_ROWS, CHUNK_CHARACTERS] = [5_000, 8 * 1024 * 1024];
export async function scheduleTasks(sql: Tag, tasks: NewTask[], producer: boolean): Promise<ScheduledRow[]> {
  const by = producer ? "_produce" : "_schedule";
  if (areUnique(tasks)) return uniqueRows(await scheduleUnique(sql, tasks, by), tasks);
  const rows: ScheduledRow[] = [];
  for (const chunk of chunksOf(tasks)) {
    rows.push(
      ...producer
        ? uniqueRows(await scheduleUnique(sql, chunk, by), chunk)
        : newRows(await insertTasks(sql, chunk), chunk),
    );
  }
  return rows;
}

export function areUnique(tasks: NewTask[]): boolean {
  return tasks.some(({ unique_key }) => unique_key !== undefined);
}

export function isOneStatement(tasks: NewTask[]): boolean {
  return tasks.length < 2 || chunksOf(tasks).take(2).toArray().length < 2;
}

export function* chunksOf(tasks: NewTask[]): Generator<NewTask[]> {
  let [start, characters] = [0, 0];
  for (const [i, { params }] of tasks.entries()) {
    if (i > start && (i - start === CHUNK_ROWS || characters + params.length > CHUNK_CHARACTERS)) {
      yield tasks.slice(start, i);
      [start, characters] = [i, 0];
    }
    characters += params.length;
  }
  if (start < tasks.length) yield tasks.slice(start);
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

function uniqueRows(scheduled: UniqueTask[], tasks: NewTask[]): ScheduledRow[] {
  const [first] = scheduled;
  if (first && first.refusedKey !== null) {
    const { func_name: funcName } = tasks[0]!;
    throw new TaskExists(`schedule task "${funcName}"`, { id: toNumber(first.id), funcName, key: first.refusedKey });
  }
  checkReadBack(scheduled, tasks);
  return tasks.map((task, i) => {
    const { inserted, record, ...columns } = scheduled[i]!;
    if (record) return { ...record, inserted };
    const row = newRow(task, columns);
    return inserted ? row : { ...row, status: "completed", state: "completed", completed: row.created, inserted };
  });
}

function newRows(inserted: InsertedTask[], tasks: NewTask[]): ScheduledRow[] {
  checkReadBack(inserted, tasks);
  return tasks.map((task, i) => newRow(task, inserted[i]!));
}

function checkReadBack(rows: InsertedTask[], tasks: NewTask[]): void {
  if (rows.length === tasks.length) return;
  throw new FireflyError(
    `Cannot read back what was scheduled: the client returned ${rows.length} rows for ${tasks.length} tasks`,
  );
}
