import { DEFAULT_RETRY_DELAY, type RetryDelay } from "../task/backoff.ts";
import { checkQueueName, type TaskDefinition } from "../task/definition.ts";
import { formatTime } from "../database/times.ts";
import { toRetrySeconds, toSeconds } from "../duration.ts";
import { type KeyRing, mapInChunks } from "../privacy/encryption.ts";
import { computeLimitKeys, isLimited } from "../task/limit_keys.ts";
import type { ScheduleOptions, TaskOptions } from "../task/options.ts";
import type { NewTask, UniqueColumns } from "../store/insert.ts";
import { isUnique, uniqueColumns } from "./unique_key.ts";
import { validateArguments } from "../task/validation.ts";
import { encode } from "../wire/encode.ts";

/** The options that new tasks are made of, beside the definition's. */
export interface NewTasksOptions {
  options: ScheduleOptions;
  defaults: Partial<TaskOptions>;
  schema: string;
  keys?: KeyRing | undefined;
  /** The columns of earlier calls of the same instance. */
  known?: KnownColumns;
}

/** Tasks that are ready to be inserted. */
export interface PreparedTasks {
  /** The tasks as they are stored. */
  readonly tasks: NewTask[];
  /** The same with arguments that are not encrypted, for their records. */
  readonly plain: NewTask[];
}

/** What the tasks of a call share. */
type SharedColumns = Omit<NewTask, "params" | "concurrency_key" | "rate_key" | keyof UniqueColumns>;

/** Columns by the options that they were computed of: a task passes the same options with each call of `schedule()`. */
export type KnownColumns = WeakMap<ScheduleOptions, { definition: TaskDefinition; columns: SharedColumns }>;

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
  return { plain, tasks: options.keys ? await encryptTasks(plain, options.keys) : plain };
}

/**
 * Makes a task of each call's arguments, not encrypted. An option of the call wins over the definition's, and that over
 * the instance's. Returns a promise only if it must wait, as for a schema.
 *
 * @throws {ValidationFailed} If the arguments of a call do not fit the definition's schema.
 */
export function newTasks(
  definition: TaskDefinition,
  calls: unknown[][],
  options: NewTasksOptions,
): NewTask[] | Promise<NewTask[]> {
  const shared = sharedColumns(definition, options);
  const encodeAll = () => {
    const texts = calls.map((args) => encode(args));
    const toTasks = (params: string[]) => tasksOf(definition, { calls, shared, params }, options);
    return texts.every((text) => typeof text === "string") ? toTasks(texts) : Promise.all(texts).then(toTasks);
  };
  return definition.input ? checkArguments(definition, calls).then(encodeAll) : encodeAll();
}

function sharedColumns(
  definition: TaskDefinition,
  { options, defaults, schema, known }: NewTasksOptions,
): SharedColumns {
  const before = known?.get(options);
  if (before?.definition === definition) return before.columns;
  const queue = options.queue ?? definition.queue ?? defaults.queue ?? "default";
  // Again, although options are checked where they come in: how long it may be depends on the schema.
  checkQueueName(queue, `schedule task "${definition.name}"`, schema);
  const timeout = options.timeout ?? definition.timeout ?? defaults.timeout;
  const columns = {
    func_name: definition.name,
    queue,
    priority: options.priority ?? definition.priority ?? 0,
    not_before: options.notBefore ? formatTime(options.notBefore) : null,
    delay: options.delay === undefined ? null : toSeconds(options.delay, "delay"),
    max_retries: options.maxRetries ?? definition.maxRetries ?? defaults.maxRetries ?? 0,
    ...storedRetryDelay(options.retryDelay ?? definition.retryDelay ?? defaults.retryDelay ?? DEFAULT_RETRY_DELAY),
    timeout: timeout === undefined ? null : toSeconds(timeout, "timeout"),
    tags: [...options.tags ?? []],
  };
  // A Date may be another time with the next call.
  if (!options.notBefore) known?.set(options, { definition, columns });
  return columns;
}

function tasksOf(
  definition: TaskDefinition,
  { calls, shared, params }: { calls: unknown[][]; shared: SharedColumns; params: string[] },
  { options, keys }: NewTasksOptions,
): NewTask[] | Promise<NewTask[]> {
  const tasks: NewTask[] = isLimited(definition)
    ? calls.map((args, i) => ({ ...shared, params: params[i]!, ...storedLimits(definition, args) }))
    : params.map((params) => ({ ...shared, params }));
  if (!isUnique(definition, options)) return tasks;
  return Promise.all(tasks.map(async (task, i) => {
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

/** Computes the keys of the limits, which depend on the arguments; a task sends none that it does not have. */
function storedLimits(definition: TaskDefinition, args: unknown[]): Pick<NewTask, "concurrency_key" | "rate_key"> {
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
