import type { Tag } from "../database/driver.ts";
import { findHeldKeys } from "../store/import/relations.ts";
import { scheduleTasks } from "../store/schedule.ts";
import type { Planned, PlannedTask } from "./planner.ts";
import type { LeftJobs, Tally } from "./report.ts";
import type { WaitingJob } from "./waiting_job.ts";

/**
 * Schedules the tasks of `planned`, and counts all of them. A duplicate of a task that exists is left. Returns the jobs
 * that are tasks now.
 */
export async function insertPlanned(sql: Tag, planned: readonly Planned[], tally: Tally): Promise<WaitingJob[]> {
  const wanted = planned.filter((one) => "task" in one);
  const scheduled = wanted.length > 0 ? await scheduleTasks(sql, wanted.map(({ task }) => task), false) : [];
  const moved: WaitingJob[] = [];
  for (const [i, one] of wanted.entries()) {
    const task = scheduled[i]!;
    if ("inserted" in task && !task.inserted) countDuplicate(tally, one, `task ${task.id}`);
    else {
      countImported(tally, one);
      moved.push(one.job);
    }
  }
  countLeft(tally, planned);
  return moved;
}

/** Counts what {@linkcode insertPlanned} would do, in one dry run over all batches. */
export class DryRun {
  readonly #keys = new Set<string>();

  /** Counts a batch. */
  async count(sql: Tag, planned: readonly Planned[], tally: Tally): Promise<void> {
    const wanted = planned.filter((one) => "task" in one);
    const keyed = wanted.flatMap(({ task: { func_name: funcName, unique_key: key } }) =>
      key === undefined ? [] : [{ funcName, key }]
    );
    const held = keyed.length > 0 ? await findHeldKeys(sql, keyed) : [];
    const holders = new Map(held.map(({ funcName, key, taskId }) => [JSON.stringify([funcName, key]), taskId]));
    for (const one of wanted) {
      const { func_name, unique_key } = one.task;
      const key = unique_key === undefined ? undefined : JSON.stringify([func_name, unique_key]);
      if (key !== undefined && holders.has(key)) countDuplicate(tally, one, `task ${holders.get(key)}`);
      else if (key !== undefined && this.#keys.has(key)) countDuplicate(tally, one, "the task of an earlier job");
      else {
        if (key !== undefined) this.#keys.add(key);
        countImported(tally, one);
      }
    }
    countLeft(tally, planned);
  }
}

function placeOf({ name, sourceQueue }: WaitingJob): { name: string } & Pick<LeftJobs, "sourceQueue"> {
  return { name, sourceQueue: sourceQueue ?? null };
}

function countImported(tally: Tally, { job, task }: PlannedTask): void {
  tally.addImported({ ...placeOf(job), task: task.func_name, queue: task.queue, state: job.state });
}

function countDuplicate(tally: Tally, { job, task }: PlannedTask, holder: string): void {
  const detail = `${holder} has its unique key ${JSON.stringify(task.unique_key)}`;
  tally.addLeft({ ...placeOf(job), reason: "duplicate", detail, ids: [job.id] });
}

function countLeft(tally: Tally, planned: readonly Planned[]): void {
  tally.read += planned.length;
  for (const one of planned) {
    if ("left" in one) tally.addLeft({ ...placeOf(one.job), ...one.left, ids: [one.job.id] });
  }
}
