import type { Tag } from "../database/driver.ts";
import { toNumber } from "./rows.ts";
import { readClaims } from "./settle.ts";
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

/** Milliseconds before attempts whose records were locked are suspended after all. */
const RETRY_DELAYS = [5, 20, 50, 100, 250, 500];

/**
 * Suspends attempts: ends their claims, stores their steps, and lets their tasks wait for the steps that the handlers
 * await. A task goes on when the first of them may: at once, if that has happened already. Resolves to whether each
 * attempt still held its task; of one that did not, nothing is stored. Waits while other transactions have records locked,
 * without holding up the others. `batches` are deleted if no claim is left over; `attemptedBy` is the id of the consumer's
 * process.
 */
export async function suspendTasks(
  sql: Tag,
  suspensions: readonly Suspension[],
  batches: readonly string[] = [],
  attemptedBy: number | null = null,
): Promise<boolean[]> {
  const suspended = new Set<number>();
  let left = suspensions;
  for (let tries = 0; left.length > 0; tries++) {
    for (const id of await suspendOnce(sql, left, { batches: tries === 0 ? batches : [], attemptedBy })) {
      suspended.add(id);
    }
    left = left.filter(({ id }) => !suspended.has(id));
    if (left.length === 0) break;
    const claims = await readClaims(sql, left.map(({ id }) => id));
    left = left.filter(({ id, claimSeq }) => {
      const claim = claims.get(id);
      return claim?.claimSeq === claimSeq && claim.status === "created";
    });
    if (left.length > 0) {
      await new Promise((resolve) => setTimeout(resolve, RETRY_DELAYS[Math.min(tries, RETRY_DELAYS.length - 1)]));
    }
  }
  return suspensions.map(({ id }) => suspended.has(id));
}

async function suspendOnce(
  sql: Tag,
  suspensions: readonly Suspension[],
  { batches, attemptedBy }: { batches: readonly string[]; attemptedBy: number | null },
): Promise<number[]> {
  const now = performance.now();
  const claims = suspensions.map(({ id, claimSeq, began, span = null }) => ({
    id,
    claim_seq: claimSeq,
    elapsed: Math.max(0, now - began) / 1000,
    ...(span === null ? {} : { span }),
  }));
  const steps = suspensions.flatMap(({ id, steps }) => steps.map((step) => toStepJson(step, { id })));
  const awaits = suspensions.flatMap(({ id, awaits }) => awaits.map(({ name, key }) => ({ task_id: id, name, key })));
  const [row] = await sql`
    SELECT to_json(${sql.schema}._suspend(
      ${JSON.stringify(claims)}::text::json, ${JSON.stringify(steps)}::text::json, ${
    JSON.stringify(awaits)
  }::text::json,
      ${attemptedBy}::integer, ${[...batches]}::uuid[]
    )) AS ids
  `;
  return row!.ids.map(toNumber);
}
