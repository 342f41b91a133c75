import { readTaskPage } from "./tasks_list.ts";
import { findNeighbors, statusesOf } from "../../store/task_lists_walk.ts";
import type { PageContext } from "../context.ts";
import type { TaskQuery } from "../task_query.ts";
import { TaskSource } from "./tasks_sequence.ts";
import { LOOKED } from "./tasks_source.ts";

/** The tasks beside one in a list: the next older, and the next newer one. */
export interface Neighbors {
  readonly older: number | null;
  readonly newer: number | null;
}

/**
 * Finds the tasks beside one in a list that goes by ids, as far as a page looks. In a list in another order there are
 * none: its place there cannot be told from its id.
 */
export async function neighborsOf(context: PageContext, query: TaskQuery, id: number): Promise<Neighbors> {
  const { kinds } = new TaskSource(context.sql, query);
  const { states, conditions } = query;
  if (kinds.length !== 1 || conditions.args) return { older: null, newer: null };
  const [kind] = kinds;
  if (kind === "ids") {
    const ids = [...conditions.ids!].sort((a, b) => a - b);
    return { older: ids.findLast((each) => each < id) ?? null, newer: ids.find((each) => each > id) ?? null };
  }
  if (kind === "failed" && conditions.errors) {
    // The index of kinds of errors leads to older tasks alone.
    const { rows } = await readTaskPage(context, query, { after: String(id), limit: 1 });
    return { older: rows[0] ? Number(rows[0].id) : null, newer: null };
  }
  if (kind === "walk" || kind === "failed") {
    const sought = { statuses: states && statusesOf(states), conditions };
    return await findNeighbors(context.sql, sought, { id, reach: LOOKED });
  }
  return { older: null, newer: null };
}
