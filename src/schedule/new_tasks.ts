import { DEFAULT_RETRY_DELAY, type RetryDelay } from "../task/backoff.ts";
import type { Tag } from "../database/driver.ts";
import { checkQueueName, type TaskDefinition } from "../task/definition.ts";
import { toSeconds } from "../duration.ts";
import { type KeyRing, mapInChunks } from "../privacy/encryption.ts";
import { FireflyError, TaskExists } from "../errors.ts";
import { computeLimitKeys, isLimited } from "../task/limit_keys.ts";
import type { ScheduleOptions, TaskOptions } from "../task/options.ts";
import type { Queryable, Sql } from "../sql.ts";
import {
  type InsertedTask,
  insertTasks,
  insertTasksWith,
  isProducer,
  isProducerWith,
  type NewTask,
  scheduleUnique,
  scheduleUniqueWith,
} from "../store/schedule.ts";
import { type TaskRow, toNumber } from "../store/rows.ts";
import { isUnique, uniqueColumns } from "./unique_key.ts";
import { validateArguments } from "../task/validation.ts";
import { encode } from "../wire/encode.ts";

/** How many tasks one statement inserts at most, and how many characters of params. */
const [CHUNK_ROWS, CHUNK_CHARACTERS] = [5_000, 8 * 1024 * 1024];

/** What the rows of a call depend on beside the definition. */
export interface NewTasksOptions {
  options: ScheduleOptions;
  defaults: Partial<TaskOptions>;
  schema: string;
  keys?: KeyRing | undefined;
}

/**
 * The rows to insert for `calls`: the call's options win over the definition's, and those over the instance's.
 *
 * @throws {ValidationFailed} If the arguments of a call do not fit the definition's schema.
 */
export async function newTasks(
  definition: TaskDefinition,
  calls: unknown[][],
  { options, defaults, schema, keys }: NewTasksOptions,
): Promise<NewTask[]> {
  const queue = options.queue ?? definition.queue ?? defaults.queue ?? "default";
  checkQueueName(queue, `schedule task "${definition.name}"`, schema);
  if (definition.input) await checkArguments(definition, calls);
  const timeout = options.timeout ?? definition.timeout ?? defaults.timeout;
  const shared = {
    func_name: definition.name,
    queue,
    priority: options.priority ?? definition.priority ?? 0,
    not_before: options.notBefore?.toISOString() ?? null,
    delay: options.delay === undefined ? null : toSeconds(options.delay, "delay"),
    max_retries: options.maxRetries ?? definition.maxRetries ?? defaults.maxRetries ?? 0,
    ...storedRetryDelay(options.retryDelay ?? definition.retryDelay ?? defaults.retryDelay ?? DEFAULT_RETRY_DELAY),
    timeout: timeout === undefined ? null : toSeconds(timeout, "timeout"),
    tags: options.tags ?? [],
  };
  const texts = calls.map((args) => encode(args));
  const params = texts.every((text) => typeof text === "string") ? texts : await Promise.all(texts);
  const tasks = calls.map((args, i) => ({ ...shared, params: params[i]!, ...storedLimits(definition, args) }));
  if (!isUnique(definition, options)) return tasks;
  return await Promise.all(tasks.map(async (task, i) => {
    return { ...task, ...await uniqueColumns(definition, options, { args: calls[i]!, params: params[i]!, keys }) };
  }));
}

/** The rows with their arguments encrypted. `replace` may put arguments into the record of a duplicate in another queue. */
export async function encryptTasks(tasks: NewTask[], keys: KeyRing): Promise<NewTask[]> {
  return await mapInChunks(tasks, async (task) => {
    const place = { funcName: task.func_name, queue: task.queue, column: "params" } as const;
    const anyQueue = task.on_conflict === "replace";
    return { ...task, params: await keys.encrypt(task.params, place, { anyQueue }) };
  });
}

/** Checks the arguments, which are stored as they are: what the schema makes of them is made for the handler. */
async function checkArguments({ name, input }: TaskDefinition, calls: unknown[][]): Promise<void> {
  if (!input) return;
  await Promise.all(calls.map(async (args, index) => {
    const whose = calls.length === 1 ? "its arguments" : `the arguments of calls[${index}]`;
    await validateArguments(input, args, `Cannot schedule task "${name}" as ${whose} are not valid`);
  }));
}

/** Keys are computed here, where the arguments are at hand, and stored; most tasks have none, and send none. */
function storedLimits(definition: TaskDefinition, args: unknown[]): Pick<NewTask, "concurrency_key" | "rate_key"> {
  if (!isLimited(definition)) return {};
  const { concurrencyKey, rateKey } = computeLimitKeys(definition, args);
  return {
    ...(concurrencyKey === null ? {} : { concurrency_key: concurrencyKey }),
    ...(rateKey === null ? {} : { rate_key: rateKey }),
  };
}

/** A delay in seconds and a backoff have a column each; a function stays with the definition. */
function storedRetryDelay(retryDelay: RetryDelay): Pick<NewTask, "retry_delay" | "backoff"> {
  if (typeof retryDelay === "function") return { retry_delay: null, backoff: null };
  if (typeof retryDelay === "object") return { retry_delay: null, backoff: retryDelay };
  return { retry_delay: toSeconds(retryDelay, "retryDelay"), backoff: null };
}

/** Parts of `tasks` that make statements of a sensible size. */
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

/** Whether `tasks` make no more than one such part. */
export function isOneStatement(tasks: NewTask[]): boolean {
  return tasks.length < 2 || chunksOf(tasks).take(2).toArray().length < 2;
}

/** What statements go through: the store's tag, or a client of the user's. */
export type Target = { sql: Tag } | { client: Sql | Queryable; schema: string };

/** And whether the role there may only call functions. */
type ThroughRole = Target & { producer: boolean };

/** A row, and whether it is new. */
export type ScheduledRow = TaskRow & { inserted: boolean };

/** Whether any of `tasks` may have a duplicate. */
export function areUnique(tasks: NewTask[]): boolean {
  return tasks.some(({ unique_key }) => unique_key !== undefined);
}

/** Whether what these statements go through is of a role that may not insert into the table. */
export async function mustUseFunction(through: Target): Promise<boolean> {
  return await ("sql" in through ? isProducer(through.sql) : isProducerWith(through.client, through.schema));
}

/**
 * Inserts tasks.
 *
 * @throws {TaskExists} If some are unique and a duplicate forbids it: nothing is scheduled then.
 */
export async function insertAll(tasks: NewTask[], through: ThroughRole): Promise<ScheduledRow[]> {
  if (areUnique(tasks)) return await insertUnique(tasks, through);
  const rows: ScheduledRow[] = [];
  for (const chunk of chunksOf(tasks)) {
    rows.push(...await (through.producer ? insertUnique : insertPlain)(chunk, through));
  }
  return rows;
}

/** Schedules tasks that may have duplicates. */
async function insertUnique(tasks: NewTask[], through: ThroughRole): Promise<ScheduledRow[]> {
  const by = through.producer ? "_produce" : "_schedule";
  const scheduled = "sql" in through
    ? await scheduleUnique(through.sql, tasks, by)
    : await scheduleUniqueWith(through.client, through.schema, tasks, by);
  const [first] = scheduled;
  if (first && first.refusedKey !== null) {
    const { func_name: funcName } = tasks[0]!;
    throw new TaskExists(`schedule task "${funcName}"`, { id: toNumber(first.id), funcName, key: first.refusedKey });
  }
  checkReadBack(scheduled, tasks);
  return tasks.map((task, i) => {
    const { inserted, record, ...columns } = scheduled[i]!;
    if (record) return { ...record, inserted };
    const row = insertedRow(task, columns);
    // A key outlasts nothing but a completed task: one whose record is deleted by now was that, and no more is known.
    return inserted ? row : { ...row, status: "completed", completed: row.created, inserted };
  });
}

async function insertPlain(tasks: NewTask[], through: Target): Promise<ScheduledRow[]> {
  const inserted = "sql" in through
    ? await insertTasks(through.sql, tasks)
    : await insertTasksWith(through.client, through.schema, tasks);
  checkReadBack(inserted, tasks);
  return tasks.map((task, i) => insertedRow(task, inserted[i]!));
}

function checkReadBack(rows: InsertedTask[], tasks: NewTask[]): void {
  if (rows.length === tasks.length) return;
  throw new FireflyError(
    `Cannot read back what was scheduled: the client returned ${rows.length} rows for ${tasks.length} tasks`,
  );
}

/** The whole row, without reading it again: column by column, as spreading thousands of them takes its time. */
function insertedRow(task: NewTask, { id, created, not_before }: InsertedTask): ScheduledRow {
  return {
    id,
    func_name: task.func_name,
    queue: task.queue,
    status: "created",
    priority: task.priority,
    created,
    not_before,
    started: null,
    completed: null,
    failed: null,
    cancelled: null,
    params: task.params,
    returned: null,
    attempt: 1,
    retry_attempts: 0,
    max_retries: task.max_retries,
    retry_delay: task.retry_delay,
    backoff: task.backoff,
    timeout: task.timeout,
    rescues: 0,
    snoozes: 0,
    progress: null,
    progress_note: null,
    errors: [],
    tags: task.tags,
    inserted: true,
  };
}
