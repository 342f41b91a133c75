import type { Tag } from "../../database/driver.ts";
import { nextAwaiting } from "../../store/task_lists_awaiting.ts";
import { findErrorGroups, nextFailed } from "../../store/task_lists_failed.ts";
import {
  keepMatching,
  nextDue,
  nextRunning,
  nextTimed,
  nextWaiting,
  type Placed,
  type TimeCursor,
} from "../../store/task_lists_places.ts";
import type { TaskConditions } from "../../store/task_lists.ts";
import { findIdAt, findIdBehind, readIdRange, statusesOf, walkTasks } from "../../store/task_lists_walk.ts";
import { WAIT_KINDS } from "../../store/waits.ts";
import { CREATED_STATES, type TaskState } from "../../task/record.ts";
import type { TaskQuery } from "../task_query.ts";

/** Which table has the tasks of a list, and so its order. */
export type SourceKind = "ids" | "due" | "timed" | "running" | "waiting" | "awaiting" | "failed" | "walk";

/** A part of a list. */
export interface Part {
  /** The tasks of it that meet the conditions, each with the place after which the list goes on. */
  readonly found: readonly { readonly id: number; readonly after: string }[];
  /** After which the next part begins; null at the end of the list. */
  readonly after: string | null;
  /** How many records were looked at. */
  readonly looked: number;
  /** The smallest id that was looked at, where the list goes by ids. */
  readonly down: number | null;
}

/** How many records a page looks at, and how many where it decodes arguments or looks up places: 5 to 30 ms. */
export const [LOOKED, LOOKED_CLOSELY] = [50_000, 5_000];
/** How far `created` may be out of the order of the ids, in ids. */
const SLACK = 10_000;
/** The states of tasks in `waiting`, with the reasons that they have there. */
const REASONS: Partial<Record<TaskState, readonly string[]>> = {
  delayed: ["time"],
  retrying: ["time"],
  limited: ["concurrency", "rate"],
  dependent: ["dependencies"],
  suspended: ["suspended"],
  unknown: ["unknown"],
};

/** The reasons for which tasks in these states are in `waiting`. */
export function reasonsOf(states: readonly TaskState[]): string[] {
  return [...new Set(states.flatMap((state) => REASONS[state] ?? []))];
}

/** The states of tasks that have not ended, of which a walk by id cannot tell one from another. */
export const OPEN: readonly TaskState[] = [...CREATED_STATES, "running"];

/** Reads the parts of what one table has. */
export class Source {
  readonly kind: SourceKind;
  readonly most: number;
  readonly #sql: Tag;
  readonly #query: TaskQuery;
  #range: Promise<{ from: number; below: number }> | undefined;
  #fingerprints: Promise<string[]> | undefined;

  constructor(sql: Tag, kind: SourceKind, query: TaskQuery) {
    this.#sql = sql;
    this.kind = kind;
    this.#query = query;
    this.most = query.conditions.args || (kind === "walk" && !this.isExact) ? LOOKED_CLOSELY : LOOKED;
  }

  get states(): readonly TaskState[] | null {
    return this.#query.states;
  }

  /** Whether the table tells the states apart that are asked for. */
  get isExact(): boolean {
    const { states, conditions } = this.#query;
    if (conditions.args) return false;
    const has = (state: TaskState) => states?.includes(state) ?? true;
    if (this.kind === "ids") return states === null;
    if (this.kind === "walk") return OPEN.every(has) || !OPEN.some(has);
    return this.kind === "timed" || this.kind === "waiting" ? has("delayed") === has("retrying") : true;
  }

  async read(after: string | null, limit: number): Promise<Part> {
    switch (this.kind) {
      case "walk":
        return await this.#walk(toId(after), limit);
      case "ids":
        return await this.#readIds(toId(after), limit);
      case "waiting":
        return await this.#readWaiting(toId(after), limit);
      case "failed":
        return await this.#readFailed(toId(after), limit);
      default:
        return await this.#readTimed(toCursor(after), limit);
    }
  }

  /** The range of ids that the times of the query leave. */
  #ids(): Promise<{ from: number; below: number }> {
    return this.#range ??= this.#readRange();
  }

  async #readRange(): Promise<{ from: number; below: number }> {
    const { from, to } = this.#query.conditions;
    const all = await readIdRange(this.#sql);
    const first = from ? await findIdAt(this.#sql, from) - SLACK : all.from;
    const last = to ? await findIdAt(this.#sql, to) + SLACK : all.below;
    return { from: Math.max(all.from, first), below: Math.min(all.below, last) };
  }

  async #walk(before: number | null, limit: number): Promise<Part> {
    const range = await this.#ids();
    const below = Math.min(before ?? Infinity, range.below);
    const from = Math.max(range.from, below - this.most);
    if (below <= range.from) return partOf([], { after: null, looked: 0, down: null });
    const { states, conditions } = this.#query;
    const sought = { statuses: states && statusesOf(states), conditions };
    const ids = await walkTasks(this.#sql, sought, { from, below, limit });
    let down = ids.length < limit ? from : ids.at(-1)!;
    if (ids.length < limit && from > range.from) {
      // Pruning leaves gaps, so that as many ids are fewer records.
      const behind = await findIdBehind(this.#sql, { below, records: this.most }) ?? range.from;
      const further = { from: Math.max(behind, range.from), below: from, limit: limit - ids.length };
      if (further.from < from) ids.push(...await walkTasks(this.#sql, sought, further));
      down = ids.length < limit ? Math.min(from, further.from) : ids.at(-1)!;
    }
    const isEnd = down <= range.from;
    return partOf(ids, { after: isEnd ? null : String(down), looked: Math.min(this.most, below - down), down });
  }

  async #readIds(before: number | null, limit: number): Promise<Part> {
    const { conditions: { ids = [], ...conditions } } = this.#query;
    const sorted = [...new Set(ids)].sort((a, b) => b - a).filter((id) => before === null || id < before);
    const part = sorted.slice(0, limit);
    const kept = await keepMatching(this.#sql, part, conditions);
    return partOf(kept, {
      after: part.length < sorted.length ? String(part.at(-1)) : null,
      looked: part.length,
      down: part.at(-1) ?? null,
    });
  }

  async #readWaiting(before: number | null, limit: number): Promise<Part> {
    const reasons = reasonsOf(this.#query.states!);
    const rows = await nextWaiting(this.#sql, { reasons, before, limit });
    const ids = await this.#keep(rows.filter(({ isWanted }) => isWanted).map(({ id }) => id));
    return partOf(ids, partEnd(rows, limit));
  }

  async #readFailed(before: number | null, limit: number): Promise<Part> {
    const { conditions } = this.#query;
    const fingerprints = await (this.#fingerprints ??= this.#findFingerprints());
    const isAlike = fingerprints.length > 0;
    const range = conditions.from || conditions.to ? await this.#ids() : undefined;
    const ids = await nextFailed(this.#sql, {
      names: conditions.names,
      fingerprints: isAlike ? fingerprints : undefined,
      before: range && range.below < (before ?? Infinity) ? range.below : before,
      limit,
    });
    const { errors: _, ...others } = conditions;
    const kept = await this.#keep(ids, isAlike ? others : conditions);
    const end = partEnd(ids.map((id) => ({ id })), limit);
    const isPast = range !== undefined && end.down !== null && end.down < range.from;
    return partOf(kept, isPast ? { ...end, after: null } : end);
  }

  /** The kinds of errors that the query means; without one, the texts are looked for in the errors of each task. */
  async #findFingerprints(): Promise<string[]> {
    const groups = this.#query.conditions.errors ?? [];
    const found = await Promise.all(groups.map((texts) => findErrorGroups(this.#sql, texts)));
    return found.length === 0 ? [] : found.reduce((all, some) => all.filter((each) => some.includes(each)));
  }

  async #readTimed(after: TimeCursor | null, limit: number): Promise<Part> {
    const { conditions: { queues, waits: [waits] = [] } } = this.#query;
    const placed = this.kind === "awaiting"
      ? await nextAwaiting(this.#sql, {
        waits: waits ?? WAIT_KINDS.map((kind) => ({ kind, name: null })),
        after,
        limit,
      })
      : this.kind === "due"
      ? await nextDue(this.#sql, { queues, after, limit })
      : this.kind === "timed"
      ? await nextTimed(this.#sql, { queues, after, limit })
      : await nextRunning(this.#sql, { after, limit });
    const kept = new Set(await this.#keep(placed.map(({ id }) => id)));
    return {
      found: placed.filter(({ id }) => kept.has(id)).map(({ id, cursor }) => ({ id, after: fromCursor(cursor) })),
      after: placed.length < limit ? null : fromCursor(placed.at(-1)!.cursor),
      looked: placed.length,
      down: null,
    };
  }

  async #keep(ids: readonly number[], conditions: TaskConditions = this.#query.conditions): Promise<readonly number[]> {
    return Object.keys(conditions).length === 0 ? ids : await keepMatching(this.#sql, ids, conditions);
  }
}

/** Makes a part of these tasks, in a list that goes by ids. */
export function partOf(ids: readonly number[], end: Omit<Part, "found">): Part {
  return { found: ids.map((id) => ({ id, after: String(id) })), ...end };
}

function partEnd(rows: readonly { id: number }[], limit: number): Omit<Part, "found"> {
  const down = rows.at(-1)?.id ?? null;
  return { after: rows.length < limit ? null : String(down), looked: rows.length, down };
}

function toId(after: string | null): number | null {
  if (after === null) return null;
  if (/^\d{1,16}$/.test(after) && Number.isSafeInteger(Number(after))) return Number(after);
  throw new RangeError(`Cannot go on after "${after}" as it is no place in this list`);
}

const CURSOR =
  /^(-?\d{1,11})~(-infinity|infinity|\d{4,7}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,6})?[+-]\d\d(?::\d\d){0,2}(?: BC)?)~(\d{1,16})$/;

function toCursor(after: string | null): TimeCursor | null {
  if (after === null) return null;
  const [, priority, time, id] = CURSOR.exec(after) ?? [];
  if (time !== undefined) return { priority: Number(priority), time, id: Number(id) };
  throw new RangeError(`Cannot go on after "${after}" as it is no place in this list`);
}

function fromCursor({ priority, time, id }: Placed["cursor"]): string {
  return `${priority}~${time}~${id}`;
}
