import type { IgnorableReason } from "./options.ts";

/**
 * Why jobs are left where they are.
 *
 * - `running`: a worker of the other queue runs it
 * - `ended`: it has completed, failed for good or was cancelled
 * - `busy`: a worker took it, or another program added it, while the import ran
 * - `unknown-name`: no task has its name
 * - `arguments`: its data is not what the task takes, or cannot be stored
 * - `options`: an option of it is outside of what Firefly takes, such as a key of more than 1,000 bytes
 * - `duplicate`: a task with its unique key exists
 * - `dependencies`: it waits for other jobs, others wait for it, or it reads their results
 * - `scheduler`: it is the next job of a job scheduler of BullMQ, which makes one after another
 * - `expired`: pg-boss deletes it at its next maintenance, as it waited longer than its retention
 * - `internal`: it is a job of the library itself
 */
export type ImportReason =
  | "running"
  | "ended"
  | "busy"
  | "unknown-name"
  | "arguments"
  | "options"
  | "duplicate"
  | "dependencies"
  | "scheduler"
  | "expired"
  | "internal"
  | IgnorableReason;

/** Jobs that were imported, and have these in common. */
export interface ImportedJobs {
  /** Their name in the other queue. */
  readonly name: string;
  /** The queue of BullMQ that they were in; null for the other libraries. */
  readonly sourceQueue: string | null;
  /** The name of their task. */
  readonly task: string;
  /** The queue that they are in now. */
  readonly queue: string;
  /** How they waited: to be taken, for their time, or for their next attempt. */
  readonly state: "waiting" | "delayed" | "retrying";
  /** How many there are. */
  readonly count: number;
}

/** Jobs that were left where they are, and have these in common. */
export interface LeftJobs {
  /** Their name in the other queue; null where it was not read. */
  readonly name: string | null;
  /** The queue of BullMQ that they are in; null for the other libraries. */
  readonly sourceQueue: string | null;
  /** The reason, for programs. */
  readonly reason: ImportReason;
  /** The reason, for people: that of the first of them. */
  readonly detail: string;
  /** How many there are. */
  readonly count: number;
  /** The ids of up to five. */
  readonly ids: string[];
}

/** A schedule of the other queue, which is left: write it as the `cron` of a task. */
export interface FoundSchedule {
  /** The name of the jobs that it makes. */
  readonly name: string;
  /** Its cron expression or interval; null where only the code of the application has it. */
  readonly cron: string | null;
  /** Its time zone; null for that of the library. */
  readonly timezone: string | null;
  /** The data of its jobs, as JSON; null if it has none. */
  readonly data: string | null;
}

/** What an import has done, or in a dry run would do. */
export interface ImportReport {
  /** The other queue. */
  readonly source: "pg-boss" | "graphile-worker" | "bullmq";
  /** The layout that was found, such as `schema 46`. */
  readonly version: string;
  /** Whether nothing was changed. */
  readonly dryRun: boolean;
  /** How many jobs are tasks now. */
  readonly imported: number;
  /** The same by name, queue and state. */
  readonly jobs: ImportedJobs[];
  /** The jobs that were left, by name and reason. */
  readonly left: LeftJobs[];
  /** The schedules of the other queue. */
  readonly schedules: FoundSchedule[];
  /** What was done about earlier imports from BullMQ that did not end. */
  readonly recovered: {
    /** Jobs that had become tasks, and were removed from BullMQ now. */
    readonly removed: number;
    /** Jobs that had not, and are back in BullMQ. */
    readonly returned: number;
  };
}

/** How many ids of left jobs a report has for each reason. */
const EXAMPLES = 5;

/** Counts jobs that are imported, and jobs that are left. */
export class Tally {
  readonly #imported = new Map<string, ImportedJobs & { count: number }>();
  readonly #left = new Map<string, LeftJobs & { count: number }>();
  /** How many jobs were read. */
  read = 0;
  /** How many are tasks now. */
  imported = 0;

  /** Counts a job that was imported. */
  addImported(jobs: Omit<ImportedJobs, "count">): void {
    this.imported++;
    const key = JSON.stringify([jobs.name, jobs.sourceQueue, jobs.task, jobs.queue, jobs.state]);
    const group = this.#imported.get(key);
    if (group) group.count++;
    else this.#imported.set(key, { ...jobs, count: 1 });
  }

  /** Counts jobs that were left. */
  addLeft(jobs: Omit<LeftJobs, "count" | "ids"> & { count?: number; ids?: readonly string[] }): void {
    const { count = 1, ids = [], ...rest } = jobs;
    if (count <= 0) return;
    const key = JSON.stringify([rest.name, rest.sourceQueue, rest.reason]);
    let group = this.#left.get(key);
    if (!group) this.#left.set(key, group = { ...rest, count: 0, ids: [] });
    group.count += count;
    group.ids.push(...ids.slice(0, EXAMPLES - group.ids.length));
  }

  /** How many jobs of a name were imported, and how many were left that wait. */
  countsOf(name: string): { imported: number; left: number } {
    const sum = (groups: Iterable<{ name: string | null; count: number }>) =>
      Array.from(groups).reduce((total, group) => total + (group.name === name ? group.count : 0), 0);
    const left = [...this.#left.values()].filter(({ reason }) => isWaiting(reason));
    return { imported: sum(this.#imported.values()), left: sum(left) };
  }

  /** The counts, sorted by name. */
  toGroups(): Pick<ImportReport, "imported" | "jobs" | "left"> {
    const byName = (a: { name: string | null }, b: { name: string | null }) =>
      (a.name ?? "") < (b.name ?? "") ? -1 : (a.name ?? "") > (b.name ?? "") ? 1 : 0;
    return {
      imported: this.imported,
      jobs: [...this.#imported.values()].sort(byName),
      left: [...this.#left.values()].sort(byName),
    };
  }
}

/** Whether jobs that were left for this reason still wait to run in the other queue. */
export function isWaiting(reason: ImportReason): boolean {
  return reason !== "running" && reason !== "ended";
}
