import { HOLD_JOBS, LIST_SCHEDULES, READ_JOBS, REMOVE_JOBS, RETURN_JOBS } from "./bullmq_scripts.ts";
import type { SendCommand } from "./redis.ts";
import type { FoundSchedule } from "./report.ts";

/** The lists from which workers take jobs, each in the order in which they do. */
export type BullList = "wait" | "paused" | "prioritized" | "delayed";

/** A job that waits, and where. */
export interface ListedJob {
  readonly id: string;
  readonly list: BullList;
  /** When a delayed job is due, in milliseconds since 1970. */
  readonly due?: number;
}

/** A job as Redis has it. */
export interface BullJob {
  readonly id: string;
  readonly name: string;
  readonly data: string;
  readonly opts: string;
  readonly priority: number;
  readonly attemptsMade: number;
  /** The scheduler that made it. */
  readonly scheduler: string | null;
  readonly deduplicationId: string | null;
  readonly parentKey: string | null;
  /** The error with which it is to fail when a worker takes it. */
  readonly deferredFailure: string | null;
  readonly hasChildren: boolean;
}

/** How many jobs one script takes: while it runs, Redis does nothing else. */
const BATCH = 500;

/** The score of a delayed job is its time with 12 bits behind it, which keep jobs of one time in order. */
const SCORE_PER_MILLISECOND = 0x1000;

/** A queue of BullMQ, and what an import does to it. */
export class BullQueue {
  readonly name: string;
  /** The part that all of its keys begin with. */
  readonly base: string;
  readonly #send: SendCommand;

  constructor(send: SendCommand, { prefix, name }: { prefix: string; name: string }) {
    this.#send = send;
    this.name = name;
    this.base = `${prefix}:${name}`;
  }

  /** The version of BullMQ that opened the queue last; undefined if it says none. */
  async version(): Promise<string | undefined> {
    const text = await this.#send("HGET", `${this.base}:meta`, "version") as string | null;
    return /^bullmq(?:-pro)?:(\d+\.\d+\.\d+\S*)$/.exec(text ?? "")?.[1];
  }

  /** Lists the jobs that wait, in the order in which workers take them. */
  async listWaiting(): Promise<ListedJob[]> {
    const jobs: ListedJob[] = [];
    for (const list of ["wait", "paused"] as const) {
      const ids = await this.#send("LRANGE", `${this.base}:${list}`, "0", "-1") as string[];
      // Workers take from the end. Early releases of BullMQ 5 put markers among the jobs, which begin so.
      for (const id of ids.reverse()) if (!id.startsWith("0:")) jobs.push({ id, list });
    }
    for (const id of await this.#send("ZRANGE", `${this.base}:prioritized`, "0", "-1") as string[]) {
      jobs.push({ id, list: "prioritized" });
    }
    const delayed = await this.#send("ZRANGE", `${this.base}:delayed`, "0", "-1", "WITHSCORES") as unknown[];
    for (const [id, score] of pairsOf(delayed)) {
      jobs.push({ id, list: "delayed", due: Math.floor(Number(score) / SCORE_PER_MILLISECOND) });
    }
    return jobs;
  }

  /** Lists the ids of the jobs that run. */
  async listRunning(): Promise<string[]> {
    return await this.#send("LRANGE", `${this.base}:active`, "0", "-1") as string[];
  }

  /** Counts the jobs in one of the sets that no worker takes jobs from. */
  async count(set: "completed" | "failed" | "waiting-children"): Promise<number> {
    return Number(await this.#send("ZCARD", `${this.base}:${set}`));
  }

  /** Reads jobs, but for those that are gone. */
  async read(ids: readonly string[]): Promise<BullJob[]> {
    return await this.#inBatches(ids, 1, async (part) => toJobs(await this.#run(READ_JOBS, part)));
  }

  /** Holds jobs for an import into `target`, and reads them; those that a worker has taken stay. */
  async hold(jobs: readonly ListedJob[], { id, target }: { id: string; target: string }): Promise<BullJob[]> {
    const args = jobs.flatMap(({ id, list }) => [id, list]);
    return await this.#inBatches(args, 2, async (part) => toJobs(await this.#run(HOLD_JOBS, [id, target, ...part])));
  }

  /** Returns jobs that an import holds to where they were; `ids` have the last taken first. Returns how many. */
  async giveBack(importId: string, ids: readonly string[], major: number): Promise<number> {
    const counts = await this.#inBatches(ids, 1, async (part) => [
      Number(await this.#run(RETURN_JOBS, [importId, String(major), ...part])),
    ]);
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /** Removes jobs that an import holds, with all that BullMQ stores about them. Returns how many. */
  async remove(importId: string, ids: readonly string[]): Promise<number> {
    const counts = await this.#inBatches(ids, 1, async (part) => [
      Number(await this.#run(REMOVE_JOBS, [importId, ...part])),
    ]);
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /** Forgets an import that holds no job any more. */
  async forget(importId: string): Promise<void> {
    await this.#send("HDEL", `${this.base}:firefly:import:held:index`, importId);
  }

  /** The imports that hold jobs, or did, each with the database that it imports into. */
  async imports(): Promise<{ id: string; target: string }[]> {
    const fields = await this.#readHash(`${this.base}:firefly:import:held:index`);
    return fields.map(([id, target]) => ({ id, target }));
  }

  /** The ids of the jobs that an import holds, the last taken first. */
  async held(importId: string): Promise<string[]> {
    const fields = await this.#readHash(`${this.base}:firefly:import:held:${importId}`);
    const order = (origin: string) => parseInt(origin, 10);
    return fields.sort(([, a], [, b]) => order(b) - order(a)).map(([id]) => id);
  }

  async schedules(): Promise<FoundSchedule[]> {
    const found = await this.#run(LIST_SCHEDULES, []) as (string | null)[][];
    return found.map(([id, name, pattern, every, timezone, data]) => ({
      name: name ?? id!,
      cron: pattern ?? (every ? `every ${Number(every) / 1000} s` : null),
      timezone: timezone ?? null,
      data: data ?? null,
    }));
  }

  async #readHash(key: string): Promise<[field: string, value: string][]> {
    const answer = await this.#send("HGETALL", key);
    return Array.isArray(answer) ? pairsOf(answer) : Object.entries(answer as Record<string, string>);
  }

  async #run(script: string, args: readonly string[]): Promise<unknown> {
    return await this.#send("EVAL", script, "1", this.base, ...args);
  }

  /** Calls `run` with parts of `args`, each with the `size` arguments of up to {@linkcode BATCH} jobs. */
  async #inBatches<T>(args: readonly string[], size: number, run: (part: string[]) => Promise<T[]>): Promise<T[]> {
    const results: T[] = [];
    for (let i = 0; i < args.length; i += BATCH * size) results.push(...await run(args.slice(i, i + BATCH * size)));
    return results;
  }
}

/** The pairs of an answer: a flat list in RESP2, a list of pairs in RESP3. */
function pairsOf(answer: readonly unknown[]): [string, string][] {
  const flat = answer.flat();
  return Array.from({ length: flat.length / 2 }, (_, i) => [String(flat[2 * i]), String(flat[2 * i + 1])]);
}

function toJobs(answer: unknown): BullJob[] {
  return (answer as (string | number | null)[][]).map(
    ([id, name, data, opts, priority, made, scheduler, deduplication, parentKey, failure, children]) => ({
      id: String(id),
      name: String(name ?? ""),
      data: String(data ?? ""),
      opts: String(opts ?? ""),
      priority: Number(priority ?? 0),
      attemptsMade: Number(made ?? 0),
      scheduler: text(scheduler),
      deduplicationId: text(deduplication),
      parentKey: text(parentKey),
      deferredFailure: text(failure),
      hasChildren: Number(children ?? 0) > 0,
    }),
  );
}

function text(value: string | number | null | undefined): string | null {
  return value === null || value === undefined || value === "" ? null : String(value);
}
