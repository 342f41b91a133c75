import type { Tag } from "../../database/driver.ts";
import type { TaskState } from "../../task/record.ts";
import type { TaskQuery } from "../task_query.ts";
import { LOOKED, OPEN, type Part, partOf, Source, type SourceKind } from "./tasks_source.ts";

/** A part of a list, from a table that has tasks in these states; null is any. */
export interface StatedPart extends Part {
  readonly states: readonly TaskState[] | null;
  /** Whether each task of it matches, as far as can be told without a look at its state and arguments. */
  readonly isExact: boolean;
}

/** A table that has tasks of a list, and the states that they have there; null for any. */
interface Place {
  readonly kind: SourceKind;
  readonly states: readonly TaskState[] | null;
}

/**
 * Chooses the tables that have the tasks of a query: the small ones, one after the other, or `task` itself, of which a
 * page walks a part.
 */
function placesOf({ states, conditions }: TaskQuery): Place[] {
  if (conditions.ids) return [{ kind: "ids", states }];
  const isAwaiting = conditions.waits !== undefined || (states?.length === 1 && states[0] === "suspended");
  if (isAwaiting) {
    return states?.includes("suspended") ?? true ? [{ kind: "awaiting", states: ["suspended"] }] : [];
  }
  if (states === null || OPEN.every((state) => states.includes(state))) return [{ kind: "walk", states }];
  const among = (...some: TaskState[]) => states.filter((state) => some.includes(state));
  const timed = among("delayed", "retrying");
  const waiting = among("delayed", "retrying", "limited", "dependent", "suspended", "unknown");
  const all: Place[] = [
    { kind: "running", states: among("running") },
    { kind: "due", states: among("ready") },
    { kind: timed.length === waiting.length ? "timed" : "waiting", states: waiting },
    { kind: "failed", states: among("failed") },
    { kind: "walk", states: among("unplaced", "completed", "cancelled") },
  ];
  // Failed among other ended tasks: one list in the order of the ids is better than two.
  const ended = among("completed", "failed", "cancelled");
  if (ended.includes("failed") && ended.length > 1) {
    all.splice(3, 2, { kind: "walk", states: among("unplaced", "completed", "failed", "cancelled") });
  }
  return all.filter(({ states }) => states!.length > 0);
}

/** Reads the parts of a list from the tables that have its tasks, one table after the other. */
export class TaskSource {
  /** The tables, in the order of the list. */
  readonly kinds: readonly SourceKind[];
  readonly #sources: readonly Source[];

  constructor(sql: Tag, query: TaskQuery) {
    const places = placesOf(query);
    this.kinds = places.map(({ kind }) => kind);
    this.#sources = places.map(({ kind, states }) => new Source(sql, kind, { ...query, states }));
  }

  /** The most records that a page looks at. */
  get most(): number {
    return Math.min(LOOKED, ...this.#sources.map(({ most }) => most));
  }

  /**
   * Reads the part after `after`, of `limit` records: a walk looks at as many as a page may, for up to `limit` that match.
   *
   * @throws {RangeError} If `after` is not a place in this list.
   */
  async read(after: string | null, limit: number): Promise<StatedPart> {
    const [only, second] = this.#sources;
    if (!only) return { ...partOf([], { after: null, looked: 0, down: null }), states: [], isExact: true };
    if (!second) return { ...await only.read(after, limit), states: only.states, isExact: only.isExact };
    const [, index, rest] = /^(\d):([^]*)$/.exec(after ?? "0:") ?? [];
    const source = this.#sources[Number(index)];
    if (!source) throw new RangeError(`Cannot go on after "${after}" as it is no place in this list`);
    const part = await source.read(rest === "" ? null : rest!, limit);
    const next = Number(index) + 1 < this.#sources.length ? `${Number(index) + 1}:` : null;
    return {
      found: part.found.map(({ id, after }) => ({ id, after: `${index}:${after}` })),
      after: part.after === null ? next : `${index}:${part.after}`,
      looked: part.looked,
      down: null,
      states: source.states,
      isExact: source.isExact,
    };
  }
}
