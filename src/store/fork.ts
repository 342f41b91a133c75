import type { Tag } from "../database/driver.ts";
import { toNumber } from "./rows.ts";

/** A step by its name and key. */
export interface StepPlace {
  readonly name: string;
  readonly key: string;
}

/**
 * The id of a fork, or why there is none: `missing`: no such task; `step`: it has no such step; `compensated`: its step
 * `undone`, which is before the given one, was compensated.
 */
export type Forked =
  | { readonly id: number; readonly refused: null }
  | { readonly refused: "missing" | "step" }
  | { readonly refused: "compensated"; readonly undone: StepPlace };

/** Schedules a copy of a task that begins with the steps before `from`, or with all that have ended. */
export async function forkTask(sql: Tag, id: number, from?: StepPlace): Promise<Forked> {
  const [row] = await sql`
    SELECT id, refused, undone, undone_key
    FROM ${sql.schema}._fork(${id}::bigint, ${from?.name ?? null}::text, ${from?.key ?? null}::text)
  `;
  const { id: forked, refused, undone, undone_key: key } = row!;
  if (refused === null) return { id: toNumber(forked), refused };
  return refused === "compensated" ? { refused, undone: { name: undone, key } } : { refused };
}

/** Reads the steps from which a task can be forked, in the order in which they ended. */
export async function readForkPlaces(sql: Tag, id: number): Promise<StepPlace[]> {
  return await sql<{ name: string; key: string }>`
    SELECT name, key
    FROM ${sql.schema}.step
    WHERE task_id = ${id}::bigint AND kind <> 'compensation'
    ORDER BY seq, began
  `;
}
