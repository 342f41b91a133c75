import type { Tag } from "../database/driver.ts";
import {
  findLogPlace,
  type LogFilter,
  type LogLine,
  type LogPlace,
  readLastLogId,
  readLogLines,
  readLogLinesAfter,
  readLogWriters,
} from "../store/log_lines.ts";

/** How many lines a statement looks at that searches for some: it may take 15 s. */
const EXAMINED = 20_000;
/** How many lines a statement reads at most. */
const READ = 5_000;
/** How far below the newest line one may be numbered that is not committed when a watch starts. */
const UNCOMMITTED = 10_000;

/** Reads the newest kept log lines that match, oldest first: `limit` at most, and none that was logged before `since`. */
export async function readLastLines(
  sql: Tag,
  filter: LogFilter,
  { limit, since }: { readonly limit: number; readonly since: Date | null },
): Promise<LogLine[]> {
  const isSearch = !filter.taskIds && Boolean(filter.names || filter.queues || filter.levels);
  const lines: LogLine[] = [];
  for (let before: LogPlace | null = null; lines.length < limit;) {
    const wanted = Math.min(limit - lines.length, READ);
    const range: { since: Date | null; before: LogPlace | null } = { since, before };
    const from = isSearch ? await findLogPlace(sql, { ...range, from: null, count: EXAMINED }) : null;
    const found = await readLogLines(sql, filter, { ...range, from, limit: wanted });
    lines.push(...found);
    if (found.length === wanted) before = found.at(-1)!.place;
    else if (from === null) break;
    else before = from;
  }
  return lines.reverse();
}

/**
 * Finds the lines that are stored from its start on, each once.
 *
 * Transactions commit in another order than they number their lines, so a line may appear below those that were read. The
 * ids up to which all lines are read rise only once every transaction has ended that may have numbered one below.
 */
export class LogWatch {
  readonly #sql: Tag;
  readonly #filter: LogFilter;
  /** All lines up to this id have been read, or will never be there. */
  #settled: number;
  /** The largest id that was there at the last read. */
  #last: number;
  /** The lines above `#settled` that were read. */
  readonly #read = new Set<number>();
  /** The transactions that may still commit lines up to an id. */
  #open: { readonly upTo: number; readonly writers: readonly string[] } | undefined;

  private constructor(sql: Tag, filter: LogFilter, last: number) {
    this.#sql = sql;
    this.#filter = filter;
    this.#last = last;
    this.#settled = Math.max(0, last - UNCOMMITTED);
  }

  /** Starts at the lines that are there now. */
  static async start(sql: Tag, filter: LogFilter): Promise<LogWatch> {
    const watch = new LogWatch(sql, filter, await readLastLogId(sql));
    await watch.#readNew();
    return watch;
  }

  /** Leaves out a line that is shown already. */
  skip({ id }: LogLine): void {
    if (id > this.#settled) this.#read.add(id);
  }

  /** Reads the lines that were stored since the last call, by their times. */
  async next(): Promise<LogLine[]> {
    const writers = await readLogWriters(this.#sql);
    const open = this.#open ??= { upTo: this.#last, writers };
    const isOver = !open.writers.some((writer) => writers.includes(writer));
    const lines = await this.#readNew();
    if (isOver) {
      this.#settled = open.upTo;
      for (const id of this.#read) if (id <= open.upTo) this.#read.delete(id);
      this.#open = undefined;
    }
    return lines.sort((a, b) => a.at.getTime() - b.at.getTime() || a.id - b.id);
  }

  async #readNew(): Promise<LogLine[]> {
    // Before the lines: one that is committed in between is read again.
    const last = await readLastLogId(this.#sql);
    const lines: LogLine[] = [];
    for (let isFull = true; isFull;) {
      const except = [...this.#read, ...lines.map(({ id }) => id)];
      const part = await readLogLinesAfter(this.#sql, this.#filter, { after: this.#settled, except, limit: READ });
      lines.push(...part);
      isFull = part.length === READ;
    }
    for (const { id } of lines) this.#read.add(id);
    this.#last = Math.max(this.#last, last);
    return lines;
  }
}
