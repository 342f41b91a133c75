import { DEFAULT_RETRY_DELAY, type RetryDelay } from "./backoff.ts";
import type { Tag } from "./driver.ts";
import { checkQueueName, type ScheduleOptions, type TaskDefinition, type TaskOptions } from "./definition.ts";
import { toSeconds } from "./duration.ts";
import { FireflyError } from "./errors.ts";
import type { Queryable, Sql } from "./sql.ts";
import { type InsertedTask, insertTasks, insertTasksWith, type NewTask } from "./store/schedule.ts";
import type { TaskRow } from "./store/rows.ts";
import { encode } from "./wire/encode.ts";

/** How many tasks one statement inserts at most, and how many characters of params. */
const [CHUNK_ROWS, CHUNK_CHARACTERS] = [5_000, 8 * 1024 * 1024];

/** The rows to insert for `calls`: the call's options win over the definition's, and those over the instance's. */
export async function newTasks(
  definition: TaskDefinition,
  calls: unknown[][],
  { options, defaults, schema }: { options: ScheduleOptions; defaults: Partial<TaskOptions>; schema: string },
): Promise<NewTask[]> {
  const queue = options.queue ?? definition.queue ?? defaults.queue ?? "default";
  checkQueueName(queue, `schedule task "${definition.name}"`, schema);
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
  return await Promise.all(calls.map(async (args) => ({ ...shared, params: await encode(args) })));
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

/** Inserts `tasks` with statements of the store, or with a client of the user's. */
export async function insertChunks(
  tasks: NewTask[],
  through: { sql: Tag } | { client: Sql | Queryable; schema: string },
): Promise<TaskRow[]> {
  const rows: TaskRow[] = [];
  for (const chunk of chunksOf(tasks)) {
    const inserted = "sql" in through
      ? await insertTasks(through.sql, chunk)
      : await insertTasksWith(through.client, through.schema, chunk);
    if (inserted.length !== chunk.length) {
      throw new FireflyError(
        `Cannot read back what was scheduled: the client returned ${inserted.length} rows for ${chunk.length} tasks`,
      );
    }
    rows.push(...chunk.map((task, i) => insertedRow(task, inserted[i]!)));
  }
  return rows;
}

/** The whole row, without reading it again. */
function insertedRow(task: NewTask, { id, created, not_before }: InsertedTask): TaskRow {
  const { delay: _, ...columns } = task;
  return {
    ...columns,
    id,
    created,
    not_before,
    status: "created",
    started: null,
    completed: null,
    failed: null,
    cancelled: null,
    returned: null,
    attempt: 1,
    retry_attempts: 0,
    rescues: 0,
    snoozes: 0,
    progress: null,
    progress_note: null,
    errors: [],
  };
}
