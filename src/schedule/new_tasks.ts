import { DEFAULT_RETRY_DELAY, type RetryDelay } from "../task/backoff.ts";
import { checkQueueName, type TaskDefinition } from "../task/definition.ts";
import { formatTime } from "../database/times.ts";
import { toRetrySeconds, toSeconds } from "../duration.ts";
import { type KeyRing, mapInChunks } from "../privacy/encryption.ts";
import { computeLimitKeys, isLimited } from "../task/limit_keys.ts";
import type { ScheduleOptions, TaskOptions } from "../task/options.ts";
import type { NewTask, UniqueColumns } from "../store/new_task.ts";
import { Dependencies, hasResults, type PreparedTask, sourceOf, withoutResults } from "./dependencies.ts";
import { isUnique, uniqueColumns } from "./unique_key.ts";
import { resultSourceOf } from "../task/result_of.ts";
import type { ResultSource } from "../task/scheduled_call.ts";
import { validateArguments } from "../task/validation.ts";
import { encodeArguments, formatPath } from "../wire/encode.ts";
import type { Key } from "../wire/references.ts";

/** The options that new tasks are made of, beside the definition's. */
export interface NewTasksOptions {
  options: ScheduleOptions;
  defaults: Partial<TaskOptions>;
  schema: string;
  keys?: KeyRing | undefined;
  /** The columns of earlier calls of the same instance. */
  known?: KnownColumns;
}

/** The dependencies of each task of a call; of one without any, nothing. */
type TaskDependencies = (Dependencies | undefined)[];

/** Tasks that are ready to be inserted. */
export interface PreparedTasks {
  /** The tasks as they are stored. */
  readonly tasks: PreparedTask[];
  /** The same with arguments that are not encrypted, for their records. */
  readonly plain: NewTask[];
}

/** What the tasks of a call share. */
type SharedColumns = Omit<NewTask, "params" | "depends" | "concurrency_key" | "rate_key" | keyof UniqueColumns>;

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
): PreparedTask[] | Promise<PreparedTask[]> {
  const shared = sharedColumns(definition, options);
  const encodeAll = () => {
    const dependencies: TaskDependencies = [];
    // The arguments are not searched for results: the encoder asks only about what it would refuse, or is an instance of a class.
    const texts = calls.map((args, i) =>
      encodeArguments(args, (part, path) => {
        const sources = resultSourcesOf(part);
        if (!sources) return undefined;
        checkPlace(definition, args, path);
        const found = dependencies[i] ??= new Dependencies();
        return Array.isArray(sources) ? sources.map((source) => found.substitute(source)) : found.substitute(sources);
      })
    );
    if (options.options.after !== undefined) addAfter(options.options.after, { calls, dependencies });
    const toTasks = (params: string[]) => tasksOf(definition, { calls, shared, params, dependencies }, options);
    return texts.every((text) => typeof text === "string") ? toTasks(texts) : Promise.all(texts).then(toTasks);
  };
  return definition.input ? checkArguments(definition, calls).then(encodeAll) : encodeAll();
}

/** The tasks whose results a part stands for; undefined for other values. */
function resultSourcesOf(part: object): ResultSource | ResultSource[] | undefined {
  // The encoder asks about no lists but proxies: the records of a large scheduleMany() are made when one is read.
  if (!Array.isArray(part)) return resultSourceOf(part);
  const sources = Array.from(part, resultSourceOf);
  return sources.length > 0 && sources.every((source) => source !== undefined) ? sources : undefined;
}

/** Refuses the result of a task at a place to which not only lists lead. */
function checkPlace({ name }: TaskDefinition, args: unknown[], path: readonly Key[]): void {
  let list: unknown = args;
  for (const key of path) {
    if (!Array.isArray(list) || typeof key !== "number") {
      throw new TypeError(
        `Cannot schedule task "${name}" with the result of a task at ${
          formatPath(path)
        }: it must be an argument, or an ` +
          "element of a list that is one",
      );
    }
    list = list[key];
  }
}

/** Adds the tasks of the option `after` to the dependencies of each call. */
function addAfter(
  after: NonNullable<ScheduleOptions["after"]>,
  { calls, dependencies }: { calls: unknown[][]; dependencies: TaskDependencies },
): void {
  const sources = Array.from(after, sourceOf);
  if (sources.length === 0) return;
  for (const i of calls.keys()) {
    const found = dependencies[i] ??= new Dependencies();
    for (const source of sources) found.add(source);
  }
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
  { calls, shared, params, dependencies }: {
    calls: unknown[][];
    shared: SharedColumns;
    params: string[];
    dependencies: TaskDependencies;
  },
  { options, keys }: NewTasksOptions,
): PreparedTask[] | Promise<PreparedTask[]> {
  const tasks: PreparedTask[] = isLimited(definition)
    ? calls.map((args, i) => ({
      ...shared,
      params: params[i]!,
      ...storedLimits(definition, keyArguments(definition, args, dependencies[i])),
    }))
    : params.map((params) => ({ ...shared, params }));
  for (const i of dependencies.keys()) {
    const found = dependencies[i];
    if (found) tasks[i]!.depends = found.list;
  }
  if (!isUnique(definition, options)) return tasks;
  return Promise.all(tasks.map(async (task, i) => {
    const args = keyArguments(definition, calls[i]!, dependencies[i]);
    const hasResults = dependencies[i]?.hasResults;
    const columns = await uniqueColumns(definition, options, { args, params: hasResults ? null : params[i]!, keys });
    return { ...task, ...columns };
  }));
}

/** The arguments for functions that compute keys: a result that is not there yet throws when it is used. */
function keyArguments({ name }: TaskDefinition, args: unknown[], dependencies: Dependencies | undefined): unknown[] {
  return dependencies?.hasResults ? withoutResults(args, `schedule task "${name}"`) : args;
}

/** Encrypts the arguments. `replace` may store them in the record of a duplicate in another queue. */
export async function encryptTasks(tasks: PreparedTask[], keys: KeyRing): Promise<PreparedTask[]> {
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
    try {
      await validateArguments(input, args, `Cannot schedule task "${name}" as ${whose} are not valid`);
    } catch (error) {
      if (!hasResults(args)) throw error; // results are checked when they are there
    }
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
