import { assert, assertEquals } from "@std/assert";
import { callTasks } from "../../src/store/calls.ts";
import type { ClaimedTask } from "../../src/store/claimed_task.ts";
import type { Tag } from "../../src/database/driver.ts";
import type { NewTask } from "../../src/store/new_task.ts";
import { readClaims } from "../../src/store/settle.ts";
import type { NewStep } from "../../src/store/steps.ts";
import { suspendTasks, type Suspension } from "../../src/store/suspend.ts";
import type { TestDatabase } from "./database.ts";
import { newWait } from "./new_step.ts";
import { newTask } from "./new_task.ts";

/** An attempt that waits for the first of `waits`, which are to be stored, after `steps`. */
export function suspension(
  { id, claimSeq }: Pick<ClaimedTask, "id" | "claimSeq">,
  waits: readonly Partial<NewStep>[],
  steps: readonly NewStep[] = [],
): Suspension {
  const awaited = waits.map(newWait);
  return {
    id,
    claimSeq,
    began: performance.now(),
    steps: [...steps, ...awaited],
    awaits: awaited.map(({ name, key }) => ({ name, key })),
  };
}

/** Suspends an attempt, and tries again while its record is locked, as a consumer does; false if it was lost. */
export async function suspendHeld(sql: Tag, suspension: Suspension): Promise<"created" | "failed" | false> {
  const { id, claimSeq } = suspension;
  for (;;) {
    const status = (await suspendTasks(sql, [suspension])).get(id);
    if (status) return status;
    const claim = (await readClaims(sql, [id])).get(id);
    if (claim?.claimSeq !== claimSeq || claim.status !== "created") return false;
  }
}

/** Suspends an attempt that holds its task. */
export async function suspend(
  sql: Tag,
  task: Pick<ClaimedTask, "id" | "claimSeq">,
  ...waits: readonly Partial<NewStep>[]
): Promise<void> {
  assertEquals([...await suspendTasks(sql, [suspension(task, waits)])], [[task.id, "created"]]);
}

/** The place of a task in `waiting`; undefined if it has none. */
export async function waitOf(db: TestDatabase, id: number): Promise<Record<string, unknown> | undefined> {
  const [row] = await db.sql`
    SELECT reason, pending, signals, suspended, not_before FROM firefly.waiting WHERE id = ${id}
  `;
  return row;
}

/** Calls `count` tasks from an attempt, and suspends it until they have ended; resolves to their ids. */
export async function callAndSuspend(
  sql: Tag,
  task: Pick<ClaimedTask, "id" | "claimSeq">,
  { count = 1, key = "", tasks = Array.from({ length: count }, () => newTask()) }: {
    count?: number;
    key?: string;
    tasks?: NewTask[];
  } = {},
): Promise<number[]> {
  const step = newWait({ kind: "call", name: "test.task", key });
  const callees = await callTasks(sql, { id: task.id, claimSeq: task.claimSeq, step, steps: [], tasks });
  assert(callees, `Cannot call from task ${task.id}`);
  const awaits = [{ name: step.name, key }];
  assertEquals([...await suspendTasks(sql, [{ ...suspension(task, []), awaits }])], [[task.id, "created"]]);
  return callees;
}
