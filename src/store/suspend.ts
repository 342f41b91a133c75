import type { Tag } from "../database/driver.ts";
import { toNumber } from "./rows.ts";
import { type NewStep, toStepJson } from "./steps.ts";

/** An attempt whose handler waits. */
export interface Suspension {
  readonly id: number;
  readonly claimSeq: number;
  /** When the attempt began, by `performance.now()`. */
  readonly began: number;
  /** What the handler has done and is not stored, and what it waits for. */
  readonly steps: readonly NewStep[];
  /** The span of the attempt, in hex, to which the next one has a link; null if it has none. @default null */
  readonly span?: string | null;
  /** The steps with status `waiting`, of these or stored before, for the first of which the handler waits. */
  readonly awaits: readonly { readonly name: string; readonly key: string }[];
}

/**
 * Suspends attempts: ends their claims, stores their steps, and lets their tasks wait for the steps that the handlers
 * await. A task goes on when the first of them may: at once, if that has happened already. Resolves to the ids of the tasks
 * that it suspended, with the status that each has now: one is `failed` if a duplicate has the unique key that was free
 * while it ran. The other claims were lost, or an open transaction has locked their records, which must not hold up a whole
 * batch: nothing of them is stored. `batches` are deleted if no claim is left over; `attemptedBy` is the id of the
 * consumer's process.
 */
export async function suspendTasks(
  sql: Tag,
  suspensions: readonly Suspension[],
  batches: readonly string[] = [],
  attemptedBy: number | null = null,
): Promise<Map<number, "created" | "failed">> {
  const now = performance.now();
  const claims = suspensions.map(({ id, claimSeq, began, span = null }) => ({
    id,
    claim_seq: claimSeq,
    elapsed: Math.max(0, now - began) / 1000,
    ...(span === null ? {} : { span }),
  }));
  const steps = suspensions.flatMap(({ id, steps }) => steps.map((step) => toStepJson(step, { id })));
  const awaits = suspensions.flatMap(({ id, awaits }) => awaits.map(({ name, key }) => ({ task_id: id, name, key })));
  const lists = [claims, steps, awaits].map((list) => JSON.stringify(list));
  const [row] = await sql`
    SELECT to_json(suspended_ids) AS suspended, to_json(failed_ids) AS failed
    FROM ${sql.schema}._suspend(
      ${lists[0]}::text::json, ${lists[1]}::text::json, ${lists[2]}::text::json, ${attemptedBy}::integer,
      ${[...batches]}::uuid[]
    )
  `;
  const { suspended, failed } = row!;
  return new Map([
    ...suspended.map((id: number) => [toNumber(id), "created"] as const),
    ...failed.map((id: number) => [toNumber(id), "failed"] as const),
  ]);
}
