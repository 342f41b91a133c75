import { type ListedTask, readListed } from "../../store/task_lists.ts";
import { readCreatedFrom } from "../../store/task_lists_walk.ts";
import type { PageContext } from "../context.ts";
import type { TaskQuery } from "../task_query.ts";
import { mayShowMatch } from "./tasks_values.ts";
import { type StatedPart, TaskSource } from "./tasks_sequence.ts";

/** How many tasks a page of a list shows. */
export const PAGE = 50;
/** How many candidates to read first, and then: where most are left out, the next parts are larger. */
const [FIRST, THEN] = [200, 2_000];

/** A page of a list. */
export interface TaskPage {
  readonly rows: readonly ListedTask[];
  /** After which the next page begins; null at the end of the list. */
  readonly next: string | null;
  /** How far the page looked, if it stopped before it was full. */
  readonly lookedTo: { readonly id: number | null; readonly created: Date | null; readonly looked: number } | null;
}

/** Reads a page of the tasks that a query asks for, in bounded time. */
export async function readTaskPage(
  context: PageContext,
  query: TaskQuery,
  { after, limit = PAGE }: { after: string | null; limit?: number },
): Promise<TaskPage> {
  const source = new TaskSource(context.sql, query);
  const found: { row: ListedTask; after: string }[] = [];
  let looked = 0;
  let part: StatedPart | undefined;
  for (let at = after; found.length <= limit;) {
    part = await source.read(at, at === after ? FIRST : THEN);
    looked += part.looked;
    found.push(...await showable(context, query, { part, wanted: limit + 1 - found.length }));
    at = part.after;
    if (at === null || looked >= source.most) break;
  }
  const rows = found.slice(0, limit).map(({ row }) => row);
  if (found.length > limit) return { rows, next: found[limit - 1]!.after, lookedTo: null };
  const next = part?.after ?? null;
  if (next === null) return { rows, next, lookedTo: null };
  const id = part!.down;
  const created = id === null ? null : await readCreatedFrom(context.sql, id) ?? null;
  return { rows, next, lookedTo: { id, created, looked } };
}

/** Reads those tasks of a part that are still in a state that the query asks for, up to `wanted`. */
async function showable(
  context: PageContext,
  { conditions }: TaskQuery,
  { part, wanted }: { part: StatedPart; wanted: number },
): Promise<{ row: ListedTask; after: string }[]> {
  const shown: { row: ListedTask; after: string }[] = [];
  const afters = new Map(part.found.map(({ id, after }) => [String(id), after]));
  for (let at = 0; at < part.found.length && shown.length < wanted; at += PAGE + 1) {
    const rows = await readListed(context.sql, part.found.slice(at, at + PAGE + 1).map(({ id }) => id));
    for (const row of rows) {
      if (part.states && !part.states.includes(row.state)) continue;
      if (conditions.args && !await mayShowMatch(context, row, conditions.args)) continue;
      shown.push({ row, after: afters.get(row.id)! });
    }
  }
  return shown;
}
