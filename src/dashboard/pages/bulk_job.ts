import type { Firefly } from "../../firefly/firefly.ts";
import type { BulkOptions } from "../../records/bulk.ts";
import type { RescheduleOptions, TaskFilter } from "../../task/record.ts";
import type { PageContext } from "../context.ts";
import { describeFailure } from "../parts/failures.ts";
import type { TaskQuery } from "../task_query.ts";
import type { BulkName } from "./bulk_actions.ts";
import { MAX_TASKS, selectTasks } from "./bulk_selection.ts";

/** How many tasks one call of the public API changes. */
const BATCH = 1_000;
/** For how long a job that has ended can be looked at, in milliseconds, and how many of them. */
const [KEPT_FOR, KEPT] = [3_600_000, 100];

/** What a job is to do. */
export interface JobOrder {
  readonly name: BulkName;
  /** The tasks, whose states are those that the action changes. */
  readonly query: TaskQuery;
  /** How many tasks were counted: no more are changed. */
  readonly count: number;
  /** The largest id when they were counted: tasks of later ids are left alone. */
  readonly last: number;
  readonly changes?: RescheduleOptions | undefined;
  /** The page to go back to. */
  readonly back: { readonly path: string; readonly q: string | undefined };
}

/** An action on many tasks that goes on while pages are looked at. */
export class Job {
  readonly id: string = crypto.randomUUID();
  readonly order: JobOrder;
  /** How many tasks it has changed, and how many it left alone as they had changed meanwhile. */
  done = 0;
  left = 0;
  /** Undefined while it runs. */
  ended: { readonly at: number; readonly problem?: string } | undefined;
  readonly finished: Promise<void>;
  readonly #stop = new AbortController();

  constructor(context: PageContext, order: JobOrder) {
    this.order = order;
    this.finished = this.#run(context).then(
      () => this.#end(),
      (error) => {
        if (this.#stop.signal.aborted) return this.#end("It was stopped.");
        context.report(error);
        this.#end(describeFailure(error).detail);
      },
    );
  }

  /** Stops it after the batch that is under way. */
  stop(): void {
    this.#stop.abort();
  }

  #end(problem?: string): void {
    this.ended = { at: performance.now(), ...problem === undefined ? {} : { problem } };
  }

  async #run(context: PageContext): Promise<void> {
    const { query, last, count } = this.order;
    let [seen, problem] = [0, undefined as unknown];
    const most = Math.min(count, MAX_TASKS);
    for await (const { ids } of selectTasks(context, query)) {
      const chosen = ids.filter((id) => id <= last).slice(0, most - seen);
      seen += chosen.length;
      for (let at = 0; at < chosen.length; at += BATCH) {
        this.#stop.signal.throwIfAborted();
        const { done, left } = this;
        const batch = chosen.slice(at, at + BATCH);
        try {
          await this.#act(context.firefly, batch);
        } catch (error) {
          // Those that a trigger of the user's refuses are left, and the others are done.
          problem ??= error;
        }
        this.left = left + batch.length - (this.done - done);
      }
      if (seen >= most) break;
    }
    if (problem !== undefined) throw problem;
  }

  async #act({ tasks }: Firefly, ids: number[]): Promise<void> {
    const { name, query: { states }, changes } = this.order;
    const filter: TaskFilter = { ids, ...states ? { status: [...states] } : {} };
    const before = this.done;
    const options: BulkOptions = { onProgress: (done) => this.done = before + done };
    if (name === "retry") await tasks.retry(filter, options);
    else if (name === "run") await tasks.run(filter, options);
    else if (name === "cancel") await tasks.cancel(filter, options);
    else if (name === "delete") await tasks.delete(filter, options);
    else await tasks.reschedule(filter, changes!, options);
  }
}

const jobs = new WeakMap<Firefly, Map<string, Job>>();

/** Starts a job, which this process keeps in mind for an hour. */
export function startJob(context: PageContext, order: JobOrder): Job {
  const own = jobs.get(context.firefly) ?? new Map<string, Job>();
  jobs.set(context.firefly, own);
  for (const [id, { ended }] of own) {
    if (ended && (performance.now() - ended.at > KEPT_FOR || own.size >= KEPT)) own.delete(id);
  }
  const job = new Job(context, order);
  own.set(job.id, job);
  return job;
}

/** Finds a job of this process. */
export function findJob({ firefly }: PageContext, id: string): Job | undefined {
  return jobs.get(firefly)?.get(id);
}
