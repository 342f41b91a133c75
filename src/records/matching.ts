import type { Tag } from "../database/driver.ts";
import { findPlaced, placedStates } from "../store/placed.ts";
import { type ListedPart, newestBelow } from "../store/records.ts";
import { toNumber } from "../store/rows.ts";
import type { TaskFilter, TaskState } from "../task/record.ts";

/** How many ids to find at a time, and of how many to read the records at a time. */
const [IDS, READ] = [10_000, 1_000];
/** How many ids one statement looks at that decodes arguments, which takes up to 10 µs each: a statement may take 15 s. */
const DECODED = 100_000;

/** Reads a part of the records that match a filter, newest first. */
type Read<Row> = (sql: Tag, filter: TaskFilter, part: ListedPart) => Promise<Row[]>;

/** The records that match a filter, from the newest to the oldest, as `read` reads them. */
export class Matching<Row extends { id: string }> {
  readonly #sql: Tag;
  readonly #filter: TaskFilter;
  readonly #read: Read<Row>;
  readonly #large: number | undefined;
  /** The states, if all of them can be found by their ids. */
  #states: Promise<TaskState[] | undefined> | undefined;
  /** The ids that were found, newest first, and whether there may be more below them. */
  #found: { ids: number[]; isAll: boolean } | undefined;

  /** `large` is from how many bytes on records are many. */
  constructor(sql: Tag, filter: TaskFilter, { read, large }: { read: Read<Row>; large?: number }) {
    this.#sql = sql;
    this.#filter = filter;
    this.#read = read;
    this.#large = large;
  }

  /**
   * Reads the newest records below `before`, and the id below which others may follow; null if none do. It examines no
   * more than `examine` records.
   */
  async page(
    { limit, before, examine }: { limit: number; before: number | null; examine: number | undefined },
  ): Promise<{ rows: Row[]; next: number | null }> {
    if (examine === undefined || this.#filter.ids || await this.#findStates()) {
      const rows = await this.list({ limit, before });
      return { rows, next: rows.length < limit ? null : toNumber(rows.at(-1)!.id) };
    }
    const newest = await newestBelow(this.#sql, before);
    if (newest === null) return { rows: [], next: null };
    const from = newest - examine + 1;
    const rows = await this.#read(this.#sql, this.#filter, { limit, before: newest + 1, from });
    if (rows.length === limit) return { rows, next: toNumber(rows.at(-1)!.id) };
    return { rows, next: await newestBelow(this.#sql, from) === null ? null : from };
  }

  #findStates(): Promise<TaskState[] | undefined> {
    const options = { others: ["unplaced" as const], large: this.#large };
    return this.#states ??= placedStates(this.#sql, this.#filter, options);
  }

  /** Reads the newest records below `before`. The next call must go on below these. */
  async list({ limit, before }: { limit: number; before: number | null }): Promise<Row[]> {
    const states = await this.#findStates();
    if (!states) {
      const isDecoding = this.#filter.params !== undefined && !this.#filter.ids;
      return await (isDecoding
        ? this.#listDecoded(limit, before)
        : this.#read(this.#sql, this.#filter, { limit, before }));
    }
    const rows: Row[] = [];
    for (let below = before; rows.length < limit;) {
      const ids = await this.#idsBelow(states, below);
      if (ids.length === 0) break;
      const filter = { ...this.#filter, ids };
      rows.push(...await this.#read(this.#sql, filter, { limit: limit - rows.length, before: null }));
      below = ids.at(-1)!;
    }
    return rows;
  }

  async #listDecoded(limit: number, before: number | null): Promise<Row[]> {
    const rows: Row[] = [];
    for (let below = before; rows.length < limit;) {
      const newest = await newestBelow(this.#sql, below);
      if (newest === null) break;
      const from = newest - DECODED;
      const part = { limit: limit - rows.length, before: newest + 1, from };
      rows.push(...await this.#read(this.#sql, this.#filter, part));
      below = from;
    }
    return rows;
  }

  /** The next ids below `below`. */
  async #idsBelow(states: TaskState[], below: number | null): Promise<number[]> {
    const known = this.#found?.ids.findIndex((id) => below === null || id < below) ?? -1;
    if (known >= 0) return this.#found!.ids.slice(known, known + READ);
    if (this.#found?.isAll) return [];
    const ids = await findPlaced(this.#sql, this.#filter, { states, limit: IDS, before: below });
    this.#found = { ids, isAll: ids.length < IDS };
    return ids.slice(0, READ);
  }
}
