import type { Tag } from "../database/driver.ts";
import { nearestDate } from "../database/times.ts";
import { lazyArray } from "../lazy_array.ts";
import { toHex } from "../telemetry/traceparent.ts";
import {
  INSERT_ALIKE,
  INSERT_ALIKE_TRACED,
  INSERT_ANY,
  INSERT_READY,
  INSERT_READY_ONE,
  INSERT_READY_TRACED,
} from "./insert_statements.ts";
import type { InsertedTask, NewTask } from "./new_task.ts";

/**
 * Inserts tasks in the order given. Tasks of one kind that may start at once are placed in `ready` by the statement that
 * inserts them; the trigger on `task` places all others, as it places what an INSERT from anywhere else brings.
 */
export async function insertTasks(sql: Tag, tasks: NewTask[]): Promise<InsertedTask[]> {
  const [first] = tasks;
  if (tasks.length === 1 && startsAtOnce(first!)) return await insertOne(sql, first!);
  return await (tasks.length > 1 && areAlike(tasks) ? insertAlike(sql, tasks) : insertAny(sql, tasks));
}

/** Whether a task is ready as soon as it is inserted. */
function startsAtOnce({ not_before, delay, concurrency_key, rate_key }: NewTask): boolean {
  return not_before === null && !(delay! > 0) && concurrency_key === undefined && rate_key === undefined;
}

async function insertOne(sql: Tag, task: NewTask): Promise<InsertedTask[]> {
  const { func_name, queue, priority, max_retries, retry_delay, backoff, timeout, tags, params, traceparent } = task;
  const rows = await sql<{ text: string }>(
    INSERT_READY_ONE,
    func_name,
    queue,
    priority,
    sql.schema,
    max_retries,
    retry_delay,
    backoff && JSON.stringify(backoff),
    timeout,
    tags.length > 0 ? tags : null,
    params,
    traceparent === undefined ? null : toHex(traceparent),
    sql.schema,
    sql.schema,
  );
  return rows.map(({ text }) => {
    const [created, id] = text.split(",");
    return { id: id!, created: nearestDate(Number(created)), not_before: nearestDate(Number(created)) };
  });
}

async function insertAny(sql: Tag, tasks: NewTask[]): Promise<InsertedTask[]> {
  // One JSON text instead of an array a column: one statement for one task and for thousands, and one parameter.
  const rows = await sql<{ text: string }>(INSERT_ANY, sql.schema, sql.schema, JSON.stringify(tasks));
  return rows.map(({ text }) => {
    const [created, id, notBefore = created] = text.split(",");
    return { id: id!, created: nearestDate(Number(created)), not_before: nearestDate(Number(notBefore)) };
  });
}

/** Inserts tasks that differ only in their arguments: reading a row of JSON costs as much as inserting it. */
async function insertAlike(sql: Tag, tasks: NewTask[]): Promise<InsertedTask[]> {
  const { params: _params, traceparent: _traceparent, ...alike } = tasks[0]!;
  const shared = JSON.stringify(alike);
  const isTraced = tasks.some(({ traceparent }) => traceparent !== undefined);
  // One time for all of them, as they start at one time; and one row for all, as the driver takes its time for each.
  const params = tasks.map(({ params }) => params);
  const lists = isTraced
    ? [params, tasks.map(({ traceparent }) => traceparent === undefined ? null : toHex(traceparent))]
    : [params];
  const { schema } = sql;
  const [row] = await (startsAtOnce(tasks[0]!)
    ? sql<{ text: string }>(
      isTraced ? INSERT_READY_TRACED : INSERT_READY,
      shared,
      schema,
      ...lists,
      schema,
      schema,
      schema,
    )
    : sql<{ text: string }>(isTraced ? INSERT_ALIKE_TRACED : INSERT_ALIKE, shared, schema, ...lists));
  const [created, notBefore, ...ids] = row ? row.text.split(",") : [];
  const times = { created: Number(created), notBefore: Number(notBefore) };
  // A Date can be changed: each row has its own.
  const toTask = (id: string) => ({
    id,
    created: nearestDate(times.created),
    not_before: nearestDate(times.notBefore),
  });
  return lazyArray(ids.length, () => ids.map(toTask));
}

/** Whether tasks differ only in their arguments, as those of one call do, and most that are called together. */
function areAlike(tasks: NewTask[]): boolean {
  const first = tasks[0]!;
  return tasks.every((task) => isAlike(task, first));
}

/**
 * Compares what the statements take as shared, one by one: a loop over the names would take as long as to encode the
 * arguments.
 */
function isAlike(a: NewTask, b: NewTask): boolean {
  return a.func_name === b.func_name && a.queue === b.queue && a.priority === b.priority &&
    a.max_retries === b.max_retries && a.retry_delay === b.retry_delay && a.backoff === b.backoff &&
    a.timeout === b.timeout && a.concurrency_key === b.concurrency_key && a.rate_key === b.rate_key &&
    a.not_before === b.not_before && a.delay === b.delay &&
    (a.tags === b.tags || a.tags.length === 0 && b.tags.length === 0);
}
