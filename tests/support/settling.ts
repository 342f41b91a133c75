import type { ClaimedTask } from "../../src/store/claimed_task.ts";
import { type Outcome, settleTasks } from "../../src/store/settle.ts";
import type { TestDatabase } from "./database.ts";

/** How an attempt of `task` ended: completed, if nothing else is said. */
export function outcomeOf({ id, claimSeq }: ClaimedTask, outcome: Partial<Outcome> = {}): Outcome {
  return {
    id,
    claimSeq,
    status: "completed",
    returned: "bnVsbA==",
    error: null,
    began: performance.now(),
    delay: null,
    counts: null,
    ...outcome,
  };
}

/** Settles one attempt; false if it was fenced off. */
export async function settle(db: TestDatabase, task: ClaimedTask, outcome: Partial<Outcome> = {}): Promise<boolean> {
  const settled = await settleTasks(db.store, [outcomeOf(task, outcome)], [task.batchId]);
  return settled.has(task.id);
}
