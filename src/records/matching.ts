import type { Tag } from "../database/driver.ts";
import { findPlaced, type ListedRow, listRecords, newestBelow } from "../store/records.ts";
import { CREATED_STATES, type TaskFilter, type TaskState } from "../task/record.ts";

/** How many ids to find at a time, and of how many to read the records at a time. */
const [IDS, READ] = [10_000, 1_000];
/** How many ids one statement looks at that decodes arguments, which takes up to 10 µs each: a statement may take 15 s. */
const DECODED = 100_000;
/** The states whose tasks are found without reading all records. */
const PLACED: readonly TaskState[] = [...CREATED_STATES, "running"];

/** The records that match a filter, from the newest to the oldest. */
export class Matching {
  readonly #sql: Tag;
  readonly #filter: TaskFilter;
  /** The states, if all of them can be found by their ids. */
  readonly #states: TaskState[] | undefined;
  /** The ids that were found, newest first, and whether there may be more below them. */
  #found: { ids: number[]; isAll: boolean } | undefined;

  constructor(sql: Tag, filter: TaskFilter) {
    this.#sql = sql;
    this.#filter = filter;
    const states = [filter.status ?? []].flat() as TaskState[];
    const canFind = !filter.ids && states.length > 0 && states.every((state) => PLACED.includes(state));
    this.#states = canFind ? states : undefined;
  }

  /** Reads the newest records below `before`. The next call must go on below these. */
  async list({ limit, before }: { limit: number; before: number | null }): Promise<ListedRow[]> {
    if (!this.#states) {
      const isDecoding = this.#filter.params !== undefined && !this.#filter.ids;
      return await (isDecoding
        ? this.#listDecoded(limit, before)
        : listRecords(this.#sql, this.#filter, { limit, before }));
    }
    const rows: ListedRow[] = [];
    for (let below = before; rows.length < limit;) {
      const ids = await this.#idsBelow(below);
      if (ids.length === 0) break;
      const filter = { ...this.#filter, ids };
      rows.push(...await listRecords(this.#sql, filter, { limit: limit - rows.length, before: null }));
      below = ids.at(-1)!;
    }
    return rows;
  }

  async #listDecoded(limit: number, before: number | null): Promise<ListedRow[]> {
    const rows: ListedRow[] = [];
    for (let below = before; rows.length < limit;) {
      const newest = await newestBelow(this.#sql, below);
      if (newest === null) break;
      const from = newest - DECODED;
      const part = { limit: limit - rows.length, before: newest + 1, from };
      rows.push(...await listRecords(this.#sql, this.#filter, part));
      below = from;
    }
    return rows;
  }

  /** The next ids below `below`. */
  async #idsBelow(below: number | null): Promise<number[]> {
    const known = this.#found?.ids.findIndex((id) => below === null || id < below) ?? -1;
    if (known >= 0) return this.#found!.ids.slice(known, known + READ);
    if (this.#found?.isAll) return [];
    const ids = await findPlaced(this.#sql, this.#states!, { limit: IDS, before: below });
    this.#found = { ids, isAll: ids.length < IDS };
    return ids.slice(0, READ);
  }
}
