import type { Firefly } from "../firefly/firefly.ts";
import { prepareTasks } from "../schedule/new_tasks.ts";
import type { NewTask } from "../store/new_task.ts";
import { didYouMean } from "../suggest.ts";
import { checkScheduleOptions, type TaskDefinition } from "../task/definition.ts";
import type { ScheduleOptions } from "../task/options.ts";
import { registry } from "../task/scope.ts";
import { partsOf } from "../thrown.ts";
import type { ImportOptions } from "./options.ts";
import type { Obstacle, WaitingJob } from "./waiting_job.ts";

/** A job with the task that is to be scheduled for it, or with the reason why there is none. */
export type Planned = PlannedTask | PlannedLeft;

/** A job with its task. */
export interface PlannedTask {
  readonly job: WaitingJob;
  readonly task: NewTask;
}

/** A job with the reason to leave it. */
export interface PlannedLeft {
  readonly job: WaitingJob;
  readonly left: Obstacle;
}

const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

/** Makes tasks of jobs, as `schedule()` would: validated, encoded, encrypted, with the keys of the task's definition. */
export class Planner {
  readonly #firefly: Firefly;
  readonly #options: ImportOptions;
  readonly #ignored: ReadonlySet<string>;

  constructor(firefly: Firefly, options: ImportOptions) {
    this.#firefly = firefly;
    this.#options = options;
    this.#ignored = new Set(options.ignore);
  }

  /** Makes the task of a job, or finds the reason why it must be left. */
  async plan(job: WaitingJob): Promise<Planned> {
    if (job.obstacle) return { job, left: job.obstacle };
    const name = this.#mapped(job.name);
    const definition = registry.get(name)?.definition;
    if (!definition) return { job, left: unknownName(job.name, name) };
    const obstacle = job.softObstacles.find(({ reason, unless }) =>
      !this.#ignored.has(reason) && !(unless && definition[unless] !== undefined)
    );
    if (obstacle) return { job, left: obstacle };
    const args = this.#argumentsOf(job);
    if (!Array.isArray(args)) return { job, left: args };
    const action = `schedule task "${definition.name}"`;
    const options = this.#scheduleOptionsOf(job, definition);
    try {
      checkScheduleOptions(options, action);
    } catch (error) {
      return { job, left: { reason: "options", detail: partsOf(error).message } };
    }
    return await this.#prepare(job, { definition, args, options });
  }

  async #prepare(
    job: WaitingJob,
    { definition, args, options }: { definition: TaskDefinition; args: unknown[]; options: ScheduleOptions },
  ): Promise<Planned> {
    const { schema, keys, options: { defaults = {} } } = this.#firefly;
    try {
      const { tasks: [task] } = await prepareTasks(definition, [args], { options, defaults, schema, keys });
      if (job.traceparent && TRACEPARENT.test(job.traceparent)) task!.traceparent = job.traceparent;
      return { job, task: task! };
    } catch (error) {
      return { job, left: { reason: "arguments", detail: partsOf(error).message } };
    }
  }

  #mapped(name: string): string {
    const { map = {} } = this.#options;
    return Object.hasOwn(map, name) ? map[name]! : name;
  }

  /** The arguments of the handler; a job without data has none. */
  #argumentsOf({ data }: WaitingJob): unknown[] | Obstacle {
    if (data === null) return [];
    let value: unknown;
    try {
      value = JSON.parse(data);
    } catch (error) {
      return { reason: "arguments", detail: `its data is not JSON: ${partsOf(error).message}` };
    }
    if (this.#options.arguments !== "spread") return [value];
    return Array.isArray(value)
      ? value
      : { reason: "arguments", detail: "its data is not a list, so it cannot be spread" };
  }

  #scheduleOptionsOf(job: WaitingJob, definition: TaskDefinition): ScheduleOptions {
    const { queue: chosen = {} } = this.#options;
    const queue = typeof chosen === "string"
      ? chosen
      : job.queue !== null && Object.hasOwn(chosen, job.queue)
      ? chosen[job.queue]
      : undefined;
    const isUsual = (definition.retryDelay ?? this.#firefly.options.defaults?.retryDelay) === undefined;
    const retryDelay = job.retryDelay ?? (isUsual ? job.usualRetryDelay : undefined);
    // A duplicate stays where it is, so that nothing is replaced, and no error ends the import.
    const unique = definition.unique !== undefined
      ? { onConflict: "keep" as const }
      : job.unique && { ...job.unique, onConflict: "keep" as const };
    return {
      ...(queue === undefined ? {} : { queue }),
      ...(job.due === undefined ? {} : { notBefore: new Date(job.due) }),
      ...(retryDelay === undefined ? {} : { retryDelay }),
      ...(job.timeout === undefined ? {} : { timeout: job.timeout }),
      ...(unique === undefined ? {} : { unique }),
      priority: job.priority,
      maxRetries: job.maxRetries,
      tags: job.tags,
    };
  }
}

function unknownName(given: string, name: string): Obstacle {
  const hint = didYouMean(name, [...registry.keys()]) || `: name its task with the option map, "${given}=…"`;
  return { reason: "unknown-name", detail: `no task is named "${name}"${hint}` };
}
