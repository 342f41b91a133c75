import type { AttemptEnvironment } from "./environment.ts";
import { FireflyError } from "../errors.ts";
import {
  type AttemptEvents,
  type AttemptOutcome,
  emitDuplicate,
  emitLost,
  emitSuspended,
  readLossReason,
} from "../settle/outcome_events.ts";
import type { SettledStatus } from "../settle/settle_statements.ts";
import type { Awaited } from "../steps/host.ts";
import type { SuspendedSteps } from "../steps/suspension.ts";
import type { ClaimedTask } from "../store/claimed_task.ts";
import type { AttemptSpan } from "../telemetry/attempt_span.ts";

/** An attempt whose handler only waits. */
export interface WaitingAttempt extends AttemptEvents {
  readonly task: ClaimedTask;
  readonly began: number;
  readonly env: Pick<AttemptEnvironment, "events" | "settler" | "slots" | "sql" | "suspendSettler">;
}

/**
 * Ends an attempt, and stores what its handler waits for. It is neither completed nor failed. `span` is that of the
 * attempt: the next one has a link to it.
 *
 * @throws {FireflyError} If the database refuses that.
 */
export async function suspendAttempt(
  attempt: WaitingAttempt,
  { steps, awaits, span }: SuspendedSteps & { readonly span: AttemptSpan | undefined },
): Promise<AttemptOutcome> {
  const { task, began, env: { settler, slots, sql, suspendSettler } } = attempt;
  const { id, claimSeq } = task;
  const names = awaits.map(({ name, key }) => ({ name, key }));
  const suspension = { id, claimSeq, began, steps: [...steps], awaits: names, span: span?.identity ?? null };
  let status: SettledStatus;
  try {
    status = await suspendSettler.suspend(task, suspension);
  } catch (cause) {
    throw new FireflyError("Cannot suspend the attempt as the database refuses what its steps have stored", { cause });
  }
  if (status === "failed") return emitDuplicate(attempt);
  if (!status) {
    settler.untrackTask(task);
    return emitLost(attempt, await readLossReason(sql, id));
  }
  const until = earliest(awaits);
  if (until !== null) slots.onDelayed(Math.max(0, until.getTime() - Date.now()) / 1000);
  const waits = {
    until,
    signals: awaits.filter(({ kind }) => kind === "signal").map(({ name }) => name),
    tasks: awaits.flatMap(({ callees = [] }) => callees),
  };
  span?.suspend(waits);
  return emitSuspended(attempt, waits);
}

/** When the first of these ends by itself; null if none does. */
function earliest(awaits: readonly Awaited[]): Date | null {
  let first: Date | null = null;
  for (const { due } of awaits) {
    if (due === null) continue;
    const time = due instanceof Date ? due : new Date(Date.now() + due - performance.now());
    if (first === null || time < first) first = time;
  }
  return first;
}
