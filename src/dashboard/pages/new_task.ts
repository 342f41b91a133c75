import { newTasks } from "../../schedule/new_tasks.ts";
import { checkQueueName, checkScheduleOptions, type TaskDefinition } from "../../task/definition.ts";
import { TaskExists } from "../../errors.ts";
import { ValidationFailed } from "../../task/validation.ts";
import { decodeTaskArguments, isEncrypted } from "../../privacy/encryption.ts";
import { formatTime } from "../../database/times.ts";
import type { NewTask } from "../../store/new_task.ts";
import { scheduleTasks } from "../../store/schedule.ts";
import { type KnownTask, readKnownTask } from "../../store/task_lists_new.ts";
import { readSuggestions } from "../../store/task_lists_counts.ts";
import { didYouMean } from "../../suggest.ts";
import type { ScheduleOptions } from "../../task/options.ts";
import { registry } from "../../task/scope.ts";
import { encode } from "../../wire/encode.ts";
import { Incomplete } from "../../wire/missing.ts";
import type { PageContext } from "../context.ts";
import { decryptArguments, editArguments, isSameText } from "./new_arguments.ts";
import { readPriority, readWhen, type When } from "./new_fields.ts";
import type { ShownTask } from "./task_facts.ts";

/** The fields of the form. */
export const FIELDS = ["name", "params", "queue", "notBefore", "priority", "unique"] as const;

const LIMITED = "Its limits count by keys that its code computes, which this process does not have: " +
  "duplicate a task of this name instead";

/** The name of a field. */
export type FieldName = typeof FIELDS[number];

/** What the form says, as text. */
export type Fields = Readonly<Record<FieldName, string>>;

/** What is wrong with fields. */
export type FieldProblems = Partial<Record<FieldName, string>>;

/** The task that was scheduled, or what is wrong with the form. */
export type Outcome = { readonly id: number; readonly inserted: boolean } | { readonly problems: FieldProblems };

/** The checked options of the form. */
interface Options {
  readonly queue: string | undefined;
  readonly when: When;
  readonly priority: number | undefined;
  readonly unique: string | undefined;
}

/** Schedules a task as a form says; `from` is the task that it duplicates. */
export async function scheduleFrom(
  context: PageContext,
  fields: Fields,
  from: ShownTask | undefined,
): Promise<Outcome> {
  const { name } = fields;
  const isCopy = from?.func_name === name;
  const [known, args] = await Promise.all([
    readKnownTask(context.sql, name),
    from ? readCopied(context, fields, from) : readArguments(fields.params),
  ]);
  const { options, problems } = readOptions(fields, context);
  if (!known) problems.name = await unknownName(context, name);
  if ("problem" in args) problems.params = args.problem;
  if (Object.keys(problems).length > 0 || !known || "problem" in args) return { problems };
  const definition = registry.get(name)?.definition;
  const values = "values" in args ? args.values : undefined;
  try {
    if (!isCopy && definition && values) return await scheduleHere(context, definition, { values, options });
    if (!isCopy && known.limited) return { problems: { name: LIMITED } };
    const limits = definition && values && await limitsOf(context, definition, values);
    const task = isCopy ? copyOf(from, options, limits) : newTask(name, options, known);
    const stored = await storedParams(context, { task, args, from: isCopy ? from : undefined });
    if (typeof stored !== "string") return { problems: { queue: stored.problem } };
    return await insert(context, { ...task, params: stored });
  } catch (error) {
    // The definition refuses the arguments, or one of its functions does.
    if (error instanceof ValidationFailed || error instanceof TypeError || error instanceof RangeError) {
      return { problems: { params: error.message } };
    }
    if (error instanceof TaskExists) return { problems: { unique: error.message } };
    throw error;
  }
}

/** Schedules a task of this process as `schedule()` does. */
async function scheduleHere(
  { firefly }: PageContext,
  definition: TaskDefinition,
  { values, options: { queue, when, priority, unique } }: { values: unknown[]; options: Options },
): Promise<Outcome> {
  const given = omitUndefined({ queue, priority, unique, ...when }) as ScheduleOptions;
  const [record] = await firefly.schedule(definition, [values], given);
  return { id: record!.id, inserted: record!.inserted };
}

/** The keys of the limits of a task. */
type Limits = Pick<NewTask, "concurrency_key" | "rate_key">;

/** Computes the keys of the limits for other arguments, once the definition accepts these. */
async function limitsOf(
  { firefly: { schema } }: PageContext,
  definition: TaskDefinition,
  values: unknown[],
): Promise<Limits> {
  const [task] = await newTasks(definition, [values], { options: {}, defaults: {}, schema });
  const { concurrency_key, rate_key } = task!;
  return omitUndefined({ concurrency_key, rate_key });
}

function omitUndefined(options: object): object {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

async function unknownName(context: PageContext, name: string): Promise<string> {
  if (name === "") return "Name a task";
  const { names } = await readSuggestions(context.sql);
  return `No consumer has ever known “${name}”${didYouMean(name, names)}`;
}

/** The arguments of the form: as values, or those of the task that is duplicated. */
type Arguments = { readonly values: unknown[] } | { readonly isSame: true } | { readonly problem: string };

function readArguments(text: string): Arguments {
  let values: unknown;
  try {
    values = text.trim() === "" ? [] : JSON.parse(text);
  } catch (error) {
    return { problem: `This is not valid JSON: ${(error as Error).message}` };
  }
  return Array.isArray(values)
    ? { values }
    : { problem: "Write a list in JSON, such as [1, 3]: one argument after another" };
}

/** Reads the arguments of a duplicate: the stored ones, unless they or the name were edited. */
async function readCopied(context: PageContext, { name, params }: Fields, from: ShownTask): Promise<Arguments> {
  const { json, hidden } = await editArguments(context, from);
  if (name === from.func_name && (json === undefined || isSameText(params, json))) return { isSame: true };
  const args = readArguments(params);
  if ("problem" in args) return args;
  const text = JSON.stringify("values" in args ? args.values : []);
  const left = hidden.find((each) => text.includes(each));
  if (left === undefined) return args;
  return { problem: `Write a value in place of ${left}: a hidden one is copied only if no argument is edited` };
}

function readOptions(fields: Fields, { now, firefly }: PageContext): { options: Options; problems: FieldProblems } {
  const problems: FieldProblems = {};
  const [when, priority] = [readWhen(fields.notBefore, now), readPriority(fields.priority)];
  const [queue, unique] = [fields.queue || undefined, fields.unique || undefined];
  if (typeof when === "string") problems.notBefore = when;
  if (typeof priority === "string") problems.priority = priority;
  check(problems, "queue", () => queue !== undefined && checkQueueName(queue, "schedule it", firefly.schema));
  check(problems, "unique", () => unique !== undefined && checkScheduleOptions({ unique }, "schedule it"));
  const options = {
    queue,
    unique,
    when: typeof when === "string" ? undefined : when,
    priority: typeof priority === "string" ? undefined : priority,
  };
  return { options, problems };
}

function check(problems: FieldProblems, name: FieldName, run: () => unknown): void {
  try {
    run();
  } catch (error) {
    problems[name] = (error as Error).message;
  }
}

/** A task of a definition that this process does not have: what is null takes the value of the definition. */
function newTask(name: string, { queue, when, priority, unique }: Options, known: KnownTask): Omit<NewTask, "params"> {
  return {
    func_name: name,
    queue: queue ?? known.queue,
    priority: priority ?? 0,
    ...timesOf(when),
    max_retries: null,
    retry_delay: null,
    backoff: null,
    timeout: null,
    tags: [],
    ...uniqueOf(unique),
  };
}

/** A task with the options of another one. */
function copyOf(
  from: ShownTask,
  { queue, when, priority, unique }: Options,
  limits?: Limits,
): Omit<NewTask, "params"> {
  const { concurrency_key, rate_key } = from;
  const same = { ...concurrency_key === null ? {} : { concurrency_key }, ...rate_key === null ? {} : { rate_key } };
  return {
    func_name: from.func_name,
    queue: queue ?? from.queue,
    priority: priority ?? from.priority,
    ...timesOf(when),
    max_retries: from.max_retries,
    retry_delay: from.retry_delay,
    backoff: from.backoff,
    timeout: from.timeout,
    tags: from.tags,
    ...limits ?? same,
    ...uniqueOf(unique),
  };
}

function timesOf(when: When): Pick<NewTask, "not_before" | "delay"> {
  if (when === undefined) return { not_before: null, delay: null };
  if ("delay" in when) return { not_before: null, delay: when.delay };
  return { not_before: formatTime(when.notBefore), delay: null };
}

function uniqueOf(unique: string | undefined): Partial<NewTask> {
  return unique === undefined ? {} : { unique_key: unique, unique_among: null, unique_for: null, on_conflict: "keep" };
}

/** The arguments as they are stored: those of the other task as they are, where nothing binds them to another queue. */
async function storedParams(
  context: PageContext,
  { task, args, from }: { task: Omit<NewTask, "params">; args: Arguments; from: ShownTask | undefined },
): Promise<string | { problem: string }> {
  const { keys } = context.firefly;
  const place = { funcName: task.func_name, queue: task.queue, column: "params" } as const;
  if (!("values" in args) && from) {
    const plain = await decryptArguments(context, from);
    if (!isEncrypted(plain)) refuseResults(plain);
    if (isEncrypted(from.params) && from.queue === task.queue) return from.params;
    if (isEncrypted(plain)) return { problem: `Its arguments are encrypted for queue ${from.queue}` };
    return keys ? await keys.encrypt(plain, place) : plain;
  }
  const plain = await encode("values" in args ? args.values : []);
  return keys ? await keys.encrypt(plain, place) : plain;
}

/** Refuses to copy arguments that are results of other tasks: the copy would not depend on these. */
function refuseResults(params: string): void {
  let args: unknown;
  try {
    args = decodeTaskArguments(params, undefined);
  } catch {
    return; // they are copied as they are, whatever they are
  }
  if (args instanceof Incomplete) {
    throw new TypeError("Cannot copy arguments that are results of other tasks: enter values in their place");
  }
}

async function insert(context: PageContext, task: NewTask): Promise<Outcome> {
  const { database } = await context.firefly.connect();
  const [scheduled] = await scheduleTasks(database.records, [task], false);
  const { id } = scheduled!;
  return { id: Number(id), inserted: !("inserted" in scheduled!) || scheduled.inserted };
}
