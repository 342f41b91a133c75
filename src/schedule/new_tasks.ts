import { DEFAULT_RETRY_DELAY, type RetryDelay } from "../task/backoff.ts";
import { checkQueueName, type TaskDefinition } from "../task/definition.ts";
import { formatTime } from "../database/times.ts";
import { toRetrySeconds, toSeconds } from "../duration.ts";
import { decryptRow, type KeyRing, mapInChunks } from "../privacy/encryption.ts";
import { computeLimitKeys, isLimited } from "../task/limit_keys.ts";
import type { ScheduleOptions, TaskOptions } from "../task/options.ts";
import type { NewTask } from "../store/insert.ts";
import type { ScheduledRow } from "../store/schedule.ts";
import { isUnique, uniqueColumns } from "./unique_key.ts";
import { validateArguments } from "../task/validation.ts";
import { encode } from "../wire/encode.ts";

/** The options that new tasks are made of, beside the definition's. */
export interface NewTasksOptions {
  options: ScheduleOptions;
  defaults: Partial<TaskOptions>;
  schema: string;
  keys?: KeyRing | undefined;
}

/** Tasks that are ready to be inserted. */
export interface PreparedTasks {
  readonly tasks: NewTask[];
  /** Decrypts the rows that came of them. What was encrypted for this call is known in plain; a duplicate's is not. */
  decrypt(rows: ScheduledRow[]): Promise<ScheduledRow[]>;
}

/**
 * Makes a task of each call's arguments: validated, encoded and, with `keys`, encrypted.
 *
 * @throws {ValidationFailed} If the arguments of a call do not fit the definition's schema.
 */
export async function prepareTasks(
  definition: TaskDefinition,
  calls: unknown[][],
  options: NewTasksOptions,
): Promise<PreparedTasks> {
  const plain = await newTasks(definition, calls, options);
  const { keys } = options;
  if (!keys) return { tasks: plain, decrypt: (rows) => Promise.resolve(rows) };
  const tasks = await encryptTasks(plain, keys);
  return {
    tasks,
    decrypt: (rows) =>
      Promise.all(
        rows.map((row, i) =>
          row.params === tasks[i]!.params ? { ...row, params: plain[i]!.params } : decryptRow(row, keys)
        ),
      ),
  };
}

/**
 * Makes a task of each call's arguments, not encrypted. An option of the call wins over the definition's, and that over
 * the instance's.
 *
 * @throws {ValidationFailed} If the arguments of a call do not fit the definition's schema.
 */
export async function newTasks(
  definition: TaskDefinition,
  calls: unknown[][],
  { options, defaults, schema, keys }: NewTasksOptions,
): Promise<NewTask[]> {
  const queue = options.queue ?? definition.queue ?? defaults.queue ?? "default";
  // Again, although options are checked where they come in: how long it may be depends on the schema.
  checkQueueName(queue, `schedule task "${definition.name}"`, schema);
  if (definition.input) await checkArguments(definition, calls);
  const timeout = options.timeout ?? definition.timeout ?? defaults.timeout;
  const shared = {
    func_name: definition.name,
    queue,
    priority: options.priority ?? definition.priority ?? 0,
    not_before: options.notBefore ? formatTime(options.notBefore) : null,
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

/** Encrypts the arguments. `replace` may store them in the record of a duplicate in another queue. */
async function encryptTasks(tasks: NewTask[], keys: KeyRing): Promise<NewTask[]> {
  return await mapInChunks(tasks, async (task) => {
    const place = { funcName: task.func_name, queue: task.queue, column: "params" } as const;
    const anyQueue = task.on_conflict === "replace";
    return { ...task, params: await keys.encrypt(task.params, place, { anyQueue }) };
  });
}

/** Checks the arguments, but stores them as they are: the schema's conversions apply when the handler is called. */
async function checkArguments({ name, input }: TaskDefinition, calls: unknown[][]): Promise<void> {
  if (!input) return;
  await Promise.all(calls.map(async (args, index) => {
    const whose = calls.length === 1 ? "its arguments" : `the arguments of calls[${index}]`;
    await validateArguments(input, args, `Cannot schedule task "${name}" as ${whose} are not valid`);
  }));
}

/** Computes the keys of the limits, which depend on the arguments; most tasks have none, and send none. */
function storedLimits(definition: TaskDefinition, args: unknown[]): Pick<NewTask, "concurrency_key" | "rate_key"> {
  if (!isLimited(definition)) return {};
  const { concurrencyKey, rateKey } = computeLimitKeys(definition, args);
  return {
    ...(concurrencyKey === null ? {} : { concurrency_key: concurrencyKey }),
    ...(rateKey === null ? {} : { rate_key: rateKey }),
  };
}

/** Stores seconds and a backoff in a column each; a function stays with the definition. */
function storedRetryDelay(retryDelay: RetryDelay): Pick<NewTask, "retry_delay" | "backoff"> {
  if (typeof retryDelay === "function") return { retry_delay: null, backoff: null };
  if (typeof retryDelay === "object") return { retry_delay: null, backoff: retryDelay };
  return { retry_delay: toRetrySeconds(retryDelay, "retryDelay"), backoff: null };
}
