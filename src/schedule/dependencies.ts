import { FireflyError } from "../errors.ts";
import type { Dependency, NewTask } from "../store/new_task.ts";
import { resultSourceOf } from "../task/result_of.ts";
import type { ResultSource, ScheduledCall } from "../task/scheduled_call.ts";
import { encodeMissing } from "../wire/missing.ts";
import type { JsonObject } from "../wire/format.ts";

/** A task that a new one depends on. */
export interface PreparedDependency {
  /** The call that schedules it, while its id is not known, and its place in that call. */
  readonly call: ScheduledCall | undefined;
  readonly index: number;
  readonly id: number;
  readonly settled: boolean;
}

/** A task that is about to be inserted, and those that it depends on. */
export interface PreparedTask extends Omit<NewTask, "depends"> {
  /** Absent where it depends on none. */
  depends?: readonly PreparedDependency[];
}

/** The dependencies of one task, in the order in which they were found, each once. */
export class Dependencies {
  readonly list: PreparedDependency[] = [];
  /** Whether results of some of them are among the arguments. */
  hasResults = false;
  readonly #ordinals = new Map<ScheduledCall | undefined, Map<string, number>>();

  /** Adds a source of results that stands in the arguments, and returns the JSON that is stored in its place. */
  substitute(source: ResultSource): JsonObject | JsonObject[] {
    const { settled } = source;
    this.hasResults = true;
    const nodes = this.add(source).map((ordinal) => encodeMissing({ ordinal, settled }));
    return source.count === undefined ? nodes[0]! : nodes;
  }

  /** Adds the tasks of a source, and returns their ordinals. */
  add({ call, id, count, settled }: ResultSource): number[] {
    call?.done?.catch(() => {}); // the call that depends on it reports why it was not scheduled
    return Array.from({ length: count ?? 1 }, (_, index) => this.#add({ call, id, index, settled }));
  }

  #add(dependency: PreparedDependency): number {
    const { call, id, index, settled } = dependency;
    let ordinals = this.#ordinals.get(call);
    if (!ordinals) this.#ordinals.set(call, ordinals = new Map());
    const key = `${id} ${index} ${settled}`;
    const known = ordinals.get(key);
    if (known !== undefined) return known;
    ordinals.set(key, this.list.length);
    return this.list.push(dependency) - 1;
  }
}

/** Returns the source that stands for a task of `after`. */
export function sourceOf(task: unknown): ResultSource {
  return typeof task === "number"
    ? { call: undefined, id: task, count: undefined, settled: false }
    : resultSourceOf(task)!;
}

/** Whether results of tasks are among arguments. */
export function hasResults(args: unknown[]): boolean {
  return args.some((part) => resultSourceOf(part) !== undefined || Array.isArray(part) && hasResults(part));
}

/** Returns arguments for functions that compute keys: in place of each result, what throws when it is used. */
export function withoutResults(args: unknown[], action: string): unknown[] {
  const refuse = () => {
    throw new TypeError(`Cannot ${action} as a key is computed of an argument that is the result of another task`);
  };
  const handler: ProxyHandler<object> = { get: refuse, has: refuse, ownKeys: refuse, getOwnPropertyDescriptor: refuse };
  const replace = (part: unknown): unknown => {
    if (resultSourceOf(part)) return new Proxy({}, handler);
    return Array.isArray(part) && hasResults(part) ? part.map(replace) : part;
  };
  return args.map(replace);
}

/** Whether none of these tasks depends on others. */
export function areIndependent(tasks: PreparedTask[]): tasks is (PreparedTask & { depends?: never })[] {
  return tasks.every(({ depends }) => depends === undefined);
}

/** Waits until all that these tasks depend on was given to `inserter`, or was scheduled elsewhere. */
export async function whenPlaced(tasks: readonly PreparedTask[], inserter: object): Promise<void> {
  for (const call of callsOf(tasks)) {
    if (!call.isPlaced) await scheduled(call.whenPlaced(), tasks);
    if (call.inserter !== inserter) await scheduled(call.done, tasks);
  }
}

function callsOf(tasks: readonly PreparedTask[]): Set<ScheduledCall> {
  const calls = tasks.flatMap(({ depends = [] }) => depends.map(({ call }) => call));
  return new Set(calls.filter((call) => call !== undefined));
}

/**
 * Makes tasks as they are inserted, by one statement: a dependency that is inserted by it, too, is named by its place, and
 * any other by its id, for which this waits.
 *
 * @throws {FireflyError} If a dependency could not be scheduled.
 */
export async function toInserted(tasks: readonly PreparedTask[]): Promise<NewTask[]> {
  const places = new Map<object, number>(tasks.map((task, place) => [task, place]));
  const inserted: NewTask[] = [];
  for (const [place, task] of tasks.entries()) {
    const depends: Dependency[] = [];
    for (const dependency of task.depends ?? []) {
      const { call, index, settled } = dependency;
      let id = call ? call.idOf(index) : dependency.id;
      const ref = id === undefined ? places.get(call!.tasks?.[index] as object) : undefined;
      if (id === undefined && (ref === undefined || ref >= place)) {
        await scheduled(call!.done, [task]);
        id = call!.idOf(index)!;
      }
      depends.push({ ...(id === undefined ? { ref: ref! } : { id }), ...(settled ? { settled } : {}) });
    }
    inserted.push(task.depends ? { ...task, depends } : task as NewTask);
  }
  return inserted;
}

async function scheduled(
  done: Promise<unknown> | undefined,
  tasks: readonly Pick<NewTask, "func_name">[],
): Promise<void> {
  try {
    await done;
  } catch (cause) {
    const name = tasks[0]!.func_name;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new FireflyError(`Cannot schedule task "${name}" as a task that it depends on was not scheduled: ${reason}`, {
      cause,
    });
  }
}
